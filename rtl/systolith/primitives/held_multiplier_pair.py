"""Two multipliers that share a DSP cell, with one operand in common and the other held."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

__all__ = ["HeldMultiplierPair"]


class HeldMultiplierPair(Component):
    """Products of a signed byte and two held signed bytes, exact, two clock cycles after the byte.

    This class is plain Amaranth; subclasses replace :meth:`_products` by a primitive of the same behaviour.

    Members
    -------
    a : ``In(signed(8))``
    b : ``In(ArrayLayout(signed(8), 2))``, load : ``In(1)``
        Operands to hold, taken while ``load`` is 1: the next cycle's ``a`` finds them.
    p : ``Out(ArrayLayout(signed(16), 2))``
    """

    def __init__(self):
        super().__init__({
            "a": In(signed(8)), "b": In(data.ArrayLayout(signed(8), 2)), "load": In(1),
            "p": Out(data.ArrayLayout(signed(16), 2)),
        })

    def elaborate(self, platform):
        m = Module()
        for index, product in enumerate(self._products(m)):
            m.d.comb += self.p[index].eq(product)
        return m

    def _products(self, m):
        """Add operand and product registers to ``m``; return both products."""
        s0_a = Signal(signed(8), reset_less=True)
        m.d.sync += s0_a.eq(self.a)
        products = []
        for index in range(2):
            held = Signal(signed(8), name=f"held{index}", reset_less=True)
            s1_product = Signal(signed(16), name=f"s1_product{index}", reset_less=True)
            with m.If(self.load):
                m.d.sync += held.eq(self.b[index])
            m.d.sync += s1_product.eq(s0_a * held)
            products.append(s1_product)
        return products
