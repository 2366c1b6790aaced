"""Multiply-add of Lattice's ECP5; multiplier and block RAM are beside their generic forms."""

from types import SimpleNamespace

from amaranth import *

from systolith.primitives.multiply_add import MultiplyAdd

__all__ = ["Ecp5MultiplyAdd"]

_CLOCKED = {"CLK": "CLK0", "CE": "CE0", "RST": "RST0"}


def _registers(used, unused):
    """Parameters of registers that are used, and of those that are bypassed."""
    parameters = {f"p_REG_{name}_{pin}": value for name in used for pin, value in _CLOCKED.items()}
    return {**parameters, **{f"p_REG_{name}_CLK": "NONE" for name in unused}}


def _pins(prefix, value):
    return {f"{prefix}{bit}": value[bit] for bit in range(len(value))}


class Ecp5MultiplyAdd(MultiplyAdd):
    """:class:`~systolith.primitives.multiply_add.MultiplyAdd` of two products: two ``MULT18X18D`` and an ``ALU54B``.

    The products enter the ALU by wires inside the DSP block, the addend through the fabric: the cascade between ALUs
    does not route with nextpnr. nextpnr does not time the ALU; its limit is in the data sheet.
    """

    count = 2
    addend_latency = 2

    # Operand selections and operation of the ALU, OP0 first: products A and B, input C, A + B + C.
    _OPCODE = 0b0100_011_01_01

    def elaborate(self, platform):
        m = Module()
        products = [self._multiplier(m, index) for index in range(2)]
        addend = self._extended(m, self.addend, 54, "c")
        total = Signal(54)
        m.submodules.alu54b = Instance(
            "ALU54B",
            **_registers(("INPUTC0", "INPUTC1", "OUTPUT0", "OUTPUT1"), (
                "OPCODEOP0_0", "OPCODEOP1_0", "OPCODEOP0_1", "OPCODEOP1_1", "OPCODEIN_0", "OPCODEIN_1", "FLAG",
                "INPUTCFB")),
            p_MULT9_MODE="DISABLED", p_RESETMODE="SYNC", p_LEGACY="DISABLED",
            i_CLK0=ClockSignal(), i_CE0=Const(1), i_RST0=Const(0),
            i_SIGNEDIA=products[0].is_signed, i_SIGNEDIB=products[1].is_signed,
            **{f"i_OP{bit}": Const(self._OPCODE >> bit & 1) for bit in range(11)},
            **_pins("i_MA", products[0].product), **_pins("i_MB", products[1].product), **_pins("i_C", addend),
            # Not selected, but nextpnr wants these wires of the block to be used.
            **_pins("i_A", products[0].operands), **_pins("i_B", products[1].operands),
            **_pins("o_R", total),
        )  # fmt: skip
        m.d.comb += self.total.eq(total)
        return m

    def _multiplier(self, m, index):
        """Add a multiplier with input and pipeline registers; return what it gives the ALU."""
        a = self._extended(m, self.a[index], 18, f"a{index}")
        b = self._extended(m, self.b[index], 18, f"b{index}")
        product, is_signed = Signal(36, name=f"product{index}"), Signal(name=f"signed{index}")
        operands = Signal(36, name=f"operands{index}")
        m.submodules[f"mult18x18d_{index}"] = Instance(
            "MULT18X18D",
            **_registers(("INPUTA", "INPUTB", "PIPELINE"), ("INPUTC", "OUTPUT")),
            p_SOURCEB_MODE="B_SHIFT", p_MULT_BYPASS="DISABLED", p_RESETMODE="SYNC",
            i_CLK0=ClockSignal(), i_CE0=Const(1), i_RST0=Const(0),
            i_SIGNEDA=Const(1), i_SIGNEDB=Const(1), i_SOURCEA=Const(0), i_SOURCEB=Const(0),
            **_pins("i_A", a), **_pins("i_B", b), **_pins("i_C", Const(0, 18)),
            **_pins("o_P", product), o_SIGNEDP=is_signed,
            **_pins("o_ROA", operands[:18]), **_pins("o_ROB", operands[18:]),
        )  # fmt: skip
        return SimpleNamespace(product=product, is_signed=is_signed, operands=operands)
