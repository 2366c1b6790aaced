"""Multipliers, multiply-add and block RAM of Gowin's GW1N and GW2A.

yosys has these cells as black boxes only, and nextpnr does not time what is inside the DSP cells.
"""

from amaranth import *

from systolith.block_ram import BlockRam
from systolith.multiplier import Multiplier
from systolith.primitives.multiply_add import MultiplyAdd

__all__ = ["GowinBlockRam", "GowinMultiplier", "GowinMultiplyAdd"]


class GowinMultiplier(Multiplier):
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
                raise ValueError(f"GowinMultiplier {name} must be at most 18 bits wide, not {shape!r}")

    def _product(self, m):
        width = 9 if max(self.a_shape.width, self.b_shape.width) <= 9 else 18
        a, b = Signal(Shape(width, self.a_shape.signed)), Signal(Shape(width, self.b_shape.signed))
        product = Signal(2 * width)
        m.d.comb += [a.eq(self.a), b.eq(self.b)]
        m.submodules.mult = Instance(
            f"MULT{width}X{width}",
            p_AREG=Const(1), p_BREG=Const(1), p_PIPE_REG=Const(0), p_OUT_REG=Const(1),
            p_ASIGN_REG=Const(0), p_BSIGN_REG=Const(0), p_SOA_REG=Const(0), p_MULT_RESET_MODE="SYNC",
            i_CLK=ClockSignal(), i_CE=Const(1), i_RESET=Const(0),
            i_ASIGN=Const(self.a_shape.signed), i_BSIGN=Const(self.b_shape.signed), i_ASEL=Const(0), i_BSEL=Const(0),
            i_SIA=Const(0, width), i_SIB=Const(0, width),
            i_A=a, i_B=b, o_DOUT=product,
        )  # fmt: skip
        resized = Signal(self.p_shape)
        m.d.comb += resized.eq(product)
        return resized


class GowinMultiplyAdd(MultiplyAdd):
    """:class:`~systolith.primitives.multiply_add.MultiplyAdd` of two products as one ``MULTADDALU18X18``."""

    count = 2
    addend_latency = 2

    def elaborate(self, platform):
        m = Module()
        operands = {f"i_{side}{index}": self._extended(m, getattr(self, side.lower())[index], 18, f"{side}{index}")
                    for side in "AB" for index in range(2)}
        total = Signal(54)
        registers = ("A0REG", "A1REG", "B0REG", "B1REG", "CREG", "PIPE0_REG", "PIPE1_REG", "OUT_REG")
        bypassed = ("ASIGN0_REG", "ASIGN1_REG", "BSIGN0_REG", "BSIGN1_REG", "ACCLOAD_REG0", "ACCLOAD_REG1", "SOA_REG",
                    "B_ADD_SUB", "C_ADD_SUB")
        m.submodules.multaddalu = Instance(
            "MULTADDALU18X18",
            p_MULTADDALU18X18_MODE=0,  # A0 * B0 + A1 * B1 + C
            p_MULT_RESET_MODE="SYNC",
            **{f"p_{name}": Const(1) for name in registers}, **{f"p_{name}": Const(0) for name in bypassed},
            i_CLK=ClockSignal(), i_CE=Const(1), i_RESET=Const(0), i_ACCLOAD=Const(0),
            i_ASIGN=Const(3, 2), i_BSIGN=Const(3, 2), i_ASEL=Const(0, 2), i_BSEL=Const(0, 2),
            i_SIA=Const(0, 18), i_SIB=Const(0, 18), i_CASI=Const(0, 55),
            i_C=self._extended(m, self.addend, 54, "C"), o_DOUT=total, **operands,
        )  # fmt: skip
        m.d.comb += self.total.eq(total)
        return m


class GowinBlockRam(BlockRam):
    """:class:`~systolith.block_ram.BlockRam` as ``SDPB`` cells which use their own output registers.

    The depth sets the shape of the cells, from 512 words of 32 bits to 16,384 words of 1 bit. A RAM that is deeper,
    or that has initial words other than zero, is left to inference.
    """

    # Words and bits per word of one cell, shallowest first.
    _CELL_SHAPES = ((512, 32), (1024, 16), (2048, 8), (4096, 4), (8192, 2), (16384, 1))
    _LANE_WIDTH = 8  # bits for each write enable of a cell

    def elaborate(self, platform):
        cell_width = next((bits for words, bits in self._CELL_SHAPES if self.depth <= words), None)
        if cell_width is None or any(self.init):
            return super().elaborate(platform)
        m = Module()
        lane_width = min(cell_width, self._LANE_WIDTH)
        group_width = self.width if self.granularity is None else self.granularity
        lanes = [(first, min(first + lane_width, group + group_width), self.w_en[group // group_width])
                 for group in range(0, self.width, group_width) for first in range(group, group + group_width, lane_width)]
        lanes_per_cell = max(cell_width // self._LANE_WIDTH, 1)
        for index, first in enumerate(range(0, len(lanes), lanes_per_cell)):
            self._add_cell(m, f"sdpb_{index}", lanes[first:first + lanes_per_cell], cell_width)
        return m

    def _add_cell(self, m, name, lanes, cell_width):
        """Add one cell to ``m`` which holds some lanes of all words."""
        lane_width = min(cell_width, self._LANE_WIDTH)
        write_data, read_data = Signal(32, name=f"{name}_write_data"), Signal(32, name=f"{name}_read_data")
        enables = Signal(4, name=f"{name}_enables")
        for index, (first, end, enable) in enumerate(lanes):
            span = slice(index * lane_width, index * lane_width + end - first)
            m.d.comb += [
                enables[index].eq(enable),
                write_data[span].eq(self.w_data[first:end]),
                self.r_data[first:end].eq(read_data[span]),
            ]
        write_address, read_address = Signal(14, name=f"{name}_write_address"), Signal(14, name=f"{name}_read_address")
        shift = cell_width.bit_length() - 1  # pins carry the address of a bit
        m.d.comb += [
            # Cells of 16 and 32 bits take the write enables of their bytes at the lowest address pins.
            write_address.eq((self.w_addr << shift) | (enables if cell_width >= 16 else 0)),
            read_address.eq(self.r_addr << shift),
        ]
        m.submodules[name] = Instance(
            "SDPB",
            p_READ_MODE=Const(1), p_BIT_WIDTH_0=cell_width, p_BIT_WIDTH_1=cell_width, p_RESET_MODE="SYNC",
            p_BLK_SEL_0=Const(0, 3), p_BLK_SEL_1=Const(0, 3),
            i_CLKA=ClockSignal(), i_CLKB=ClockSignal(), i_RESETA=Const(0), i_RESETB=Const(0),
            i_BLKSELA=Const(0, 3), i_BLKSELB=Const(0, 3), i_OCE=Const(1),
            i_CEA=enables[:len(lanes)].any(), i_ADA=write_address, i_DI=write_data,
            i_CEB=self.r_en, i_ADB=read_address, o_DO=read_data,
        )  # fmt: skip
