"""Clock, reset and ready/valid streams for cocotb tests of Amaranth components.

A stream ``results`` of a component is the ports ``results__payload``, ``results__valid`` and
``results__ready``. Everything here samples at the rising edge of ``clk``, where it sees the values before
the edge, as the registers do.

Example
-------
::

    @cocotb.test(timeout_time=100, timeout_unit="us")
    async def passes_items_in_order(dut):
        source = StreamSource(dut, "activations", shape=ArrayLayout(signed(8), 4), stall=0.3)
        sink = StreamSink(dut, "results", shape=signed(32), stall=0.5)
        monitor = StreamMonitor(dut, "results")
        await start(dut)                           # after the sources and sinks, so that no input floats
        sending = cocotb.start_soon(source.send([[1, 2, 3, 4], [5, 6, 7, 8]]))
        assert await sink.receive(2) == [10, 26]
        await sending
        await RisingEdge(dut.clk)                  # lets the monitor see the last edge as well
        assert monitor.count == 2
"""

import random

import cocotb
from amaranth.hdl import Const, Shape
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from .pysim import StreamRuleError, plain

__all__ = ["StreamMonitor", "StreamSink", "StreamSource", "start"]


async def start(dut, *, period_ns=10, reset_cycles=2):
    """Start the clock ``clk`` and reset the design; returns just after the edge at which ``rst`` falls.

    Create sources and sinks, or set all inputs, before: on a four-state simulator a floating input would
    otherwise get into the registers.
    """
    dut.rst.value = 1
    Clock(dut.clk, period_ns, unit="ns", impl="gpi").start()
    for _ in range(reset_cycles):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


def _pack(shape, item):
    """Bits of a payload as a non-negative int."""
    if hasattr(shape, "const"):
        return shape.const(plain(item)).as_value().value
    cast = Shape.cast(shape)
    return Const(int(item), cast).value & ((1 << cast.width) - 1)


def _unpack(shape, bits):
    if shape is None:
        return bits
    if hasattr(shape, "from_bits"):
        return plain(shape.from_bits(bits))
    cast = Shape.cast(shape)
    return bits - (1 << cast.width) if cast.signed and bits >> (cast.width - 1) else bits


class _Port:
    def __init__(self, dut, name, shape):
        self.clock = dut.clk
        self.name = name
        self.shape = shape
        # An always-valid or always-ready stream has no such port.
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid", None)
        self.ready = getattr(dut, f"{name}__ready", None)


class StreamSource(_Port):
    """Drives a stream into the design.

    Parameters
    ----------
    dut : cocotb handle of the top module
    name : str
        Name of the stream.
    shape : shape-like or None
        Payload shape; with None, payloads are non-negative ints.
    stall : float
        Probability of an idle cycle before each item.
    seed : int or None
        Seed of the stalls, by default drawn from cocotb's generator.
    """

    def __init__(self, dut, name, *, shape=None, stall=0.0, seed=None):
        super().__init__(dut, name, shape)
        self._stall = stall
        self._random = random.Random(random.getrandbits(32) if seed is None else seed)
        self.payload.value = 0
        if self.valid is not None:
            self.valid.value = 0

    async def send(self, items):
        """Send items; return after the edge at which the last one is taken."""
        for item in items:
            while self._stall and self._random.random() < self._stall:
                await RisingEdge(self.clock)
            self.payload.value = item if self.shape is None else _pack(self.shape, item)
            if self.valid is not None:
                self.valid.value = 1
            await RisingEdge(self.clock)
            while self.ready is not None and not self.ready.value:
                await RisingEdge(self.clock)
            if self.valid is not None:
                self.valid.value = 0


class StreamSink(_Port):
    """Takes items from a stream of the design.

    Parameters
    ----------
    dut, name, shape, seed
        As for :class:`StreamSource`.
    stall : float
        Probability of ``ready`` being low in each cycle.
    """

    def __init__(self, dut, name, *, shape=None, stall=0.0, seed=None):
        super().__init__(dut, name, shape)
        self._stall = stall
        self._random = random.Random(random.getrandbits(32) if seed is None else seed)
        if self.ready is not None:
            self.ready.value = 0

    async def receive(self, count):
        """Receive ``count`` items; ``ready`` is low afterwards.

        Returns
        -------
        list
            Plain values: ints, lists for arrays, dicts for structs.
        """
        items = []
        while len(items) < count:
            ready = not (self._stall and self._random.random() < self._stall)
            if self.ready is not None:
                self.ready.value = int(ready)
            await RisingEdge(self.clock)
            if ready and (self.valid is None or self.valid.value):
                items.append(_unpack(self.shape, int(self.payload.value)))
        if self.ready is not None:
            self.ready.value = 0
        return items


class StreamMonitor(_Port):
    """Checks the stream rules in every cycle, from its creation to the end of the test.

    ``valid`` must stay high, with the same payload, until ``ready`` is high too; only ``rst`` interrupts.
    A violation fails the test.

    Attributes
    ----------
    count : int
        Items transferred so far. Other tasks may run first at an edge: read it one edge later.
    """

    def __init__(self, dut, name):
        super().__init__(dut, name, None)
        self._reset = dut.rst
        self.count = 0
        self._task = cocotb.start_soon(self._watch())

    async def _watch(self):
        pending = None
        while True:
            await RisingEdge(self.clock)
            if self._reset.value:
                pending = None
                continue
            valid = self.valid is None or bool(self.valid.value)
            if pending is not None and not valid:
                raise StreamRuleError(f"{self.name}: valid withdrawn before ready")
            if not valid:
                continue
            payload = int(self.payload.value)
            if pending is not None and payload != pending:
                raise StreamRuleError(
                    f"{self.name}: payload changed from {pending:#x} to {payload:#x} before ready"
                )
            taken = self.ready is None or bool(self.ready.value)
            pending = None if taken else payload
            self.count += taken
