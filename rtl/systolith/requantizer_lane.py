"""One lane of the requantizer."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.multiplier import multiplier
from systolith.rounding_shift import RoundingShift
from systolith_spec.commands import Rounding

__all__ = ["RequantizerLane"]


class RequantizerLane(Component):
    """Bias, multiplication, rounding, zero point and clamp of one lane; free-running, one value a cycle.

    :class:`~systolith.requantizer.Requantizer` states the arithmetic. Control inputs are sampled in the
    cycle in which their stage needs them (the parent delays them once for all lanes); data inputs are all
    sampled in cycle 0.

    ======  ===============================================================================
    cycle   work, ending in a register
    ======  ===============================================================================
    0       sum plus or minus bias, modulo 2**32
    1, 2    left shift by max(exponent, 0): multiples of eight, then 0 to 7
    3, 4    four partial products of 16-bit halves (operand and product register of the DSP)
    5       sum of the two middle products
    6       product / 2**16
    7       product / 2**31, rounded by the rule
    8-10    right shift by max(-exponent, 0), rounded by the rule
    11      saturation to ten bits, which loses nothing that the clamp would keep
    12, 13  zero point, clamp
    ======  ===============================================================================

    Parameters
    ----------
    multiplier_style : str
        Style of the multipliers, see :func:`~systolith.multiplier.multiplier`.

    Members
    -------
    sum, bias : ``In(signed(32))``
    multiplier : ``In(31)``
    exponent : ``In(signed(7))``
        -31 to 30.
    bias_follows_sign : ``In(1)``
        Cycle 0.
    saturate : ``In(1)``
        Cycle 2: a left shift that overflows saturates rather than wraps.
    rounding : ``In(2)``
        Cycle 7; the lane delays it further.
    zero_out : ``In(signed(8))``
        Cycle 12.
    minimum, maximum : ``In(signed(8))``
        Cycle 13.
    result : ``Out(signed(8))``
        ``latency`` cycles after ``sum``.
    """

    saturate_cycle = 2
    rounding_cycle = 7
    zero_cycle = 8 + RoundingShift.latency + 1
    clamp_cycle = zero_cycle + 1
    latency = clamp_cycle + 1
    """Clock cycles from ``sum`` to ``result``."""

    def __init__(self, *, multiplier_style="generic"):
        self._multiplier_style = multiplier_style
        super().__init__(
            {
                "sum": In(signed(32)),
                "bias": In(signed(32)),
                "multiplier": In(31),
                "exponent": In(signed(7)),
                "bias_follows_sign": In(1),
                "saturate": In(1),
                "rounding": In(2),
                "zero_out": In(signed(8)),
                "minimum": In(signed(8)),
                "maximum": In(signed(8)),
                "result": Out(signed(8)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left = Signal(5)
        right = Signal(5)
        with m.If(self.exponent[-1]):
            m.d.comb += right.eq(-self.exponent)
        with m.Else():
            m.d.comb += left.eq(self.exponent)

        s2_operand = self._shift_left(m, self._add_bias(m), delay(m, left, 1, name="left"))
        s6_product, s6_inexact = self._multiply(m, s2_operand, delay(m, self.multiplier, 3, name="multiplier"))
        s5_right = delay(m, right, 6, name="s5_right")
        right, s6_final = Signal(5, name="s6_right", reset_less=True), Signal(reset_less=True)
        m.d.sync += [right.eq(s5_right), s6_final.eq(s5_right == 0)]
        s7_high = self._high(m, s6_product, s6_inexact, s6_final)

        m.submodules.shift = shift = RoundingShift(width=32, result_width=10)
        m.d.comb += [
            shift.amount.eq(right),
            shift.value.eq(s7_high),
            shift.rounding.eq(delay(m, self.rounding, 1, name="rounding")),
        ]
        self._finish(m, shift)
        return m

    def _add_bias(self, m):
        """Cycle 0: subtract the bias as a ones' complement plus carry, in one adder."""
        subtract = self.bias_follows_sign & self.sum[-1]
        s0_biased = Signal(signed(32), reset_less=True)
        bias = self.bias ^ subtract.replicate(32)
        m.d.sync += s0_biased.eq((Cat(Const(1, 1), self.sum) + Cat(subtract, bias))[1:33])
        return s0_biased

    def _shift_left(self, m, s0_biased, s0_left):
        """Cycles 1 and 2: shift, watching the bits that fall out."""
        s1_shifted = Signal(signed(32), reset_less=True)
        s1_overflow = Signal(reset_less=True)
        s1_sign = Signal(reset_less=True)
        s1_left = Signal(3, reset_less=True)
        # Bit i: the shift to come moves bit 30 - i out or into the sign.
        s1_moved = Signal(7, reset_less=True)
        m.d.sync += [s1_sign.eq(s0_biased[-1]), s1_left.eq(s0_left[:3])]
        m.d.sync += [s1_moved[index].eq(s0_left[:3] > index) for index in range(len(s1_moved))]
        # A number fits as long as the bits from its sign down to the new sign are all the same.
        coarse = Cat(Const(0, 3), s0_left[3:])
        changes = Cat((bit ^ s0_biased[-1]) & (coarse >= index) for index, bit in enumerate(reversed(s0_biased[7:])))
        m.d.sync += [s1_shifted.eq((s0_biased << coarse)[:32]), s1_overflow.eq(changes.any())]

        shifted = (s1_shifted << s1_left)[:32]
        below_sign = Cat(reversed(s1_shifted[24:31]))
        changes = (s1_shifted[31] ^ s1_sign) | ((below_sign ^ s1_sign.replicate(7)) & s1_moved).any()
        overflow = s1_overflow | changes
        s2_operand = Signal(signed(32), reset_less=True)
        extreme = Cat((~s1_sign).replicate(31), s1_sign)
        m.d.sync += s2_operand.eq(Mux(self.saturate & overflow, extreme, shifted))
        return s2_operand

    def _multiply(self, m, x, q):
        """Cycles 3 to 6: signed(32) x unsigned(31), returned without its 16 lowest bits, and whether any of the 31
        lowest is 1."""
        products = {}
        for x_name, x_part, x_shape in (
            ("low", x[:16], unsigned(16)),
            ("high", x[16:].as_signed(), signed(16)),
        ):
            for q_name, q_part, q_shape in (("low", q[:16], unsigned(16)), ("high", q[16:], unsigned(15))):
                name = f"{x_name}_{q_name}"
                m.submodules[name] = product = multiplier(
                    style=self._multiplier_style, a_shape=x_shape, b_shape=q_shape
                )
                m.d.comb += [product.a.eq(x_part), product.b.eq(q_part)]
                products[name] = product.p
        # The low and the high product do not overlap: their sum is a concatenation.
        s5_outer = Signal(signed(47), reset_less=True)
        s5_middle = Signal(signed(33), reset_less=True)
        s5_sticky = Signal(reset_less=True)
        m.d.sync += [
            s5_outer.eq(Cat(products["low_low"][16:], products["high_high"])),
            s5_middle.eq(products["low_high"] + products["high_low"]),
            s5_sticky.eq(products["low_low"][:16].any()),
        ]
        s6_product = Signal(signed(47), reset_less=True)
        s6_inexact = Signal(reset_less=True)
        # Beside the addition: a + b = 0 modulo 2**n exactly if each bit of a ^ b is the bit of a | b below it.
        low, other = s5_outer[:15], s5_middle[:15]
        nonzero = (low ^ other) ^ Cat(Const(0, 1), (low | other)[:14])
        m.d.sync += [s6_product.eq(s5_outer + s5_middle), s6_inexact.eq(s5_sticky | nonzero.any())]
        return s6_product, s6_inexact

    def _high(self, m, s6_product, s6_inexact, final):
        """Cycle 7: divide by 2**31; SINGLE rounds here only if no right shift follows (``final``)."""
        increment = Signal()
        half = s6_product[14]
        with m.Switch(self.rounding):
            with m.Case(Rounding.DOUBLE):
                m.d.comb += increment.eq(half)
            with m.Case(Rounding.SINGLE):
                m.d.comb += increment.eq(half & final)
            with m.Default():
                m.d.comb += increment.eq(s6_product[-1] & s6_inexact)
        s7_high = Signal(signed(32), reset_less=True)
        m.d.sync += s7_high.eq(s6_product[15:].as_signed() + increment)
        return s7_high

    def _finish(self, m, shift):
        """Saturate to ten bits, add the zero point, clamp."""
        narrow = Signal(signed(10), reset_less=True)
        extreme = Cat((~shift.negative).replicate(9), shift.negative)
        m.d.sync += narrow.eq(Mux(shift.overflow, extreme, shift.result))

        shifted = Signal(signed(11), reset_less=True)
        m.d.sync += shifted.eq(narrow + self.zero_out)

        result = Signal(signed(8), reset_less=True)
        with m.If(shifted < self.minimum):
            m.d.sync += result.eq(self.minimum)
        with m.Elif(shifted > self.maximum):
            m.d.sync += result.eq(self.maximum)
        with m.Else():
            m.d.sync += result.eq(shifted)
        m.d.comb += self.result.eq(result)
