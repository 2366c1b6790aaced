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
    0 to 7.

    Parameters
    ----------
    width : int
        Bits of the signed value, 2 to 32.

    Members
    -------
    amount : ``In(5)``
        Bits to shift. Belongs to the ``value`` of the **next** cycle, since its mask is made first.
    value : ``In(signed(width))``
        Number to shift.
    rounding : ``In(2)``
        :class:`~systolith_spec.commands.Rounding` rule, in the cycle of ``value``.
    result : ``Out(signed(33))``
        Shifted number, ``latency`` cycles after ``value``.

    Raises
    ------
    ValueError
        If the width is not 2 to 32.
    """

    latency = 3
    """Clock cycles from ``value`` to ``result``."""

    def __init__(self, *, width):
        if not 2 <= width <= 32:
            raise ValueError(f"Rounding shift width must be 2 to 32, not {width!r}")
        self._width = width
        super().__init__(
            {
                "amount": In(5),
                "value": In(signed(width)),
                "rounding": In(2),
                "result": Out(signed(33)),
            }
        )

    @property
    def width(self):
        """Bits of the value."""
        return self._width

    def elaborate(self, platform):
        m = Module()
        # Mask of `amount` ones, one cycle ahead of the value.
        mask = Signal(31, reset_less=True)
        amount = Signal(5, reset_less=True)
        m.d.sync += [amount.eq(self.amount)]
        m.d.sync += [mask[bit].eq(bit < self.amount) for bit in range(31)]

        # value + addend, the carry in written as an extra lowest bit to make one adder of it.
        negative = self.value[-1]
        addend = Signal(31)
        carry = Signal()
        with m.If(self.rounding == Rounding.TRUNCATE):
            m.d.comb += addend.eq(Mux(negative, mask, 0))
        with m.Else():
            m.d.comb += [
                addend.eq(mask[1:]),
                carry.eq(mask[0] & ((self.rounding == Rounding.SINGLE) | ~negative)),
            ]
        s0_sum = Signal(signed(33), reset_less=True)
        s0_amount = Signal(5, reset_less=True)
        m.d.sync += [
            s0_sum.eq((Cat(Const(1, 1), self.value).as_signed() + Cat(carry, addend))[1:].as_signed()),
            s0_amount.eq(amount),
        ]

        s1_coarse = Signal(signed(33), reset_less=True)
        s1_amount = Signal(3, reset_less=True)
        m.d.sync += [s1_coarse.eq(s0_sum >> (s0_amount[3:] << 3)), s1_amount.eq(s0_amount[:3])]

        s2_fine = Signal(signed(33), reset_less=True)
        m.d.sync += s2_fine.eq(s1_coarse >> s1_amount)
        m.d.comb += self.result.eq(s2_fine)
        return m
