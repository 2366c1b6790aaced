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
    0       sign of the bias
    1       sum plus or minus bias, modulo 2**32
    2-4     left shift by max(exponent, 0): multiples of eight, 0 to 7, saturation
    5, 6    four partial products of 16-bit halves (operand and product register of the DSP)
    7       sum of the two middle products
    8       product / 2**16
    9       whether the rule rounds up
    10      product / 2**31, rounded
    11-13   right shift by max(-exponent, 0), rounded by the rule
    14      saturation to ten bits, which loses nothing that the clamp would keep
    15, 16  zero point, clamp
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
        Cycle 4: a left shift that overflows saturates rather than wraps.
    rounding : ``In(2)``
        Cycle 9; the lane delays it further.
    zero_out : ``In(signed(8))``
        Cycle 15.
    minimum, maximum : ``In(signed(8))``
        Cycle 16.
    result : ``Out(signed(8))``
        ``latency`` cycles after ``sum``.
    """

    saturate_cycle = 4
    rounding_cycle = 9
    zero_cycle = 11 + RoundingShift.latency + 1
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

        s4_operand = self._shift_left(m, self._add_bias(m), delay(m, left, 2, name="left"))
        s8_product, s8_inexact = self._multiply(m, s4_operand, delay(m, self.multiplier, 5, name="multiplier"))
        s7_right = delay(m, right, 8, name="s7_right")
        s8_right, s8_final = Signal(5, reset_less=True), Signal(reset_less=True)
        m.d.sync += [s8_right.eq(s7_right), s8_final.eq(s7_right == 0)]
        s10_high = self._high(m, s8_product, s8_inexact, s8_final)

        m.submodules.shift = shift = RoundingShift(width=32, result_width=10)
        m.d.comb += [
            shift.amount.eq(delay(m, s8_right, 1, name="s9_right")),
            shift.value.eq(s10_high),
            shift.rounding.eq(delay(m, self.rounding, 2, name="rounding")),
        ]
        self._finish(m, shift)
        return m

    def _add_bias(self, m):
        """Cycles 0 and 1: subtract the bias as a ones' complement plus carry, in one adder."""
        subtract = self.bias_follows_sign & self.sum[-1]
        s0_sum, s0_bias = Signal(32, reset_less=True), Signal(32, reset_less=True)
        s0_subtract = Signal(reset_less=True)
        m.d.sync += [s0_sum.eq(self.sum), s0_bias.eq(self.bias ^ subtract.replicate(32)), s0_subtract.eq(subtract)]
        s1_biased = Signal(signed(32), reset_less=True)
        m.d.sync += s1_biased.eq((Cat(Const(1, 1), s0_sum) + Cat(s0_subtract, s0_bias))[1:33])
        return s1_biased

    def _shift_left(self, m, s1_biased, s1_left):
        """Cycles 2 to 4: shift, watching the bits that fall out."""
        s2_shifted = Signal(signed(32), reset_less=True)
        s2_overflow = Signal(reset_less=True)
        s2_sign = Signal(reset_less=True)
        s2_left = Signal(3, reset_less=True)
        # Bit i: the shift to come moves bit 30 - i out or into the sign.
        s2_moved = Signal(7, reset_less=True)
        m.d.sync += [s2_sign.eq(s1_biased[-1]), s2_left.eq(s1_left[:3])]
        m.d.sync += [s2_moved[index].eq(s1_left[:3] > index) for index in range(len(s2_moved))]
        # A number fits as long as the bits from its sign down to the new sign are all the same.
        coarse = Cat(Const(0, 3), s1_left[3:])
        changes = Cat((bit ^ s1_biased[-1]) & (coarse >= index) for index, bit in enumerate(reversed(s1_biased[7:])))
        m.d.sync += [s2_shifted.eq((s1_biased << coarse)[:32]), s2_overflow.eq(changes.any())]

        shifted = (s2_shifted << s2_left)[:32]
        below_sign = Cat(reversed(s2_shifted[24:31]))
        changes = (s2_shifted[31] ^ s2_sign) | ((below_sign ^ s2_sign.replicate(7)) & s2_moved).any()
        s3_shifted, s3_extreme = Signal(signed(32), reset_less=True), Signal(signed(32), reset_less=True)
        s3_overflow = Signal(reset_less=True)
        m.d.sync += [
            s3_shifted.eq(shifted),
            s3_extreme.eq(Cat((~s2_sign).replicate(31), s2_sign)),
            s3_overflow.eq(s2_overflow | changes),
        ]
        s4_operand = Signal(signed(32), reset_less=True)
        m.d.sync += s4_operand.eq(Mux(self.saturate & s3_overflow, s3_extreme, s3_shifted))
        return s4_operand

    def _multiply(self, m, x, q):
        """Cycles 5 to 8: signed(32) x unsigned(31), returned without its 16 lowest bits, and whether any of the 31
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
        s7_outer = Signal(signed(47), reset_less=True)
        s7_middle = Signal(signed(33), reset_less=True)
        s7_sticky = Signal(reset_less=True)
        m.d.sync += [
            s7_outer.eq(Cat(products["low_low"][16:], products["high_high"])),
            s7_middle.eq(products["low_high"] + products["high_low"]),
            s7_sticky.eq(products["low_low"][:16].any()),
        ]
        s8_product = Signal(signed(47), reset_less=True)
        s8_inexact = Signal(reset_less=True)
        # Beside the addition: a + b = 0 modulo 2**n exactly if each bit of a ^ b is the bit of a | b below it.
        low, other = s7_outer[:15], s7_middle[:15]
        nonzero = (low ^ other) ^ Cat(Const(0, 1), (low | other)[:14])
        m.d.sync += [s8_product.eq(s7_outer + s7_middle), s8_inexact.eq(s7_sticky | nonzero.any())]
        return s8_product, s8_inexact

    def _high(self, m, s8_product, s8_inexact, final):
        """Cycles 9 and 10: divide by 2**31; SINGLE rounds here only if no right shift follows (``final``)."""
        s9_quotient, s9_increment = Signal(signed(32), reset_less=True), Signal(reset_less=True)
        half = s8_product[14]
        m.d.sync += s9_quotient.eq(s8_product[15:].as_signed())
        with m.Switch(self.rounding):
            with m.Case(Rounding.DOUBLE):
                m.d.sync += s9_increment.eq(half)
            with m.Case(Rounding.SINGLE):
                m.d.sync += s9_increment.eq(half & final)
            with m.Default():
                m.d.sync += s9_increment.eq(s8_product[-1] & s8_inexact)
        s10_high = Signal(signed(32), reset_less=True)
        m.d.sync += s10_high.eq(s9_quotient + s9_increment)
        return s10_high

    def _finish(self, m, shift):
        """Saturate to ten bits, add the zero point, clamp."""
        narrow = Signal(signed(10), reset_less=True)
        extreme = Cat((~shift.negative).replicate(9), shift.negative)
        m.d.sync += narrow.eq(Mux(shift.overflow, extreme, shift.result))

        shifted = Signal(signed(11), reset_less=True)
        m.d.sync += shifted.eq(narrow + self.zero_out)

        # Signs of differences, which tools put on one carry chain each.
        below, above = shifted - self.minimum, self.maximum - shifted
        result = Signal(signed(8), reset_less=True)
        with m.If(below[-1]):
            m.d.sync += result.eq(self.minimum)
        with m.Elif(above[-1]):
            m.d.sync += result.eq(self.maximum)
        with m.Else():
            m.d.sync += result.eq(shifted)
        m.d.comb += self.result.eq(result)
