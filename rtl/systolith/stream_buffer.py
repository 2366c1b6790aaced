"""Two-deep stream buffer that cuts both directions of a handshake."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["StreamBuffer"]


class StreamBuffer(Component):
    """Stream buffer whose ``ready`` and ``valid`` are registers; one item a cycle, one cycle of latency.

    Two registers are written in turn and read in turn, so that a late ``ready`` of the receiver reaches a few
    pointer bits only and never the enables of the payload.

    Parameters
    ----------
    shape : shape-like
        Payload.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``
    """

    latency = 1
    """Cycles from an item on ``i`` to the same item on ``o``."""

    def __init__(self, *, shape):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def shape(self):
        """Payload."""
        return self._shape

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self.shape).width
        slots = [Signal(width, name=f"slot_{index}", reset_less=True) for index in range(2)]
        full = Signal(2)
        room = Signal(init=1)  # not both full
        write_slot = Signal()
        read_slot = Signal()
        put = self.i.valid & self.i.ready
        take = self.o.valid & self.o.ready
        m.d.comb += [
            self.i.ready.eq(room),
            self.o.valid.eq(full.any()),
            Value.cast(self.o.payload).eq(Mux(read_slot, slots[1], slots[0])),
        ]
        m.d.sync += [write_slot.eq(write_slot ^ put), read_slot.eq(read_slot ^ take)]
        with m.If(put & ~take):
            m.d.sync += room.eq(~full.any())
        with m.Elif(take):
            m.d.sync += room.eq(1)
        for index, slot in enumerate(slots):
            # A free slot may follow the input at any time; only `full` says that it counts.
            with m.If((write_slot == index) & ~full[index]):
                m.d.sync += slot.eq(Value.cast(self.i.payload))
            with m.If(put & (write_slot == index)):
                m.d.sync += full[index].eq(1)
            with m.Elif(take & (read_slot == index)):
                m.d.sync += full[index].eq(0)
        return m
