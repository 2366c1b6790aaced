"""Behavioural models of Gowin cells, to simulate components which instantiate them.

They are written from the published behaviour of the cells, cover what this project uses of them, and reject
the rest. yosys has the cells as black boxes only.
"""

from amaranth import *
from amaranth.lib.memory import Memory

from systolith_sim.ecp5_models import Cell

__all__ = ["gowin_instance"]


class _GowinCell(Cell):
    """Cell whose parameters may be constants of the hardware language."""

    def __init__(self, **connections):
        super().__init__(**{name: value.value if name.startswith("p_") and isinstance(value, Const) else value
                            for name, value in connections.items()})


class _Multiplier(_GowinCell):
    """MULT9X9 or MULT18X18 with input and output registers, always enabled."""

    width = 9

    def elaborate(self, platform):
        self._require(AREG=1, BREG=1, PIPE_REG=0, OUT_REG=1, ASIGN_REG=0, BSIGN_REG=0, MULT_RESET_MODE="SYNC")
        self._require_constant(CE=1, RESET=0, ASEL=0, BSEL=0)
        m = Module()
        operands = []
        for side in "AB":
            pin, register = Value.cast(self._inputs[side]), Signal(signed(self.width + 1), name=side)
            m.d.sync += register.eq(Mux(self._inputs[f"{side}SIGN"], pin.as_signed(), pin.as_unsigned()))
            operands.append(register)
        product = Signal(2 * self.width)
        m.d.sync += product.eq(operands[0] * operands[1])
        m.d.comb += self._outputs["DOUT"].eq(product)
        return m


class _Multiplier18(_Multiplier):
    width = 18


class _MultAddAlu(_GowinCell):
    """Signed MULTADDALU18X18 in mode 0, A0 * B0 + A1 * B1 + C, with all registers."""

    def elaborate(self, platform):
        used = ("A0REG", "A1REG", "B0REG", "B1REG", "CREG", "PIPE0_REG", "PIPE1_REG", "OUT_REG")
        self._require(MULTADDALU18X18_MODE=0, B_ADD_SUB=0, C_ADD_SUB=0, **dict.fromkeys(used, 1))
        self._require_constant(CE=1, RESET=0, ASIGN=3, BSIGN=3, ASEL=0, BSEL=0, ACCLOAD=0, CASI=0)
        m = Module()
        products = []
        for index in range(2):
            a, b = Signal(signed(18), name=f"a{index}"), Signal(signed(18), name=f"b{index}")
            product = Signal(signed(36), name=f"product{index}")
            m.d.sync += [a.eq(self._inputs[f"A{index}"]), b.eq(self._inputs[f"B{index}"]), product.eq(a * b)]
            products.append(product)
        c, total = Signal(signed(54)), Signal(54)
        m.d.sync += [c.eq(self._inputs["C"]), total.eq(sum(products, c))]
        m.d.comb += self._outputs["DOUT"].eq(total)
        return m


class _Sdpb(_GowinCell):
    """SDPB which writes at port A and reads, with its output register, at port B; both of one width."""

    def elaborate(self, platform):
        width = self._parameters["BIT_WIDTH_0"]
        self._require(BIT_WIDTH_1=width, READ_MODE=1, BLK_SEL_0=0, BLK_SEL_1=0)
        self._require_constant(RESETA=0, RESETB=0, BLKSELA=0, BLKSELB=0, OCE=1)
        m = Module()
        shift, lane_width = width.bit_length() - 1, min(width, 8)
        m.submodules.memory = memory = Memory(shape=width, depth=1 << (14 - shift), init=[])
        write_port, read_port = memory.write_port(granularity=lane_width), memory.read_port()
        enables = self._inputs["ADA"][:width // 8] if width >= 16 else Const(1)
        output = Signal(32)
        m.d.comb += [
            write_port.addr.eq(self._inputs["ADA"] >> shift),
            write_port.data.eq(self._inputs["DI"]),
            write_port.en.eq(Mux(self._inputs["CEA"], enables, 0)),
            read_port.addr.eq(self._inputs["ADB"] >> shift),
            read_port.en.eq(self._inputs["CEB"]),
            self._outputs["DO"].eq(output),
        ]
        m.d.sync += output.eq(read_port.data)
        return m


_MODELS = {"MULT9X9": _Multiplier, "MULT18X18": _Multiplier18, "MULTADDALU18X18": _MultAddAlu, "SDPB": _Sdpb}


def gowin_instance(cell, **connections):
    """Return a model in place of ``Instance(cell, ...)``; patch it over the name in the module under test."""
    return _MODELS[cell](**connections)
