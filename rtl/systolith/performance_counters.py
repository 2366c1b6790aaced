"""Counters of cycles, bytes, commands and stalls."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith_spec.commands import Engine
from systolith_spec.registers import register

__all__ = ["ENGINE_COUNTERS", "PerformanceCounters"]

ENGINE_COUNTERS = ("busy", "stall_token", "stall_input", "stall_output")
"""Counters that each engine has."""


class PerformanceCounters(Component):
    """The counters of the register table, 32 bits each, modulo 2**32.

    Events are registered first, so they are counted one cycle late; ``run`` is delayed alike.

    Parameters
    ----------
    axi_bytes : int
        Bytes of a data beat, a power of two.
    engines : bool
        Build the counters of the engines; without them they stay 0.

    Members
    -------
    clear : ``In(1)``
        Set all counters to zero.
    run : ``In(1)``
        Count the events of this cycle.
    busy, stall_token, stall_input, stall_output : ``In(4)``
        Cycle events, one bit per engine.
    read_beat, write_beat : ``In(1)``
        A data beat is transferred.
    command : ``In(1)``
        A command is dispatched.
    cycles, bytes_read, bytes_written, commands, load_busy, ... : ``Out(32)``
        Counts, named as the registers.
    """

    def __init__(self, *, axi_bytes, engines=True):
        self._engines = engines
        self._beat_log2 = exact_log2(axi_bytes)
        self._counters = ["cycles", "bytes_read", "bytes_written", "commands"]
        self._counters += [f"{engine.name.lower()}_{kind}" for engine in Engine for kind in ENGINE_COUNTERS]
        for name in self._counters:
            register(name.upper())  # KeyError: the counter is not in the register table
        super().__init__({
            "clear": In(1),
            "run": In(1),
            **{kind: In(len(Engine)) for kind in ENGINE_COUNTERS},
            "read_beat": In(1),
            "write_beat": In(1),
            "command": In(1),
            **{name: Out(32) for name in self._counters},
        })

    @property
    def counters(self):
        """Names of the counts."""
        return tuple(self._counters)

    def elaborate(self, platform):
        m = Module()
        events = {
            "cycles": Const(1),
            "bytes_read": self.read_beat,
            "bytes_written": self.write_beat,
            "commands": self.command,
        }
        for engine in Engine if self._engines else ():
            for kind in ENGINE_COUNTERS:
                events[f"{engine.name.lower()}_{kind}"] = getattr(self, kind)[engine]
        for name, event in events.items():
            s0_event = Signal(name=f"s0_{name}")
            shift = self._beat_log2 if name.startswith("bytes") else 0
            count = Signal(32 - shift, name=f"count_{name}")
            m.d.sync += s0_event.eq(event & self.run)
            with m.If(self.clear):
                m.d.sync += [count.eq(0), s0_event.eq(0)]
            with m.Elif(s0_event):
                m.d.sync += count.eq(count + 1)
            m.d.comb += getattr(self, name).eq(count << shift)
        return m
