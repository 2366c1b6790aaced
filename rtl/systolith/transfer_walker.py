"""Runs of a transfer command, one after the other."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.shapes import MEMORY_WIDTH, command_layout
from systolith.stream_buffer import StreamBuffer
from systolith_spec.dma_timing import burst_bytes
from systolith_spec.widths import buffer_address_width

__all__ = ["BASE_ALIGNMENT_LOG2", "TransferWalker", "run_layout"]

BASE_ALIGNMENT_LOG2 = 12
"""The base address is a multiple of 2**12, so it does not change alignments."""


def _length_width(config):
    """Bits of the length of a run: up to the whole of a buffer."""
    return buffer_address_width(config) + 1


def run_layout(config):
    """Payload of a stream of runs.

    ``chunk`` is the memory address divided by the chunk (``burst_bytes(config)``, the largest burst),
    ``first`` the byte in that chunk at which the run starts and ``end`` the distance from the start of that
    chunk to the last byte of the run. ``buffer`` is the buffer address that belongs to lane 0 of the first
    memory beat. ``last``: last run of the command.
    """
    chunk_log2 = exact_log2(burst_bytes(config))
    return data.StructLayout(
        {
            "chunk": MEMORY_WIDTH - chunk_log2,
            "first": chunk_log2,
            "end": _length_width(config) + 1,
            "buffer": buffer_address_width(config),
            "space": 2,
            "last": 1,
        }
    )


class TransferWalker(Component):
    """Two nested loops over the runs of LOAD or STORE commands.

    A command is registered, one cycle prepares counters and the highest legal offset, then one run leaves per
    cycle through a two-deep buffer; on the way into it the base address is added and the range is checked. A
    run out of range stays in the buffer until ``abort``.

    Parameters
    ----------
    config : AcceleratorConfig
    name : str
        "LOAD" or "STORE".

    Members
    -------
    command : ``In(stream.Signature(command_layout(name)))``
        Commands; counts must be at least 1. A length of 0 is out of range.
    base, limit : ``In(32)``
        Registers BASE (a multiple of 4096) and LIMIT (0: no limit); constant while busy.
    writable : ``In(32)``
        Only of "STORE": register WRITABLE, the lowest offset from ``base`` at which a run may begin; constant while busy.
    abort : ``In(1)``
        Drop everything and accept nothing.
    runs : ``Out(stream.Signature(run_layout(config)))``
        Runs in order; withdrawn only by ``abort``.
    out_of_range : ``Out(1)``
        The next run is not inside ``[base + writable, base + limit)``; the walker has stopped.
    address : ``Out(32)``
        Memory address of that run.
    busy : ``Out(1)``
        There are runs to come.
    """

    def __init__(self, *, config, name):
        if name not in ("LOAD", "STORE"):
            raise ValueError(f"Transfer walker name must be 'LOAD' or 'STORE', not {name!r}")
        self._config = config
        self._name = name
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(name))),
                "base": In(MEMORY_WIDTH),
                "limit": In(MEMORY_WIDTH),
                **({"writable": In(MEMORY_WIDTH)} if name == "STORE" else {}),
                "abort": In(1),
                "runs": Out(stream.Signature(run_layout(config))),
                "out_of_range": Out(1),
                "address": Out(MEMORY_WIDTH),
                "busy": Out(1),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    @property
    def name(self):
        """Name of the command."""
        return self._name

    def elaborate(self, platform):
        m = Module()
        command = Signal(command_layout(self.name), reset_less=True)
        setup = Signal()
        active = Signal()
        step = Signal()
        last = Signal()
        # The registers of the leaving run. Two of them keep the ready of the bursts out of the counters.
        s1_layout = data.StructLayout({"run": run_layout(self.config), "bad": 1})
        m.submodules.s1 = s1 = ResetInserter(self.abort)(StreamBuffer(shape=s1_layout))
        head = s1.o.payload
        m.d.comb += [
            self.command.ready.eq(~setup & ~active & ~self.abort),
            step.eq(active & s1.i.ready),
            s1.i.valid.eq(active),
            s1.o.ready.eq(self.runs.ready & ~head.bad),
            self.runs.valid.eq(s1.o.valid & ~head.bad),
            self.runs.payload.eq(head.run),
            self.out_of_range.eq(s1.o.valid & head.bad),
            self.address.eq(Cat(head.run.first, head.run.chunk)),
            self.busy.eq(setup | active | s1.o.valid),
        ]
        with m.If(self.command.ready):
            m.d.sync += [command.eq(self.command.payload), setup.eq(self.command.valid)]
        with m.Else():
            m.d.sync += setup.eq(0)
        with m.If(setup):
            m.d.sync += active.eq(1)
        with m.Elif(step & last):
            m.d.sync += active.eq(0)
        with m.If(self.abort):
            m.d.sync += [setup.eq(0), active.eq(0)]

        offset, buffer = self._walk(m, command, setup, step, last)
        self._finish(m, command, setup, last, offset, buffer, s1.i.payload)
        return m

    def _walk(self, m, command, setup, step, last):
        """Loop counters and the two addresses of the current run and of the first run of the inner loop."""
        left_1, left_2 = (Signal(16, name=f"left_{level}", reset_less=True) for level in (1, 2))
        last_1, last_2 = (Signal(name=f"last_{level}", reset_less=True) for level in (1, 2))
        offset, outer_offset = (
            Signal(MEMORY_WIDTH, name=f"{n}offset", reset_less=True) for n in ("", "outer_")
        )
        width = buffer_address_width(self.config)
        buffer, outer_buffer = (
            Signal(width, name=f"{n}buffer", reset_less=True) for n in ("", "outer_")
        )
        next_offset = Signal(MEMORY_WIDTH)
        next_buffer = Signal(width)
        m.d.comb += [
            last.eq(last_1 & last_2),
            next_offset.eq(
                Mux(last_1, outer_offset, offset) + Mux(last_1, command.memory_step_2, command.memory_step_1)
            ),
            next_buffer.eq(
                Mux(last_1, outer_buffer, buffer) + Mux(last_1, command.buffer_step_2, command.buffer_step_1)
            ),
        ]
        with m.If(setup):
            m.d.sync += [
                offset.eq(command.memory),
                outer_offset.eq(command.memory),
                buffer.eq(command.buffer),
                outer_buffer.eq(command.buffer),
            ]
        with m.Elif(step):
            m.d.sync += [offset.eq(next_offset), buffer.eq(next_buffer)]
            with m.If(last_1):
                m.d.sync += [outer_offset.eq(next_offset), outer_buffer.eq(next_buffer)]
        # The last flags are registers of their own: they select the operands of the adders above.
        with m.If(setup | (step & last_1)):
            m.d.sync += [left_1.eq(command.count_1), last_1.eq(command.count_1 == 1)]
        with m.Elif(step):
            m.d.sync += [left_1.eq(left_1 - 1), last_1.eq(left_1 == 2)]
        with m.If(setup):
            m.d.sync += [left_2.eq(command.count_2), last_2.eq(command.count_2 == 1)]
        with m.Elif(step & last_1):
            m.d.sync += [left_2.eq(left_2 - 1), last_2.eq(left_2 == 2)]
        return offset, buffer

    def _finish(self, m, command, setup, last, offset, buffer, checked):
        """Address, extent and range check of the current run."""
        config = self.config
        chunk_log2 = exact_log2(burst_bytes(config))
        beat_log2 = exact_log2(config.axi_bytes)
        highest = Signal(MEMORY_WIDTH, reset_less=True)
        length_minus_1 = Signal(_length_width(config), reset_less=True)
        unfit = Signal(reset_less=True)
        remainder, borrow = Signal(MEMORY_WIDTH), Signal()
        # A run of no bytes would be one of 2**24: refused whatever the limit.
        empty = ~command.length.any()
        # Without a limit the borrow makes it 2**32: no run goes on at offset 0, below what may be written.
        m.d.comb += Cat(remainder, borrow).eq(self.limit - command.length)
        with m.If(setup):
            m.d.sync += [
                highest.eq(remainder),
                unfit.eq(empty | (borrow & self.limit.any())),
                length_minus_1.eq(command.length - 1),
            ]
        run = checked.run
        address = Cat(
            offset[:BASE_ALIGNMENT_LOG2],
            (offset[BASE_ALIGNMENT_LOG2:] + self.base[BASE_ALIGNMENT_LOG2:])[:20],
        )
        # Signs of differences, which tools put on carry chains.
        protected = (offset - self.writable)[-1] if self.name == "STORE" else 0
        m.d.comb += [
            checked.bad.eq(unfit | (highest - offset)[-1] | protected),
            Cat(run.first, run.chunk).eq(address),
            run.end.eq(offset[:chunk_log2] + length_minus_1),
            # Lane 0 of a beat may lie before the run: its buffer address then does as well.
            run.buffer.eq(buffer - offset[:beat_log2]),
            run.space.eq(command.space if self.name == "LOAD" else 0),
            run.last.eq(last),
        ]
