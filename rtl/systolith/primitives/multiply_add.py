"""Products and an addend summed in DSP blocks: what the columns of the array are made of."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

__all__ = ["MultiplyAdd"]


class MultiplyAdd(Component):
    """Free-running sum of ``count`` products of signed bytes and an addend, exact.

    ``total`` shows the products of operands :data:`product_latency` cycles before plus the addend
    ``addend_latency`` cycles before. There is neither a clock enable nor a reset.

    This class is plain Amaranth; subclasses put one DSP cell, or a group of them that belongs together, in its place
    and set ``count`` and ``addend_latency`` to what the cell has.

    Parameters
    ----------
    shape : shape-like
        Shape of addend and total, signed; the total wraps.
    count, addend_latency : int or None
        By default those of the class.

    Members
    -------
    a, b : ``In(ArrayLayout(signed(8), count))``
        Operands.
    addend : ``In(shape)``
    total : ``Out(shape)``

    Raises
    ------
    ValueError
        If the shape is not signed or wider than 54 bits.
    """

    product_latency = 3
    """Cycles from operands to total."""
    count = 2
    """Products."""
    addend_latency = 2
    """Cycles from addend to total."""

    def __init__(self, *, shape, count=None, addend_latency=None):
        shape = Shape.cast(shape)
        if not shape.signed or shape.width > 54:
            raise ValueError(f"Multiply-add shape must be signed and at most 54 bits wide, not {shape!r}")
        if count is not None:
            self.count = count
        if addend_latency is not None:
            self.addend_latency = addend_latency
        operands = data.ArrayLayout(signed(8), self.count)
        super().__init__({"a": In(operands), "b": In(operands), "addend": In(shape), "total": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        products = []
        for index in range(self.count):
            s0_a, s0_b = (Signal(signed(8), name=f"s0_{side}{index}", reset_less=True) for side in "ab")
            s1_product = Signal(signed(16), name=f"s1_product{index}", reset_less=True)
            m.d.sync += [s0_a.eq(self.a[index]), s0_b.eq(self.b[index]), s1_product.eq(s0_a * s0_b)]
            products.append(s1_product)
        addend = self.addend
        for stage in range(self.addend_latency - 1):
            delayed = Signal.like(self.addend, name=f"s{stage}_addend", reset_less=True)
            m.d.sync += delayed.eq(addend)
            addend = delayed
        # As in the cells, in a tree.
        while len(products) > 1:
            products = [sum(products[index:index + 2]) for index in range(0, len(products), 2)]
        s2_total = Signal.like(self.total, reset_less=True)
        m.d.sync += s2_total.eq(addend + products[0])
        m.d.comb += self.total.eq(s2_total)
        return m

    @staticmethod
    def _extended(m, value, width, name):
        """The value sign-extended to the width of a pin."""
        pin = Signal(signed(width), name=name)
        m.d.comb += pin.eq(value)
        return pin
