"""Behavioural models of ECP5 cells, to simulate components which instantiate them.

They are written from the published behaviour of the cells, cover what this project uses of them, and reject
the rest. yosys has these cells as black boxes only, but for CCU2C.
"""

from amaranth import *
from amaranth.lib.memory import Memory

__all__ = ["Cell", "ecp5_instance"]


def _bits(values, prefix, count):
    """Return pins ``prefix0 ...`` as one value; missing ones are zero."""
    return Cat(values.get(f"{prefix}{bit}", Const(0)) for bit in range(count))


class Cell(Elaboratable):
    """Cell with parameters ``p_``, inputs ``i_`` and outputs ``o_`` as given to ``Instance``."""

    def __init__(self, **connections):
        self._parameters = {name[2:]: value for name, value in connections.items() if name.startswith("p_")}
        self._inputs = {name[2:]: value for name, value in connections.items() if name.startswith("i_")}
        self._outputs = {name[2:]: value for name, value in connections.items() if name.startswith("o_")}

    def _require(self, **expected):
        """Raise if a parameter differs from the only value that the model covers."""
        for name, value in expected.items():
            if self._parameters.get(name) != value:
                raise ValueError(f"Parameter {name} must be {value!r}, not {self._parameters.get(name)!r}")

    def _require_constant(self, **expected):
        """Raise if a pin is not the constant that the model covers."""
        for name, value in expected.items():
            pin = self._inputs[name]
            if not isinstance(pin, Const) or pin.value != value:
                raise ValueError(f"Pin {name} must be the constant {value}, not {pin!r}")

    def _drive(self, m, prefix, value):
        for name, target in self._outputs.items():
            if name.rstrip("0123456789") == prefix:
                m.d.comb += target.eq(value[int(name.removeprefix(prefix))])


class _Mult18x18d(Cell):
    """Signed MULT18X18D with input registers and either output or pipeline registers, always enabled."""

    def elaborate(self, platform):
        second, other = ("PIPELINE", "OUTPUT") if self._parameters["REG_OUTPUT_CLK"] == "NONE" else ("OUTPUT", "PIPELINE")
        self._require(
            REG_INPUTA_CLK="CLK0", REG_INPUTA_CE="CE0", REG_INPUTA_RST="RST0",
            REG_INPUTB_CLK="CLK0", REG_INPUTB_CE="CE0", REG_INPUTB_RST="RST0",
            SOURCEB_MODE="B_SHIFT", MULT_BYPASS="DISABLED",
            **{f"REG_{second}_CLK": "CLK0", f"REG_{second}_CE": "CE0", f"REG_{second}_RST": "RST0",
               f"REG_{other}_CLK": "NONE"},
        )  # fmt: skip
        self._require_constant(CE0=1, RST0=0, SIGNEDA=1, SIGNEDB=1, SOURCEA=0, SOURCEB=0)
        m = Module()
        a, b, p = Signal(signed(18)), Signal(signed(18)), Signal(signed(36))
        m.d.sync += [a.eq(_bits(self._inputs, "A", 18)), b.eq(_bits(self._inputs, "B", 18)), p.eq(a * b)]
        self._drive(m, "P", p)
        if "SIGNEDP" in self._outputs:
            m.d.comb += self._outputs["SIGNEDP"].eq(1)
        return m


class _Alu54b(Cell):
    """ALU54B which adds both products and C, with registers at C and at its output.

    The meaning of the opcode is that of the maker's usage guide; there is no other model to compare with.
    """

    def elaborate(self, platform):
        for name in ("INPUTC0", "INPUTC1", "OUTPUT0", "OUTPUT1"):
            self._require(**{f"REG_{name}_CLK": "CLK0", f"REG_{name}_CE": "CE0", f"REG_{name}_RST": "RST0"})
        self._require(REG_OPCODEOP0_0_CLK="NONE", REG_OPCODEIN_0_CLK="NONE", MULT9_MODE="DISABLED")
        opcode = 0b0100_011_01_01
        self._require_constant(CE0=1, RST0=0, **{f"OP{bit}": opcode >> bit & 1 for bit in range(11)})
        m = Module()
        c, r = Signal(signed(54)), Signal(signed(54))
        products = []
        for prefix, flag in (("MA", "SIGNEDIA"), ("MB", "SIGNEDIB")):
            product = Signal(signed(54), name=prefix)
            bits = _bits(self._inputs, prefix, 36)
            m.d.comb += product.eq(Mux(self._inputs[flag], bits.as_signed(), bits))
            products.append(product)
        m.d.sync += [c.eq(_bits(self._inputs, "C", 54)), r.eq(sum(products, c))]
        self._drive(m, "R", r)
        return m


