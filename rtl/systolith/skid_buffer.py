"""Stream buffer that registers ``ready``."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["SkidBuffer"]


class SkidBuffer(Component):
    """Cut the ready path of a stream; the forward path stays combinational (one multiplexer).

    While the receiver is ready, items pass through in the same cycle. An item that the receiver refuses is
    kept, and ``i.ready`` (a register) is low from the next cycle until it has been taken.

    Parameters
    ----------
    shape : shape-like
        Payload.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``
    """

    latency = 0
    """Cycles from an item on ``i`` to the same item on ``o``."""

    def __init__(self, *, shape):
        self._shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        full = Signal()
        kept = Signal(self._shape, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(self.i.valid | full),
            self.o.payload.eq(Mux(full, kept, self.i.payload)),
        ]
        with m.If(~full):
            m.d.sync += [kept.eq(self.i.payload), full.eq(self.i.valid & ~self.o.ready)]
        with m.Elif(self.o.ready):
            m.d.sync += full.eq(0)
        return m
