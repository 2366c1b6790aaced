"""Byte-column memory that reads and writes a word of lanes at any lane address."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.block_ram import block_ram
from systolith.rotator import rotate_lanes_down, rotate_lanes_up

__all__ = ["RotatingRam"]

# From so many lanes on, the last step of the rotation is behind a register.
_LANES_ROTATED_LATE = 4


class RotatingRam(Component):
    """Memory of ``rows * lanes`` units with one unaligned read and one unaligned write a cycle.

    Unit ``a`` lives in column ``a % lanes`` at row ``a // lanes``; every column is a RAM of its own. An
    access at address ``a`` touches row ``a // lanes`` in the columns from ``a % lanes`` on and the next row
    (modulo ``rows``) in the columns before it; a rotation puts the columns in the order of the lanes.

    Reads: address register (s1), row increment (s2), RAM with output register (s3, s4), rotation (s5); with four lanes or
    more its last step, by one lane, follows behind the register.
    Writes: address register (s1), rotation and row increment (s2), RAM. A write of cycle t is sampled by the
    RAM at the end of cycle t + 2 and so is a read of cycle t, so reads of cycle t + 1 see it. A read and a
    write of the same unit in the same cycle read an undefined unit.

    Parameters
    ----------
    lanes : int
        Units of a word, a power of two.
    lane_width : int
        Bits of a unit.
    rows : int
        Words, a power of two and at least 2.
    rotate_writes : bool
        False: writes are aligned, ``w_addr`` is that of a whole word and lane i goes to column i.
    style : str
        Style of the block RAM, see :func:`~systolith.block_ram.block_ram`.

    Members
    -------
    r_addr : ``In(log2(rows * lanes))``
        Address in units.
    r_en : ``In(1)``
        Read.
    r_data : ``Out(lanes * lane_width)``
        Lane i is unit ``r_addr + i`` of ``read_latency`` cycles before.
    w_addr : ``In(log2(rows * lanes))``
        Address in units.
    w_en : ``In(2)``
        Bit 0 enables the lanes in row ``w_addr // lanes``, bit 1 those in the next row.
    w_mask : ``In(lanes)``
        Enable of each lane.
    w_data : ``In(lanes * lane_width)``
        Lane i goes to unit ``w_addr + i``.
    """

    read_latency = 5
    """Clock cycles from ``r_en`` to ``r_data``."""

    def __init__(self, *, lanes, lane_width, rows, rotate_writes=True, style="generic"):
        for name, value in (("lanes", lanes), ("rows", rows)):
            if value < 1 or value & (value - 1):
                raise ValueError(f"Rotating RAM {name} must be a power of two, not {value!r}")
        if rows < 2:
            raise ValueError(f"Rotating RAM rows must be at least 2, not {rows!r}")
        self._lanes = lanes
        self._lane_width = lane_width
        self._rows = rows
        self._rotate_writes = rotate_writes
        self._style = style
        address_width = exact_log2(lanes * rows)
        super().__init__({
            "r_addr": In(address_width),
            "r_en": In(1),
            "r_data": Out(lanes * lane_width),
            "w_addr": In(address_width),
            "w_en": In(2),
            "w_mask": In(lanes),
            "w_data": In(lanes * lane_width),
        })  # fmt: skip

    @property
    def lanes(self):
        """Units of a word."""
        return self._lanes

    @property
    def lane_width(self):
        """Bits of a unit."""
        return self._lane_width

    @property
    def rows(self):
        """Words."""
        return self._rows

    @property
    def rotate_writes(self):
        """Whether writes may be unaligned."""
        return self._rotate_writes

    def elaborate(self, platform):
        m = Module()
        columns = []
        for column in range(self.lanes):
            ram = block_ram(style=self._style, width=self.lane_width, depth=self.rows)
            m.submodules[f"column_{column}"] = ram
            columns.append(ram)
        self._elaborate_read(m, columns)
        self._elaborate_write(m, columns)
        return m

    def _elaborate_read(self, m, columns):
        offset_width = exact_log2(self.lanes)
        s1_en = Signal()
        s1_addr = Signal.like(self.r_addr, reset_less=True)
        m.d.sync += [s1_en.eq(self.r_en), s1_addr.eq(self.r_addr)]

        s2_en, s2_row, s2_next, s2_wrapped = self._split(m, s1_addr, "r")
        m.d.sync += s2_en.eq(s1_en)
        for column, ram in enumerate(columns):
            m.d.comb += [ram.r_en.eq(s2_en), ram.r_addr.eq(Mux(s2_wrapped[column], s2_next, s2_row))]

        offset = s1_addr[:offset_width]
        for stage in range(2, 5):
            delayed = Signal(offset_width, name=f"s{stage}_offset", reset_less=True)
            m.d.sync += delayed.eq(offset)
            offset = delayed
        s5_data = Signal.like(self.r_data, reset_less=True)
        word = Cat(ram.r_data for ram in columns)
        if self.lanes < _LANES_ROTATED_LATE:
            m.d.sync += s5_data.eq(rotate_lanes_down(word, offset, lanes=self.lanes))
            m.d.comb += self.r_data.eq(s5_data)
            return
        s5_odd = Signal(reset_less=True)
        even = Cat(Const(0, 1), offset[1:])
        m.d.sync += [s5_data.eq(rotate_lanes_down(word, even, lanes=self.lanes)), s5_odd.eq(offset[0])]
        m.d.comb += self.r_data.eq(Mux(s5_odd, s5_data.rotate_right(self.lane_width), s5_data))

    def _elaborate_write(self, m, columns):
        s1_en = Signal(2)
        s1_addr = Signal.like(self.w_addr, reset_less=True)
        s1_mask = Signal.like(self.w_mask, reset_less=True)
        s1_data = Signal.like(self.w_data, reset_less=True)
        m.d.sync += [
            s1_en.eq(self.w_en),
            s1_addr.eq(self.w_addr),
            s1_mask.eq(self.w_mask),
            s1_data.eq(self.w_data),
        ]

        _, s2_row, s2_next, s2_wrapped = self._split(m, s1_addr, "w")
        s2_en = Signal(self.lanes)
        s2_data = Signal.like(self.w_data, reset_less=True)
        if self.rotate_writes:
            offset = s1_addr[: exact_log2(self.lanes)]
            data = rotate_lanes_up(s1_data, offset, lanes=self.lanes)
            mask = rotate_lanes_up(s1_mask, offset, lanes=self.lanes)
            enable = [Mux(column < offset, s1_en[1], s1_en[0]) for column in range(self.lanes)]
        else:
            data, mask, enable = s1_data, s1_mask, [s1_en[0]] * self.lanes
        m.d.sync += [s2_en.eq(mask & Cat(enable)), s2_data.eq(data)]
        for column, ram in enumerate(columns):
            wrapped = s2_wrapped[column] if self.rotate_writes else 0
            m.d.comb += [
                ram.w_en.eq(s2_en[column]),
                ram.w_addr.eq(Mux(wrapped, s2_next, s2_row)),
                ram.w_data.eq(s2_data.word_select(column, self.lane_width)),
            ]

    def _split(self, m, s1_addr, name):
        """Register row, next row and which columns use the next row."""
        offset_width = exact_log2(self.lanes)
        offset, row = s1_addr[:offset_width], s1_addr[offset_width:]
        s2_en = Signal(name=f"{name}_s2_en")
        s2_row = Signal(len(row), name=f"{name}_s2_row", reset_less=True)
        s2_next = Signal(len(row), name=f"{name}_s2_next", reset_less=True)
        s2_wrapped = Signal(self.lanes, name=f"{name}_s2_wrapped", reset_less=True)
        m.d.sync += [
            s2_row.eq(row),
            s2_next.eq(row + 1),
            s2_wrapped.eq(Cat(column < offset for column in range(self.lanes))),
        ]
        return s2_en, s2_row, s2_next, s2_wrapped
