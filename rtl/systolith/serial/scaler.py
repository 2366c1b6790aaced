"""Serial requantization: an output in some 25 cycles."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Scaler"]

_DOUBLE, _SINGLE = 0, 1


class Scaler(Component):
    """Multiply a sum by multiplier * 2**(exponent - 31), round, add the zero point and clamp.

    Rounding rules: 0 double, 1 single, 2 truncate, as in the command set. The sum is shifted left for a positive exponent
    (wrapping with rule double, else saturating), multiplied by ``digit`` bits of it per cycle, and shifted right by
    four bits or one for a negative one. For rule double 2**30 is the start of the product.

    Parameters
    ----------
    digit : int
        Bits of the sum multiplied in a cycle: 1, 2 or 4.

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

    def __init__(self, *, digit=2):
        self._digit = digit
        super().__init__({
            "set_exponent": In(1), "exponent": In(signed(8)), "start": In(1), "sum": In(signed(32)), "multiplier": In(32),
            "rounding": In(2), "zero_out": In(signed(8)), "minimum": In(signed(8)), "maximum": In(signed(8)),
            "busy": Out(1), "valid": Out(1), "result": Out(signed(8)),
        })

    def elaborate(self, platform):
        m = Module()
        digit = self._digit
        exponent = Signal(signed(8), reset_less=True)
        multiplier = Signal(32, reset_less=True)
        high = Signal(signed(33 + digit), reset_less=True)
        low = Signal(32, reset_less=True)
        steps = Signal(range(32 // digit), reset_less=True)
        half, rest = Signal(reset_less=True), Signal(reset_less=True)
        double, single = self.rounding == _DOUBLE, self.rounding == _SINGLE
        with m.If(self.set_exponent):
            m.d.sync += exponent.eq(self.exponent)
        partial = high
        for bit in range(digit):
            term = Mux(low[bit], multiplier << bit, 0)
            # The digit of the sign counts negative.
            partial = Mux(steps == 0, partial - term, partial + term) if bit == digit - 1 else partial + term
        total = Signal(signed(33 + 2 * digit))
        m.d.comb += total.eq(partial)
        rounded = Signal(signed(11), reset_less=True)
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    low.eq(self.sum), multiplier.eq(self.multiplier), high.eq(double << 30), steps.eq(32 // digit - 1),
                ]
                m.next = "LEFT"
            with m.State("LEFT"):
                with m.If(exponent > 0):
                    m.d.sync += exponent.eq(exponent - 1)
                    with m.If(double | (low[31] == low[30])):
                        m.d.sync += low.eq(low << 1)
                    with m.Else():
                        m.d.sync += low.eq(Cat((~low[31]).replicate(31), low[31]))
                with m.Else():
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.sync += [high.eq(total >> digit), low.eq(Cat(low[digit:], total[:digit])), steps.eq(steps - 1)]
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
                with m.If(exponent == 0):
                    m.next = "ROUND"
                with m.Elif(exponent <= -4):
                    m.d.sync += [
                        exponent.eq(exponent + 4), high.eq(high >> 4), half.eq(high[3]), rest.eq(rest | half | high[:3].any()),
                    ]
                with m.Else():
                    m.d.sync += [
                        exponent.eq(exponent + 1), high.eq(high >> 1), half.eq(high[0]), rest.eq(rest | half),
                    ]
            with m.State("ROUND"):
                negative = high[31]
                fits = high[8:32].all() | ~high[8:32].any()
                narrow = Mux(fits, high[:9].as_signed(), Mux(negative, -256, 255))
                up = Mux(double, half & (~negative | rest), Mux(single, half, negative & (half | rest)))
                m.d.sync += rounded.eq(narrow + self.zero_out + up)
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += self.valid.eq(1)
                m.next = "IDLE"
        m.d.comb += [
            self.busy.eq(~fsm.ongoing("IDLE")),
            self.result.eq(Mux(rounded < self.minimum, self.minimum, Mux(rounded > self.maximum, self.maximum, rounded))),
        ]
        return m
