"""From a window position to a buffer address and the mask of lanes inside the slab."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import bits_for

from systolith.shapes import ADDRESS_WIDTH
from systolith.skid_buffer import SkidBuffer
from systolith.window import BYTE_WIDTH, ROW_WIDTH

__all__ = ["WindowAccess"]


class WindowAccess(Component):
    """Compute the address of a position and which of its byte lanes lie inside the slab.

    Lane ``l`` of a position is byte ``byte + l`` of its row; it is inside when ``0 <= byte + l < row_bytes`` and
    ``0 <= row < rows``. Three stages: (1) address and distances to the ends of the row, (2) distances clipped
    to the number of lanes, (3) mask. The stages move together; a skid buffer behind them keeps ``i.ready``
    free of the path from ``o.ready``. One position per cycle.

    Parameters
    ----------
    lanes : int
        Byte lanes.
    address_width : int
        Bits of the address; addition is modulo ``2 ** address_width``.
    row_width, byte_width : int
        Bits of the signed coordinates, as in :class:`~systolith.window.WindowWalker`.
    context_shape : shape-like
        Data that stays with a position.

    Members
    -------
    i : ``In(stream.Signature(position_shape))``
        ``row``, ``row_addr``, ``byte`` of the position, ``rows`` and ``row_bytes`` of the slab, ``context``.
    o : ``Out(stream.Signature(access_shape))``
        ``addr`` of lane 0, ``mask`` (bit per lane, 1: inside), ``context``.
    """

    latency = 3
    """Cycles from a position to its access while nothing stalls."""

    def __init__(self, *, lanes, address_width=ADDRESS_WIDTH, row_width=ROW_WIDTH, byte_width=BYTE_WIDTH,
                 context_shape=unsigned(0)):
        if isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"Window access lanes must be a positive integer, not {lanes!r}")
        self._lanes = lanes
        self._context_shape = context_shape
        self._position_shape = data.StructLayout({
            "row": signed(row_width), "row_addr": unsigned(address_width), "byte": signed(byte_width),
            "rows": unsigned(16), "row_bytes": unsigned(ADDRESS_WIDTH), "context": context_shape,
        })
        self._access_shape = data.StructLayout({
            "addr": unsigned(address_width), "mask": unsigned(lanes), "context": context_shape,
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
        m.submodules.skid = skid = SkidBuffer(shape=self.access_shape)
        m.d.comb += [
            self.o.valid.eq(skid.o.valid),
            self.o.payload.eq(skid.o.payload),
            skid.o.ready.eq(self.o.ready),
        ]
        valid = [self.i.valid, Signal(name="s1_valid"), Signal(name="s2_valid"), Signal(name="s3_valid")]
        context = [self.i.payload.context] + [
            Signal(self._context_shape, name=f"s{stage}_context", reset_less=True) for stage in (1, 2, 3)]
        proceed = Signal()
        m.d.comb += [proceed.eq(~valid[3] | skid.i.ready), self.i.ready.eq(proceed), skid.i.valid.eq(valid[3])]
        with m.If(proceed):
            for stage in range(3):
                m.d.sync += [valid[stage + 1].eq(valid[stage]), context[stage + 1].eq(context[stage])]

        lane_bits = bits_for(self.lanes)
        bound = range(self.lanes + 1)

        # Stage 1: address, lanes before the start of the row, bytes left in the row.
        position = self.i.payload
        s1_addr = Signal.like(position.row_addr, reset_less=True)
        s1_before = Signal(bound, reset_less=True)
        s1_left = Signal(signed(max(len(position.byte), len(position.row_bytes) + 1) + 1), reset_less=True)
        s1_inside = Signal(reset_less=True)
        before = Signal(bound)
        with m.If(position.byte < 0):
            # A start more than `lanes` bytes before the row leaves no lane inside.
            far = ~position.byte[lane_bits:].all()
            nearby = (-position.byte)[:lane_bits + 1]
            m.d.comb += before.eq(Mux(far | (nearby > self.lanes) | (nearby == 0), self.lanes, nearby))
        with m.If(proceed):
            m.d.sync += [
                s1_addr.eq(position.row_addr + position.byte),
                s1_before.eq(before),
                s1_left.eq(position.row_bytes - position.byte),
                s1_inside.eq((position.row >= 0) & (position.row < position.rows)),
            ]

        # Stage 2: lanes [before, end) are inside.
        s2_addr = Signal.like(s1_addr, reset_less=True)
        s2_before = Signal(bound, reset_less=True)
        s2_end = Signal(bound, reset_less=True)
        end = Signal(bound)
        with m.If(~s1_inside | s1_left[-1]):
            m.d.comb += end.eq(0)
        with m.Elif(s1_left[lane_bits:-1].any() | (s1_left[:lane_bits] > self.lanes)):
            m.d.comb += end.eq(self.lanes)
        with m.Else():
            m.d.comb += end.eq(s1_left[:lane_bits])
        with m.If(proceed):
            m.d.sync += [s2_addr.eq(s1_addr), s2_before.eq(s1_before), s2_end.eq(end)]

        # Stage 3: thermometer decoder.
        s3_access = Signal(self.access_shape, reset_less=True)
        with m.If(proceed):
            m.d.sync += s3_access.addr.eq(s2_addr)
            for lane in range(self.lanes):
                m.d.sync += s3_access.mask[lane].eq((s2_before <= lane) & (lane < s2_end))
        m.d.comb += [skid.i.payload.eq(s3_access), skid.i.payload.context.eq(context[3])]
        return m
