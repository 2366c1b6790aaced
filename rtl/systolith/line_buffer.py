"""Line buffer of column mode: copies of a vector stream, each a line later than the one before."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.block_ram import BlockRam, block_ram

__all__ = ["LineBuffer"]


class LineBuffer(Component):
    """Delay words by the same programmable number of cycles several times over.

    A circular block RAM that runs freely: every cycle writes one word and reads one, whether anybody needs them
    or not. Copy i is ``i.delayed`` by ``(i + 1) * line`` cycles, with ``line = offset + read latency of the RAM``.
    All copies share one RAM: its word holds what each copy but the last takes in.

    ``offset`` may change at any time; copies are valid again once every delay has passed.

    Parameters
    ----------
    width : int
        Bits of a word.
    copies : int
        Delayed copies, at least 1.
    depth : int
        Words of the RAM, a power of two.
    style : str
        Of the block RAM.

    Members
    -------
    i : ``In(width)``
    offset : ``In(range(depth))``
        At least 1. Takes effect ``change_latency`` cycles later.
    o : ``Out(ArrayLayout(width, copies))``
    """

    base_delay = BlockRam.read_latency
    """Delay of a copy in cycles, less the offset."""
    change_latency = 1 + BlockRam.read_latency
    """Cycles from a change of the offset to the first word that it applies to."""

    def __init__(self, *, width, copies, depth, style="generic"):
        if copies < 1:
            raise ValueError(f"Line buffer copies must be at least 1, not {copies!r}")
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"Line buffer depth must be a power of two, not {depth!r}")
        self._width = width
        self._copies = copies
        self._depth = depth
        self._style = style
        super().__init__({
            "i": In(width),
            "offset": In(range(depth)),
            "o": Out(data.ArrayLayout(width, copies)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = block_ram(style=self._style, width=self._width * self._copies, depth=self._depth)
        address_width = ceil_log2(self._depth)
        write_addr, read_addr = Signal(address_width), Signal(address_width)
        m.d.sync += [
            write_addr.eq(write_addr + 1),
            read_addr.eq(write_addr + 1 - self.offset),
        ]
        m.d.comb += [
            ram.w_en.eq(1),
            ram.w_addr.eq(write_addr),
            ram.w_data.eq(Cat(self.i, self.o.as_value()[:self._width * (self._copies - 1)])),
            ram.r_en.eq(1),
            ram.r_addr.eq(read_addr),
            self.o.as_value().eq(ram.r_data),
        ]
        return m
