"""Two-deep stream buffer for receivers that are ready early."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.skid_buffer import SkidBuffer

__all__ = ["HeadBuffer"]


class HeadBuffer(Component):
    """Behaves as :class:`~systolith.stream_buffer.StreamBuffer`, but all outputs are registers.

    ``o.payload`` has no multiplexer behind it; in exchange ``o.ready`` enables the registers of the payload.

    Parameters
    ----------
    shape : shape-like
        Payload.
    reset_less : bool
        Reset empties the buffer but leaves its payload.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``
    """

    latency = 1
    """Cycles from an item on ``i`` to the same item on ``o``."""

    def __init__(self, *, shape, reset_less=True):
        self._shape = shape
        self._reset_less = reset_less
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(shape=self._shape)
        connect(m, outside=flipped(self.i), skid=skid.i)
        valid, payload = Signal(), Signal(self._shape, reset_less=self._reset_less)
        m.d.comb += [
            skid.o.ready.eq(~valid | self.o.ready),
            self.o.valid.eq(valid),
            self.o.payload.eq(payload),
        ]
        with m.If(skid.o.ready):
            m.d.sync += [valid.eq(skid.o.valid), payload.eq(skid.o.payload)]
        return m
