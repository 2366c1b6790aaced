"""Two multipliers that share a DSP cell."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

__all__ = ["MultiplierPair"]


class MultiplierPair(Component):
    """Two free-running products of signed bytes, exact, ``latency`` clock cycles after their operands.

    This class is plain Amaranth; subclasses replace :meth:`_products` by a primitive of the same two-register behaviour.

    Parameters
    ----------
    latency : int
        Clock cycles from operands to products, at least 2.

    Members
    -------
    a, b : ``In(ArrayLayout(signed(8), 2))``
    p : ``Out(ArrayLayout(signed(16), 2))``

    Raises
    ------
    ValueError
        If ``latency`` is below 2.
    """

    def __init__(self, *, latency=2):
        if isinstance(latency, bool) or not isinstance(latency, int) or latency < 2:
            raise ValueError(f"Multiplier latency must be an integer of at least 2, not {latency!r}")
        self._latency = latency
        operands = data.ArrayLayout(signed(8), 2)
        super().__init__({"a": In(operands), "b": In(operands), "p": Out(data.ArrayLayout(signed(16), 2))})

    @property
    def latency(self):
        """Clock cycles from operands to products."""
        return self._latency

    def elaborate(self, platform):
        m = Module()
        for index, product in enumerate(self._products(m)):
            for stage in range(2, self.latency):
                delayed = Signal(signed(16), name=f"s{stage}_product{index}", reset_less=True)
                m.d.sync += delayed.eq(product)
                product = delayed
            m.d.comb += self.p[index].eq(product)
        return m

    def _products(self, m):
        """Add operand and product registers to ``m``; return both products, two cycles after their operands."""
        products = []
        for index in range(2):
            s0_a, s0_b = (Signal(signed(8), name=f"s0_{side}{index}", reset_less=True) for side in "ab")
            s1_product = Signal(signed(16), name=f"s1_product{index}", reset_less=True)
            m.d.sync += [s0_a.eq(self.a[index]), s0_b.eq(self.b[index]), s1_product.eq(s0_a * s0_b)]
            products.append(s1_product)
        return products
