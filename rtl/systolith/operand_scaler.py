"""Operand scaling of TensorFlow Lite's quantised addition."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.multiplier import multiplier
from systolith.rounding_shift import RoundingShift
from systolith_spec.commands import Rounding

__all__ = ["OperandScaler"]


class OperandScaler(Component):
    """Scale operands of an addition: ``operand * 2**20`` requantized with rule DOUBLE; free-running.

    For each lane ``h = (operand * 2**20 * q + 2**30) >> 31``, which is TFLite's saturating rounding doubling
    high multiplication (it never saturates here), then ``h / 2**right`` to nearest, ties away from zero.
    Multiplier and shift are shared by all lanes. The multiplier ``2**30`` with a shift of 19 leaves the
    operand as it is.

    Dataflow: two partial products; their sum; rounding; right shift.

    Parameters
    ----------
    lanes : int
        Operands per cycle, at least 1.
    multiplier_style : str
        Style of the multipliers, two per lane; see :func:`~systolith.multiplier.multiplier`.

    Members
    -------
    operands : ``In(ArrayLayout(signed(9), lanes))``
        -255 to 255.
    multiplier : ``In(31)``
        0 to 2**31 - 1.
    right : ``In(5)``
        Bits to shift to the right: minus the exponent.
    results : ``Out(ArrayLayout(signed(30), lanes))``
        Scaled operands, ``latency`` cycles after ``operands``.

    Raises
    ------
    ValueError
        If there is no lane.
    """

    latency = 4 + RoundingShift.latency
    """Clock cycles from ``operands`` to ``results``."""

    def __init__(self, *, lanes, multiplier_style="generic"):
        if lanes < 1:
            raise ValueError(f"Operand scaler lanes must be at least 1, not {lanes!r}")
        self._lanes = lanes
        self._multiplier_style = multiplier_style
        super().__init__(
            {
                "operands": In(data.ArrayLayout(signed(9), lanes)),
                "multiplier": In(31),
                "right": In(5),
                "results": Out(data.ArrayLayout(signed(30), lanes)),
            }
        )

    @property
    def lanes(self):
        """Operands per cycle."""
        return self._lanes

    def elaborate(self, platform):
        m = Module()
        right = delay(m, self.right, 3, name="right")
        for index in range(self.lanes):
            operand = self.operands[index]
            halves = {}
            for name, part, width in (("low", self.multiplier[:16], 16), ("high", self.multiplier[16:], 15)):
                m.submodules[f"{name}_{index}"] = halves[name] = multiplier(
                    style=self._multiplier_style, a_shape=signed(9), b_shape=unsigned(width)
                )
                m.d.comb += [halves[name].a.eq(operand), halves[name].b.eq(part)]

            # In units of 2**20: the lowest 10 of the 11 bits below 2**31 do not matter to the rounding.
            s2_product = Signal(signed(40), name=f"s2_product_{index}", reset_less=True)
            m.d.sync += s2_product.eq(halves["low"].p + (halves["high"].p << 16))
            s3_high = Signal(signed(30), name=f"s3_high_{index}", reset_less=True)
            m.d.sync += s3_high.eq(s2_product[11:].as_signed() + s2_product[10])

            m.submodules[f"shift_{index}"] = shift = RoundingShift(width=30, result_width=30)
            m.d.comb += [
                shift.amount.eq(right),
                shift.value.eq(s3_high),
                shift.rounding.eq(Rounding.DOUBLE),
                self.results[index].eq(shift.result),
            ]
        return m
