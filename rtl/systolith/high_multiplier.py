"""32 x 32-bit product, rounded to its high half, on one small multiplier."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.multiplier import multiplier

__all__ = ["HighMultiplier"]


class HighMultiplier(Component):
    """``(a * b + 2**30) // 2**31``, one product at a time, ``latency`` cycles after ``start``.

    Dataflow: four products of 16-bit halves, one per cycle, lowest first, through a register and one multiplier into
    one accumulator. Bits that cannot reach the result are dropped on the way.

    Parameters
    ----------
    style : str
        Style of the multiplier, see :func:`~systolith.multiplier.multiplier`.

    Members
    -------
    start : ``In(1)``
        The operands are there and stay until the result is; not while a product is on its way.
    a, b : ``In(signed(32))``
    result : ``Out(signed(32))``
        Stays until the next product.
    """

    _MULTIPLIER_LATENCY = 2
    latency = 1 + 1 + 4 + _MULTIPLIER_LATENCY
    """Cycles from ``start`` to ``result``."""

    def __init__(self, *, style="generic"):
        self._style = style
        super().__init__({"start": In(1), "a": In(signed(32)), "b": In(signed(32)), "result": Out(signed(32))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = product = multiplier(
            style=self._style, a_shape=signed(17), b_shape=signed(17), latency=self._MULTIPLIER_LATENCY
        )
        # Steps, one-hot: low * low, low * high, high * low, high * high.
        step = Signal(4)
        m.d.sync += step.eq(Cat(self.start, step[:3]))
        halves = {}
        for name, operand, is_high in (("a", self.a, step[2] | step[3]), ("b", self.b, step[1] | step[3])):
            low, high = Cat(operand[:16], Const(0, 1)), Cat(operand[16:], operand[-1])
            halves[name] = Signal(signed(17), name=f"{name}_half", reset_less=True)
            m.d.sync += halves[name].eq(Mux(is_high, high, low).as_signed())
        m.d.comb += [product.a.eq(halves["a"]), product.b.eq(halves["b"])]

        total = Signal(signed(36), reset_less=True)
        # The number of the step is a register: it selects the operands of the adder.
        early = delay(m, step, self._MULTIPLIER_LATENCY, name="step", reset_less=False)
        arrived, number = Signal(), Signal(2)
        m.d.sync += [arrived.eq(early.any()), number.eq(Cat(early[1] | early[3], early[2] | early[3]))]
        base, addend = Signal(signed(36)), Signal(signed(36))
        m.d.comb += [base.eq(total), addend.eq(product.p)]
        with m.Switch(number):
            with m.Case(0):
                m.d.comb += base.eq(1 << 30)
            with m.Case(1):
                m.d.comb += base.eq(total >> 16)
            with m.Case(3):
                m.d.comb += [base.eq(total >> 15), addend.eq(product.p << 1)]
        with m.If(arrived):
            m.d.sync += total.eq(base + addend)
        m.d.comb += self.result.eq(total)
        return m
