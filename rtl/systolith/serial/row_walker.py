"""One row of a window walk: addresses, and which lanes lie in the slab."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.delay import delay
from systolith_spec.widths import byte_coordinate_width

__all__ = ["RowWalker"]


class RowWalker(Component):
    """Read the vectors of a row, one per cycle or as fast as the activation buffer takes them.

    Byte coordinates are kept twice, relative to the beginning of the row and to its end, so that the lanes within it follow
    from signs and low bits.

    Parameters
    ----------
    config : AcceleratorConfig
    latency : int
        Cycles from ``taken`` to the vector.

    Members
    -------
    value : ``In(32)``
        For the registers below.
    set_step, set_low, set_high, set_positions : ``In(1)``
        Bytes from position to position; byte in the row of the first position, and that less the bytes of the row; number
        of positions. Held.
    set_row, row_inside : ``In(1)``
        Whether the next row lies in the slab.
    set_address : ``In(1)``
        Set the address without a walk.
    walk : ``In(1)``
        Set the address and walk a row; only while not ``busy``.
    advance : ``In(1)``
        Read a vector and step, without a walk.
    kill : ``In(1)``
        End the walk.
    busy, draining : ``Out(1)``
        Vectors are to be read; or have not been ``valid`` up to the next cycle.
    read : ``Out(1)``, address : ``Out``, taken : ``In(1)``
        Read of the activation buffer; held until taken.
    valid : ``Out(1)``, inside : ``Out(rows)``
        ``latency`` cycles after ``taken``: a vector of a walk; lanes that lie in the slab.
    """

    def __init__(self, *, config, latency=1):
        self._config, self._latency = config, latency
        super().__init__({
            "value": In(32),
            **{name: In(1) for name in ("set_step", "set_low", "set_high", "set_positions", "set_row", "row_inside",
                                        "set_address", "walk", "advance", "kill")},
            "busy": Out(1), "draining": Out(1), "read": Out(1), "taken": In(1),
            "address": Out(exact_log2(config.activation_bytes)), "valid": Out(1), "inside": Out(config.rows),
        })

    def elaborate(self, platform):
        m = Module()
        width = byte_coordinate_width(self._config)
        step, low_0, high_0, low, high = (Signal(signed(width), name=name, reset_less=True)
                                          for name in ("step", "low_0", "high_0", "low", "high"))
        positions, left = Signal(16, reset_less=True), Signal(16, reset_less=True)
        next_row, row = Signal(reset_less=True), Signal(reset_less=True)
        for register, enable in ((step, self.set_step), (low_0, self.set_low), (high_0, self.set_high),
                                 (positions, self.set_positions)):
            with m.If(enable):
                m.d.sync += register.eq(self.value)
        with m.If(self.set_row):
            m.d.sync += next_row.eq(self.row_inside)
        walking, some = Signal(), Signal(reset_less=True)
        m.d.sync += some.eq(positions.any())
        step_now = walking & self.taken
        m.d.comb += [self.busy.eq(walking), self.read.eq(walking | self.advance)]
        with m.If(self.walk):
            m.d.sync += [low.eq(low_0), high.eq(high_0), left.eq(positions), row.eq(next_row),
                         walking.eq(some)]
        with m.Elif(self.kill):
            m.d.sync += walking.eq(0)
        with m.Elif(step_now):
            m.d.sync += walking.eq(left != 1)
            m.d.sync += [low.eq(low + step), high.eq(high + step), left.eq(left - 1)]
        with m.If(self.walk | self.set_address):
            m.d.sync += self.address.eq(self.value)
        with m.Elif(self.read & self.taken):
            m.d.sync += self.address.eq(self.address + step)
        inside = Cat(row & self._not_negative(low, lane) & ~self._not_negative(high, lane)
                     for lane in range(self._config.rows))
        coming = Signal(self._latency)
        m.d.comb += [self.valid.eq(coming[-1]), self.draining.eq(walking | coming[:-1].any())]
        m.d.sync += [coming.eq(Cat(step_now, coming)), self.inside.eq(delay(m, inside, self._latency - 1, name="inside"))]
        return m

    def _not_negative(self, coordinate, lane):
        """``coordinate + lane >= 0``, for a lane of the vector."""
        bits = exact_log2(self._config.rows)
        near = coordinate[bits:].all()  # -rows to -1
        return ~coordinate[-1] | (near & (coordinate[:bits] >= (1 << bits) - lane if lane else Const(0)))
