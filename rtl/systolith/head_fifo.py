"""Small FIFO in distributed RAM whose outputs are registers."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from systolith.fill_level import FillLevel

__all__ = ["HeadFifo"]


class HeadFifo(Component):
    """First-in first-out queue of ``depth`` items in a memory and one more, the head, in a register.

    Whether there is room, and whether the memory holds anything, are registers too: ``o.ready`` meets one LUT on its
    way to the enables of the head and of the counters.

    Parameters
    ----------
    shape : shape-like
        Payload.
    depth : int
        Items in the memory, at least 2.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``

    Raises
    ------
    ValueError
        If ``depth`` is below 2.
    """

    latency = 2
    """Cycles from an item on ``i`` to the same item on ``o`` when the FIFO is empty."""

    def __init__(self, *, shape, depth):
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 2:
            raise ValueError(f"FIFO depth must be an integer of at least 2, not {depth!r}")
        self._shape = shape
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def depth(self):
        """Items in the memory."""
        return self._depth

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._shape, depth=self.depth, init=[])
        write_port, read_port = memory.write_port(), memory.read_port(domain="sync")
        m.submodules.stored = stored = FillLevel(depth=self.depth)
        m.d.comb += [
            self.i.ready.eq(stored.room),
            stored.put.eq(self.i.valid & stored.room),
            stored.take.eq(stored.some & (~self.o.valid | self.o.ready)),
            write_port.data.eq(self.i.payload),
            write_port.en.eq(stored.put),
            read_port.en.eq(stored.take),
            self.o.payload.eq(read_port.data),
        ]
        for strobe, port in ((stored.put, write_port), (stored.take, read_port)):
            with m.If(strobe):
                m.d.sync += port.addr.eq(Mux(port.addr == self.depth - 1, 0, port.addr + 1))
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(stored.some)
        return m
