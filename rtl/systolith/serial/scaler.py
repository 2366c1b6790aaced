"""Serial requantization: an output in some 27 cycles."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Scaler"]

_DOUBLE, _SINGLE = 0, 1
_STEPS = 16


class Scaler(Component):
    """Multiply a sum by multiplier * 2**(exponent - 31), round, add the zero point and clamp.

    Rounding rules: 0 double, 1 single, 2 truncate, as in the command set. The sum is shifted left for a positive exponent
    (wrapping with rule double, else saturating), multiplied by two bits of it per cycle, and shifted right by four bits or
    one for a negative one. For rule double 2**30 is the start of the product.

    The digits are Booth's: -2 to 2, from two bits and the one below. Each makes its term a cycle before that is added.

    Members
    -------
    set_exponent : ``In(1)``, exponent : ``In(signed(8))``
        Exponent of the next sum; only while not ``busy``.
    start : ``In(1)``, sum : ``In(signed(32))``, multiplier : ``In(32)``
        Scale a sum.
    rounding : ``In(2)``, zero_out, minimum, maximum : ``In(signed(8))``
    busy : ``Out(1)``
    valid : ``Out(1)``, result : ``Out(signed(8))``
    """

    def __init__(self):
        super().__init__({
            "set_exponent": In(1), "exponent": In(signed(8)), "start": In(1), "sum": In(signed(32)), "multiplier": In(32),
            "rounding": In(2), "zero_out": In(signed(8)), "minimum": In(signed(8)), "maximum": In(signed(8)),
            "busy": Out(1), "valid": Out(1), "result": Out(signed(8)),
        })

    def elaborate(self, platform):
        m = Module()
        exponent = Signal(signed(8), reset_less=True)
        multiplier = Signal(32, reset_less=True)
        high = Signal(signed(34), reset_less=True)
        low = Signal(32, reset_less=True)
        steps = Signal(range(_STEPS), reset_less=True)
        coarse, fine = Signal(6, reset_less=True), Signal(2, reset_less=True)  # shifts to the right, by four bits and by one
        half, rest = Signal(reset_less=True), Signal(reset_less=True)
        multiplying = Signal()
        double, single = self.rounding == _DOUBLE, self.rounding == _SINGLE
        with m.If(self.set_exponent):
            m.d.sync += exponent.eq(self.exponent)
        digit = Mux(multiplying, low[1:4], Cat(C(0, 1), low[:2]))
        negative, term = Signal(reset_less=True), Signal(signed(34), reset_less=True)
        multiple = Mux(digit[0] ^ digit[1], multiplier, Mux(digit[1] ^ digit[2], multiplier << 1, 0))
        m.d.sync += [negative.eq(digit[2]), term.eq(multiple ^ digit[2].replicate(34))]
        total = Signal(signed(36))
        m.d.comb += total.eq(high + term + negative)
        narrow, up = Signal(signed(9), reset_less=True), Signal(reset_less=True)
        rounded = Signal(signed(11), reset_less=True)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    low.eq(self.sum), multiplier.eq(self.multiplier), high.eq(double << 30), steps.eq(_STEPS - 1),
                    self.busy.eq(1),
                ]
                m.next = "LEFT"
            with m.State("LEFT"):
                with m.If(~exponent[-1] & exponent.any()):
                    m.d.sync += exponent.eq(exponent - 1)
                    with m.If(double | (low[31] == low[30])):
                        m.d.sync += low.eq(low << 1)
                    with m.Else():
                        m.d.sync += low.eq(Cat((~low[31]).replicate(31), low[31]))
                with m.Else():
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.comb += multiplying.eq(1)
                m.d.sync += [high.eq(total >> 2), low.eq(Cat(low[2:], total[:2])), steps.eq(steps - 1),
                             Cat(fine, coarse).eq(-exponent)]
                with m.If(steps == 0):
                    m.next = "ALIGN"
            with m.State("ALIGN"):
                m.d.sync += [
                    high.eq(Cat(low[31], high[:31]).as_signed()),
                    half.eq(single & low[30]),
                    rest.eq(~double & ~single & low[:31].any()),
                ]
                m.next = "RIGHT"
            with m.State("RIGHT"):
                with m.If(coarse.any()):
                    m.d.sync += [coarse.eq(coarse - 1), high.eq(high >> 4), half.eq(high[3]),
                                 rest.eq(rest | half | high[:3].any())]
                with m.Elif(fine.any()):
                    m.d.sync += [fine.eq(fine - 1), high.eq(high >> 1), half.eq(high[0]), rest.eq(rest | half)]
                with m.Else():
                    m.next = "ROUND"
            with m.State("ROUND"):
                fits = high[8:32].all() | ~high[8:32].any()
                m.d.sync += [
                    narrow.eq(Mux(fits, high[:9].as_signed(), Mux(high[31], -256, 255))),
                    up.eq(Mux(double, half & (~high[31] | rest), Mux(single, half, high[31] & (half | rest)))),
                ]
                m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += rounded.eq(narrow + self.zero_out + up)
                m.next = "CLAMP"
            with m.State("CLAMP"):
                m.d.sync += self.result.eq(
                    Mux(rounded < self.minimum, self.minimum, Mux(rounded > self.maximum, self.maximum, rounded)))
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += self.valid.eq(1)
                m.d.sync += self.busy.eq(0)
                m.next = "IDLE"
        return m
