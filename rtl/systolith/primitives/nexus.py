"""Multipliers and multiply-add of Lattice's Nexus (CrossLink-NX, Certus-NX).

Nothing is left to inference: yosys maps an 8x8 product with a register beside it to MULT18X18, which halves the
number that a device holds.
"""

from amaranth import *

from systolith.multiplier import Multiplier
from systolith.primitives.multiply_add import MultiplyAdd

__all__ = ["NexusMultiplier", "NexusMultiplyAdd"]


class NexusMultiplier(Multiplier):
    """:class:`~systolith.multiplier.Multiplier` as one ``MULT9X9`` or ``MULT18X18`` with its input and output registers.

    Raises
    ------
    ValueError
        If an operand is wider than 18 bits.
    """

    def __init__(self, *, a_shape, b_shape, latency=2):
        super().__init__(a_shape=a_shape, b_shape=b_shape, latency=latency)
        for name, shape in (("a_shape", self.a_shape), ("b_shape", self.b_shape)):
            if shape.width > 18:
                raise ValueError(f"NexusMultiplier {name} must be at most 18 bits wide, not {shape!r}")

    def _product(self, m):
        width = 9 if max(self.a_shape.width, self.b_shape.width) <= 9 else 18
        a, b = Signal(Shape(width, self.a_shape.signed)), Signal(Shape(width, self.b_shape.signed))
        product = Signal(2 * width)
        m.d.comb += [a.eq(self.a), b.eq(self.b)]
        m.submodules.mult = Instance(
            f"MULT{width}X{width}",
            p_REGINPUTA="REGISTER", p_REGINPUTB="REGISTER", p_REGOUTPUT="REGISTER", p_GSR="DISABLED", p_RESETMODE="SYNC",
            i_CLK=ClockSignal(), i_CEA=Const(1), i_CEB=Const(1), i_CEOUT=Const(1),
            i_RSTA=Const(0), i_RSTB=Const(0), i_RSTOUT=Const(0),
            i_SIGNEDA=Const(self.a_shape.signed), i_SIGNEDB=Const(self.b_shape.signed),
            i_A=a, i_B=b, o_Z=product,
        )  # fmt: skip
        resized = Signal(self.p_shape)
        m.d.comb += resized.eq(product)
        return resized


class NexusMultiplyAdd(MultiplyAdd):
    """:class:`~systolith.primitives.multiply_add.MultiplyAdd` of four products as one ``MULTADDSUB9X9WIDE``."""

    count = 4
    addend_latency = 3

    def elaborate(self, platform):
        m = Module()
        operands = {f"i_{side}{index}": self._extended(m, getattr(self, side.lower())[index], 9, f"{side}{index}")
                    for side in "AB" for index in range(4)}
        total = Signal(54)
        registers = ("INPUTAB0", "INPUTAB1", "INPUTAB2", "INPUTAB3", "INPUTC", "ADDSUB", "LOADC", "LOADC2", "PIPELINE",
                     "OUTPUT")
        stages = ("A0A1", "A2A3", "B0B1", "B2B3", "C", "CTRL", "PIPE", "OUT")
        m.submodules.multaddsub = Instance(
            "MULTADDSUB9X9WIDE",
            **{f"p_REG{name}": "REGISTER" for name in registers}, p_GSR="DISABLED", p_RESETMODE="SYNC",
            **{f"i_CE{name}": Const(1) for name in stages}, **{f"i_RST{name}": Const(0) for name in stages},
            i_CLK=ClockSignal(), i_SIGNED=Const(1), i_ADDSUB=Const(0, 4),
            i_LOADC=Const(1),  # add C, not the sum before
            i_C=self._extended(m, self.addend, 54, "C"), o_Z=total, **operands,
        )  # fmt: skip
        m.d.comb += self.total.eq(total)
        return m
