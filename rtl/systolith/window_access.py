"""From a window position to a buffer address and the mask of lanes inside the slab."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped
from amaranth.utils import bits_for

from systolith.head_buffer import HeadBuffer
from systolith.shapes import ADDRESS_WIDTH
from systolith.window import BYTE_WIDTH, ROW_WIDTH

__all__ = ["WindowAccess"]


class WindowAccess(Component):
    """Compute the address of a position and which of its byte lanes lie inside the slab.

    Lane ``l`` of a position is byte ``byte + l`` of its row; it is inside when ``0 <= byte + l < row_bytes`` and
    ``0 <= row < rows``. Three stages: (1) address and distances to the ends of the row, (2) distances clipped
    to the number of lanes, (3) mask, into a two-deep buffer that cuts the path from ``o.ready`` to ``i.ready``. One
    position per cycle.

    Parameters
    ----------
    lanes : int
        Byte lanes.
    address_width : int
        Bits of the address; addition is modulo ``2 ** address_width``.
    row_width, byte_width : int
        Bits of the signed coordinates, as in :class:`~systolith.window.WindowWalker`; ``row_bytes`` has one less
        than a byte coordinate.
    context_shape : shape-like
        Data that stays with a position.
    claim : callable, optional
        What else to find out, from address and context: its result, ``claim`` of the output, comes from a register as well.

    Members
    -------
    i : ``In(stream.Signature(position_shape))``
        ``row``, ``row_addr``, ``byte`` of the position, ``rows`` and ``row_bytes`` of the slab, ``context``.
    o : ``Out(stream.Signature(access_shape))``
        ``addr`` of lane 0, ``mask`` (bit per lane, 1: inside), ``context``, with ``claim`` also that.
    """

    latency = 3
    """Cycles from a position to its access while nothing stalls."""

    def __init__(self, *, lanes, address_width=ADDRESS_WIDTH, row_width=ROW_WIDTH, byte_width=BYTE_WIDTH,
                 context_shape=0, claim=None):
        if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"Window access lanes must be a positive integer, not {lanes!r}")
        self._lanes = lanes
        self._context_shape = context_shape
        self._position_shape = data.StructLayout({
            "row": signed(row_width), "row_addr": unsigned(address_width), "byte": signed(byte_width),
            "rows": unsigned(16), "row_bytes": unsigned(byte_width - 1), "context": context_shape,
        })
        self._claim = claim
        self._access_shape = data.StructLayout({
            "addr": unsigned(address_width), "mask": unsigned(lanes), "context": context_shape,
            **({} if claim is None else {"claim": len(claim(Const(0, address_width), Signal(context_shape)))}),
        })
        super().__init__({
            "i": In(stream.Signature(self._position_shape)),
            "o": Out(stream.Signature(self._access_shape)),
        })

    @property
    def lanes(self):
        """Byte lanes."""
        return self._lanes

    @property
    def position_shape(self):
        """Layout of the input."""
        return self._position_shape

    @property
    def access_shape(self):
        """Layout of the output."""
        return self._access_shape

    def elaborate(self, platform):
        m = Module()
        s2_shape = data.StructLayout({
            "addr": len(self.i.payload.row_addr), "before": range(self.lanes + 1), "end": range(self.lanes + 1),
            "context": self._context_shape,
        })
        m.submodules.s3 = s3 = HeadBuffer(shape=self.access_shape)
        proceed, s1_valid, s2_valid = Signal(), Signal(), Signal()
        s1_context = Signal(self._context_shape, reset_less=True)
        s2 = Signal(s2_shape, reset_less=True)
        connect(m, s3=s3.o, outside=flipped(self.o))
        m.d.comb += [
            # A register; bubbles wait like anything else.
            proceed.eq(s3.i.ready),
            self.i.ready.eq(proceed),
            s3.i.valid.eq(s2_valid),
            s3.i.payload.addr.eq(s2.addr),
            s3.i.payload.context.eq(s2.context),
            *([] if self._claim is None else [s3.i.payload.claim.eq(self._claim(s2.addr, s2.context))]),
            *(s3.i.payload.mask[lane].eq((s2.before <= lane) & (lane < s2.end)) for lane in range(self.lanes)),
        ]
        with m.If(proceed):
            m.d.sync += [s1_valid.eq(self.i.valid), s2_valid.eq(s1_valid)]
            m.d.sync += [s1_context.eq(self.i.payload.context), s2.context.eq(s1_context)]
        self._measure(m, proceed, s2)
        return m

    def _measure(self, m, proceed, s2):
        """Stages 1 and 2: address, and the lanes ``before`` to ``end - 1`` that lie inside."""
        lanes, lane_bits = self.lanes, bits_for(self.lanes)
        position = self.i.payload

        # Stage 1: address, lanes before the start of the row, bytes left in the row.
        s1_addr = Signal.like(position.row_addr, reset_less=True)
        s1_before = Signal(range(lanes + 1), reset_less=True)
        s1_left = Signal((position.row_bytes - position.byte).shape(), reset_less=True)
        s1_inside = Signal(reset_less=True)
        before = Signal(range(lanes + 1))
        with m.If(position.byte < 0):
            # A start more than `lanes` bytes before the row leaves no lane inside.
            far = ~position.byte[lane_bits:].all()
            nearby = (-position.byte)[:lane_bits + 1]
            m.d.comb += before.eq(Mux(far | (nearby > lanes), lanes, nearby))
        with m.If(proceed):
            m.d.sync += [
                s1_addr.eq(position.row_addr + position.byte),
                s1_before.eq(before),
                s1_left.eq(position.row_bytes - position.byte),
                s1_inside.eq((position.row >= 0) & (position.row < position.rows)),
            ]

        # Stage 2: clip to the number of lanes.
        end = Signal(range(lanes + 1))
        with m.If(~s1_inside | s1_left[-1]):
            m.d.comb += end.eq(0)
        with m.Elif(s1_left[lane_bits:-1].any() | (s1_left[:lane_bits] > lanes)):
            m.d.comb += end.eq(lanes)
        with m.Else():
            m.d.comb += end.eq(s1_left[:lane_bits])
        with m.If(proceed):
            m.d.sync += [s2.addr.eq(s1_addr), s2.before.eq(s1_before), s2.end.eq(end)]
