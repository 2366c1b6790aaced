"""Reciprocal of a fixed-point sum, bit for bit that of TFLite's softmax."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.high_multiplier import HighMultiplier
from systolith_spec.vector_timing import RECIPROCAL_CYCLES, RECIPROCAL_NORMALISE

__all__ = ["Reciprocal"]

_48_OVER_17 = 1515870810  # Q2
_MINUS_32_OVER_17 = -1010580540  # Q2
_ONE = 1 << 29  # Q2
_PRODUCTS = 7  # one for the first guess, two for each of three Newton iterations
_PRODUCT_CYCLES = HighMultiplier.latency + 1


class Reciprocal(Component):
    """``1 / x = multiplier * 2**(exponent - 8)`` with the multiplier in Q0.31, for a Q12.19 number x.

    The number is shifted until its top bit is set (a fixed number of cycles); half of that is the
    denominator d in [1/2, 1) of three Newton iterations ``x += x * (1 - d * x)`` in Q2.29, as gemmlowp's
    ``one_over_one_plus_x_for_x_in_0_1``. The exponent contains the 8 fraction bits of an int8 softmax.

    Parameters
    ----------
    style : str
        Style of the multiplier, see :func:`~systolith.multiplier.multiplier`.

    Members
    -------
    start : ``In(1)``
        Take ``x``; not while busy.
    x : ``In(32)``
        ``2**19`` (1.0) to ``2**28 - 1``.
    done : ``Out(1)``
        Pulse, ``RECIPROCAL_CYCLES`` after ``start``; the results stay.
    multiplier : ``Out(31)``
    exponent : ``Out(signed(7))``
        -31 to -23.
    """

    latency = RECIPROCAL_CYCLES
    """Cycles from ``start`` to ``done``."""

    def __init__(self, *, style="generic"):
        assert RECIPROCAL_CYCLES == 1 + RECIPROCAL_NORMALISE + _PRODUCTS * _PRODUCT_CYCLES
        self._style = style
        super().__init__(
            {
                "start": In(1),
                "x": In(32),
                "done": Out(1),
                "multiplier": Out(31),
                "exponent": Out(signed(7)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shifted = Signal(32, reset_less=True)
        normalising, dividing = Signal(), Signal()
        left = Signal(range(max(RECIPROCAL_NORMALISE, _PRODUCT_CYCLES)), reset_less=True)
        last = left == 0
        with m.If(self.start):
            m.d.sync += [
                shifted.eq(self.x),
                self.exponent.eq(-35),
                normalising.eq(1),
                left.eq(RECIPROCAL_NORMALISE - 1),
            ]
        with m.Elif(normalising):
            with m.If(~shifted[-1]):
                m.d.sync += [shifted.eq(shifted << 1), self.exponent.eq(self.exponent + 1)]
            m.d.sync += left.eq(left - 1)
            with m.If(last):
                m.d.sync += [normalising.eq(0), dividing.eq(1), left.eq(_PRODUCT_CYCLES - 1)]
        with m.Elif(dividing):
            m.d.sync += left.eq(Mux(last, _PRODUCT_CYCLES - 1, left - 1))
        self._iterate(m, shifted, dividing, left, last)
        return m

    def _iterate(self, m, shifted, dividing, left, last):
        """Run the products one after another: first guess, then error and correction in turn."""
        m.submodules.multiplier = product = HighMultiplier(style=self._style)
        guess, error = Signal(signed(32), reset_less=True), Signal(signed(32), reset_less=True)
        number = Signal(range(_PRODUCTS), reset_less=True)
        denominator = (shifted >> 1).as_signed()
        is_first, is_error = number == 0, number[0]
        m.d.comb += [
            product.start.eq(dividing & (left == _PRODUCT_CYCLES - 1)),
            product.a.eq(Mux(is_first | is_error, denominator, error)),
            product.b.eq(Mux(is_first, _MINUS_32_OVER_17, guess)),
            # Q2 to Q0; 1.0 saturates.
            self.multiplier.eq(Mux(guess[30], ~Const(0, 31), guess[:30] << 1)),
        ]
        m.d.sync += self.done.eq(0)
        with m.If(self.start):
            m.d.sync += number.eq(0)
        with m.Elif(dividing & last):
            m.d.sync += number.eq(number + 1)
            with m.If(is_error):
                m.d.sync += error.eq(_ONE - product.result)
            with m.Else():
                m.d.sync += guess.eq(
                    Mux(is_first, _48_OVER_17, guess) + Mux(is_first, product.result, product.result << 2)
                )
            with m.If(number == _PRODUCTS - 1):
                m.d.sync += [dividing.eq(0), self.done.eq(1)]