class _Ccu2c(Cell):
    """CCU2C without injection."""

    def elaborate(self, platform):
        self._require(INJECT1_0="NO", INJECT1_1="NO")
        m = Module()
        carry = self._inputs["CIN"]
        for half in range(2):
            table = self._parameters[f"INIT{half}"].value
            a, b, c, d = (self._inputs[f"{pin}{half}"] for pin in "ABCD")
            lut4, lut2 = Signal(name=f"lut4_{half}"), Signal(name=f"lut2_{half}")
            m.d.comb += [lut4.eq(Const(table, 16).bit_select(Cat(a, b, c, d), 1)),
                         lut2.eq(Const(table & 15, 4).bit_select(Cat(a, b), 1)),
                         self._outputs[f"S{half}"].eq(lut4 ^ carry)]
            next_carry = Signal(name=f"carry_{half}")
            m.d.comb += next_carry.eq(Mux(lut4, carry, lut2))
            carry = next_carry
        m.d.comb += self._outputs["COUT"].eq(carry)
        return m


class _Dp16kd(Cell):
    """DP16KD which writes at port A and reads, with its output register, at port B; both of one width."""

    _ADDRESS_SHIFT = {36: 5, 18: 4, 9: 3, 4: 2, 2: 1, 1: 0}

    def elaborate(self, platform):
        width = self._parameters["DATA_WIDTH_A"]
        self._require(
            DATA_WIDTH_B=width, REGMODE_A="OUTREG" if width == 36 else "NOREG", REGMODE_B="OUTREG",
            CSDECODE_A="0b000", CSDECODE_B="0b000",
        )  # fmt: skip
        chip_selects = {f"CS{port}{bit}": 0 for port in "AB" for bit in range(3)}
        self._require_constant(CEA=1, RSTA=0, OCEB=1, WEB=0, RSTB=0, **chip_selects)
        m = Module()
        shift = self._ADDRESS_SHIFT[width]
        lane_width = min(width, 9)
        write_address, read_address = _bits(self._inputs, "ADA", 14), _bits(self._inputs, "ADB", 14)
        write_data = Cat(_bits(self._inputs, "DIA", 18), _bits(self._inputs, "DIB", 18))
        m.submodules.memory = memory = Memory(shape=width, depth=1 << (14 - shift), init=[])
        write_port = memory.write_port(granularity=lane_width)
        read_port = memory.read_port()
        lanes = width // lane_width
        enables = write_address[:lanes] if width >= 18 else Const(1)
        output = Signal(width)
        m.d.comb += [
            write_port.addr.eq(write_address >> shift),
            write_port.data.eq(write_data),
            write_port.en.eq(Mux(self._inputs["WEA"], enables, 0)),
            read_port.addr.eq(read_address >> shift),
            read_port.en.eq(self._inputs["CEB"]),
        ]
        m.d.sync += output.eq(read_port.data)
        if width == 36:
            self._drive(m, "DOA", output[:18])
            self._drive(m, "DOB", output[18:])
        else:
            self._drive(m, "DOB", Cat(output, C(0, 18)))
        return m


_MODELS = {"MULT18X18D": _Mult18x18d, "ALU54B": _Alu54b, "CCU2C": _Ccu2c, "DP16KD": _Dp16kd}


def ecp5_instance(cell, **connections):
    """Return a model in place of ``Instance(cell, ...)``; patch it over the name in the module under test."""
    return _MODELS[cell](**connections)
