"""Deep stream FIFO in block RAM with registered outputs."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.block_ram import BlockRam, block_ram
from systolith.fill_level import FillLevel
from systolith.head_fifo import HeadFifo

__all__ = ["BlockFifo"]

# Covers the read latency of the block RAM and the return of a credit.
_OUTPUT_DEPTH = 5


class BlockFifo(Component):
    """First-in first-out queue of ``depth`` items, one item a cycle.

    Dataflow: block RAM (two-cycle reads) -> FIFO of four items, which keeps what was read until it is taken. An
    item is read when that FIFO has room for it.

    Parameters
    ----------
    shape : shape-like
        Payload.
    depth : int
        Items in the block RAM, at least 2; up to four more are in the output.
    style : str
        See :func:`systolith.block_ram.block_ram`.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``

    Raises
    ------
    ValueError
        If ``depth`` is below 2.
    """

    latency = 1 + BlockRam.read_latency + HeadFifo.latency
    """Cycles from an item on ``i`` to the same item on ``o`` when the FIFO is empty."""

    def __init__(self, *, shape, depth, style="generic"):
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 2:
            raise ValueError(f"FIFO depth must be an integer of at least 2, not {depth!r}")
        self._shape = shape
        self._depth = depth
        self._style = style
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def shape(self):
        """Payload."""
        return self._shape

    @property
    def depth(self):
        """Items in the block RAM."""
        return self._depth

    @property
    def style(self):
        """Style of the block RAM."""
        return self._style

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self.shape).width
        m.submodules.ram = ram = block_ram(style=self.style, width=width, depth=self.depth)
        m.submodules.output = output = HeadFifo(shape=self.shape, depth=_OUTPUT_DEPTH - 1)
        m.submodules.stored = stored = FillLevel(depth=self.depth)
        m.submodules.credits = credits = FillLevel(depth=_OUTPUT_DEPTH, init=_OUTPUT_DEPTH)
        write_index = Signal(ceil_log2(self.depth))
        read_index = Signal(ceil_log2(self.depth))
        write = Signal()
        s0_read = Signal()
        m.d.comb += [
            self.i.ready.eq(stored.room),
            write.eq(self.i.valid & self.i.ready),
            # ``stored`` counts a written item a cycle later: never is a word read that is being written.
            s0_read.eq(stored.some & credits.some),
            # The free word behind the last item may be written at any time.
            ram.w_en.eq(stored.room),
            ram.w_addr.eq(write_index),
            ram.w_data.eq(self.i.payload),
            ram.r_en.eq(s0_read),
            ram.r_addr.eq(read_index),
        ]
        for strobe, index in ((write, write_index), (s0_read, read_index)):
            with m.If(strobe):
                m.d.sync += index.eq(Mux(index == self.depth - 1, 0, index + 1))
        s1_valid = Signal()
        s2_valid = Signal()
        m.d.sync += [s1_valid.eq(s0_read), s2_valid.eq(s1_valid)]
        m.d.comb += [
            stored.put.eq(write),
            stored.take.eq(s0_read),
            credits.put.eq(self.o.valid & self.o.ready),
            credits.take.eq(s0_read),
            output.i.valid.eq(s2_valid),
            Value.cast(output.i.payload).eq(ram.r_data),
            self.o.valid.eq(output.o.valid),
            self.o.payload.eq(output.o.payload),
            output.o.ready.eq(self.o.ready),
        ]
        return m
