"""Registered multiplier: one contract, one implementation per FPGA family."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Multiplier", "Ecp5Multiplier", "MULTIPLIER_STYLES", "multiplier"]


class Multiplier(Component):
    """Free-running product ``p = a * b``, exact, ``latency`` clock cycles after its operands.

    Dataflow: operand registers, product register, then ``latency - 2`` further registers in the fabric.
    There is neither a clock enable nor a reset: a new product leaves in every cycle, so that a DSP block
    shared by several multipliers sees one clock-enable net only. Operands which must be held are held by
    the parent. Products of the first ``latency`` cycles after power-up follow from registers which start at
    zero.

    This class is plain Amaranth; subclasses replace :meth:`_product` by a primitive of the same
    two-register behaviour.

    Parameters
    ----------
    a_shape, b_shape : :class:`~amaranth.hdl.Shape` or shape-like
        Shapes of the operands; each may be signed or unsigned.
    latency : int
        Clock cycles from operands to product, at least 2. The third register is worth having on ECP5: it
        splits the route from the DSP column to the first adder.

    Members
    -------
    a : ``In(a_shape)``
        First operand.
    b : ``In(b_shape)``
        Second operand.
    p : ``Out(p_shape)``
        Product. As wide as both operands together; signed if either operand is.

    Raises
    ------
    TypeError
        If ``latency`` is not an integer.
    ValueError
        If ``latency`` is below 2 or an operand has no bits.
    """

    def __init__(self, *, a_shape, b_shape, latency=2):
        a_shape, b_shape = Shape.cast(a_shape), Shape.cast(b_shape)
        if isinstance(latency, bool) or not isinstance(latency, int):
            raise TypeError(f"Multiplier latency must be an integer, not {latency!r}")
        if latency < 2:
            raise ValueError(f"Multiplier latency must be at least 2, not {latency!r}")
        for name, shape in (("a_shape", a_shape), ("b_shape", b_shape)):
            if shape.width < 1:
                raise ValueError(f"Multiplier {name} must be at least 1 bit wide, not {shape!r}")
        self._a_shape = a_shape
        self._b_shape = b_shape
        self._latency = latency
        self._p_shape = Shape(a_shape.width + b_shape.width, signed=a_shape.signed or b_shape.signed)
        super().__init__({"a": In(a_shape), "b": In(b_shape), "p": Out(self._p_shape)})

    @property
    def a_shape(self):
        """Shape of the first operand."""
        return self._a_shape

    @property
    def b_shape(self):
        """Shape of the second operand."""
        return self._b_shape

    @property
    def p_shape(self):
        """Shape of the product."""
        return self._p_shape

    @property
    def latency(self):
        """Clock cycles from operands to product."""
        return self._latency

    def elaborate(self, platform):
        m = Module()
        product = self._product(m)
        for stage in range(2, self.latency):
            delayed = Signal(self.p_shape, name=f"s{stage}_product", reset_less=True)
            m.d.sync += delayed.eq(product)
            product = delayed
        m.d.comb += self.p.eq(product)
        return m

    def _product(self, m):
        """Add operand and product registers to ``m``; return the product, two cycles after its operands."""
        s0_a = Signal(self.a_shape, reset_less=True)
        s0_b = Signal(self.b_shape, reset_less=True)
        s1_product = Signal(self.p_shape, reset_less=True)
        m.d.sync += [
            s0_a.eq(self.a),
            s0_b.eq(self.b),
            s1_product.eq(s0_a * s0_b),
        ]
        return s1_product


class Ecp5Multiplier(Multiplier):
    """:class:`Multiplier` as one ``MULT18X18D`` with its input and output registers.

    yosys infers the primitive from ``*`` but never moves registers into it, which costs a third of the
    clock rate; hence the instance. Both operands enter sign-extended to 18 bits (unsigned ones
    zero-extended), so the DSP always multiplies signed numbers. The instance has no simulation model in
    Amaranth: simulate :class:`Multiplier`, which behaves the same.

    Raises
    ------
    ValueError
        If an operand is wider than 18 bits signed or 17 bits unsigned.
    """

    _OPERAND_WIDTH = 18
    _PRODUCT_WIDTH = 36

    def __init__(self, *, a_shape, b_shape, latency=2):
        super().__init__(a_shape=a_shape, b_shape=b_shape, latency=latency)
        for name, shape in (("a_shape", self.a_shape), ("b_shape", self.b_shape)):
            if shape.width + (not shape.signed) > self._OPERAND_WIDTH:
                raise ValueError(
                    f"Ecp5Multiplier {name} must be at most signed(18) or unsigned(17), not {shape!r}"
                )

    def _product(self, m):
        a = Signal(signed(self._OPERAND_WIDTH))
        b = Signal(signed(self._OPERAND_WIDTH))
        product = Signal(signed(self._PRODUCT_WIDTH))
        m.d.comb += [a.eq(self.a), b.eq(self.b)]
        m.submodules.mult18x18d = Instance(
            "MULT18X18D",
            p_REG_INPUTA_CLK="CLK0", p_REG_INPUTA_CE="CE0", p_REG_INPUTA_RST="RST0",
            p_REG_INPUTB_CLK="CLK0", p_REG_INPUTB_CE="CE0", p_REG_INPUTB_RST="RST0",
            p_REG_OUTPUT_CLK="CLK0", p_REG_OUTPUT_CE="CE0", p_REG_OUTPUT_RST="RST0",
            p_REG_INPUTC_CLK="NONE", p_REG_PIPELINE_CLK="NONE",
            p_SOURCEB_MODE="B_SHIFT", p_MULT_BYPASS="DISABLED", p_RESETMODE="SYNC",
            i_CLK0=ClockSignal(), i_CE0=Const(1), i_RST0=Const(0),
            i_SIGNEDA=Const(1), i_SIGNEDB=Const(1), i_SOURCEA=Const(0), i_SOURCEB=Const(0),
            **{f"i_A{bit}": a[bit] for bit in range(self._OPERAND_WIDTH)},
            **{f"i_B{bit}": b[bit] for bit in range(self._OPERAND_WIDTH)},
            **{f"i_C{bit}": Const(0) for bit in range(self._OPERAND_WIDTH)},
            **{f"o_P{bit}": product[bit] for bit in range(self._PRODUCT_WIDTH)},
        )  # fmt: skip
        # One shape for all implementations; the discarded upper bits repeat the sign (or are zero).
        resized = Signal(self.p_shape)
        m.d.comb += resized.eq(product)
        return resized


MULTIPLIER_STYLES = ("generic", "ecp5", "ice40", "gowin", "nexus")
"""Names of the styles; all but the first are FPGA families."""


def multiplier(*, style="generic", a_shape, b_shape, latency=2):
    """Return the multiplier of a style; all have the ports, latency and results of :class:`Multiplier`.

    Parameters
    ----------
    style : str
        One of :data:`MULTIPLIER_STYLES`.
    a_shape, b_shape, latency
        See :class:`Multiplier`.

    Returns
    -------
    Multiplier

    Raises
    ------
    ValueError
        If there is no such style.
    """
    if style not in MULTIPLIER_STYLES:
        raise ValueError(f"Multiplier style must be one of {', '.join(MULTIPLIER_STYLES)}, not {style!r}")
    from systolith.primitives.families import MULTIPLIERS  # which builds on this module

    return MULTIPLIERS[style](a_shape=a_shape, b_shape=b_shape, latency=latency)
