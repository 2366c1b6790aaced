"""Arithmetic right shift with the rounding rules of the requantizer."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith_spec.commands import Rounding

__all__ = ["RoundingShift"]


class RoundingShift(Component):
    """Free-running ``value / 2**amount``, rounded to an integer, ``latency`` cycles after ``value``.

    Each rule adds a number below ``2**amount`` and shifts arithmetically:

    ========  ===================  ===================================================
    rule      nearest              added for ``amount`` > 0
    ========  ===================  ===================================================
    DOUBLE    ties away from zero  ``2**(amount - 1) - (value < 0)``
    SINGLE    ties up              ``2**(amount - 1)``
    TRUNCATE  toward zero          ``2**amount - 1`` for a negative value, otherwise 0
    ========  ===================  ===================================================

    Dataflow: mask of ``amount`` ones; addition with the rule's carry; shift by multiples of eight; shift by
    0 to 7. Bits that a narrow result does not need are dropped before each shift; they only decide ``overflow``.

    Parameters
    ----------
    width : int
        Bits of the signed value, 2 to 32.
    result_width : int
        Bits of the result, 2 to ``width + 1``.

    Members
    -------
    amount : ``In(5)``
        Bits to shift. Belongs to the ``value`` of the **next** cycle, since its mask is made first.
    value : ``In(signed(width))``
        Number to shift.
    rounding : ``In(2)``
        :class:`~systolith_spec.commands.Rounding` rule, in the cycle of ``value``.
    result : ``Out(signed(result_width))``
        Shifted number, ``latency`` cycles after ``value``; its low bits in case of ``overflow``.
    overflow, negative : ``Out(1)``, ``Out(1)``
        The shifted number does not fit the result; its sign. With the result.

    Raises
    ------
    ValueError
        If a width is not in its range.
    """

    latency = 3
    """Clock cycles from ``value`` to ``result``."""

    def __init__(self, *, width, result_width):
        if not 2 <= width <= 32:
            raise ValueError(f"Rounding shift width must be 2 to 32, not {width!r}")
        if not 2 <= result_width <= width + 1:
            raise ValueError(f"Rounding shift result width must be 2 to {width + 1}, not {result_width!r}")
        self._width = width
        self._result_width = result_width
        super().__init__(
            {
                "amount": In(5),
                "value": In(signed(width)),
                "rounding": In(2),
                "result": Out(signed(result_width)),
                "overflow": Out(1),
                "negative": Out(1),
            }
        )

    @property
    def width(self):
        """Bits of the value."""
        return self._width

    @property
    def result_width(self):
        """Bits of the result."""
        return self._result_width

    def elaborate(self, platform):
        m = Module()
        # Mask of `amount` ones, one cycle ahead of the value.
        mask = Signal(31, reset_less=True)
        amount = Signal(5, reset_less=True)
        m.d.sync += [amount.eq(self.amount)]
        # In two digits, so that a bit costs one look-up table.
        coarse, fine = self.amount[3:], Signal(8)
        m.d.comb += [fine[digit].eq(digit < self.amount[:3]) for digit in range(8)]
        m.d.sync += [
            mask[bit].eq((bit // 8 < coarse) | ((bit // 8 == coarse) & fine[bit % 8])) for bit in range(31)
        ]

        # value + addend, the carry in written as an extra lowest bit to make one adder of it.
        negative = self.value[-1]
        addend = Signal(31)
        carry = Signal()
        # One bit, without a decoder between register and adder: no other rule has it.
        assert Rounding.TRUNCATE == 2 and max(Rounding) == 2
        with m.If(self.rounding[1]):
            m.d.comb += addend.eq(Mux(negative, mask, 0))
        with m.Else():
            m.d.comb += [
                addend.eq(mask[1:]),
                carry.eq(mask[0] & (self.rounding[0] | ~negative)),
            ]
        s0_sum = Signal(signed(33), reset_less=True)
        s0_amount = Signal(5, reset_less=True)
        m.d.sync += [
            s0_sum.eq((Cat(Const(1, 1), self.value).as_signed() + Cat(carry, addend))[1:].as_signed()),
            s0_amount.eq(amount),
        ]
        s1 = self._shift(m, s0_sum, s0_amount[3:] << 3, 8 * 3, self.result_width + 7, Const(0, 1), "s1")
        s1_amount = Signal(3, reset_less=True)
        m.d.sync += s1_amount.eq(s0_amount[:3])
        s2_fine, s2_overflow, s2_negative = self._shift(m, s1[0], s1_amount, 7, self.result_width, s1[1], "s2", s1[2])
        m.d.comb += [self.result.eq(s2_fine), self.overflow.eq(s2_overflow), self.negative.eq(s2_negative)]
        return m

    def _shift(self, m, value, amount, most, width, overflow, name, negative=None):
        """Shift right by up to ``most`` and keep ``width`` bits; registers (result, overflow, negative)."""
        width = min(width, len(value))
        negative = value[-1] if negative is None else negative
        shifted = Signal(signed(width), name=f"{name}_shifted", reset_less=True)
        lost = Signal(name=f"{name}_overflow", reset_less=True)
        sign = Signal(name=f"{name}_negative", reset_less=True)
        # Bits from the sign of the result up must all be the sign; a shift spares the lowest of them.
        dropped = Cat((bit ^ negative) & (amount <= index) for index, bit in enumerate(value[width - 1 :]))
        m.d.sync += [
            shifted.eq((value >> amount)[:width]),
            lost.eq(overflow | dropped.any()),
            sign.eq(negative),
        ]
        return shifted, lost, sign
