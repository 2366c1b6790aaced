"""Multiplier pair and single-port RAM of Lattice's iCE40 UltraPlus (UP5K)."""

from amaranth import *

from systolith.primitives.held_multiplier_pair import HeldMultiplierPair
from systolith.primitives.multiplier_pair import MultiplierPair
from systolith.primitives.single_port_ram import SinglePortRam

__all__ = ["Ice40HeldMultiplierPair", "Ice40MultiplierPair", "Ice40SinglePortRam"]

_UNUSED = ("AHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP", "OLOADBOT", "ADDSUBTOP",
           "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT", "CI", "ACCUMCI", "SIGNEXTIN")


def _mac16(a, b, hold):
    """Return an ``SB_MAC16`` with two products of signed bytes, and its output; ``hold`` keeps the operands b."""
    product = Signal(32)
    cell = Instance(
        "SB_MAC16",
        p_MODE_8x8=Const(1), p_A_SIGNED=Const(1), p_B_SIGNED=Const(1), p_A_REG=Const(1), p_B_REG=Const(1),
        p_TOP_8x8_MULT_REG=Const(1), p_BOT_8x8_MULT_REG=Const(1),
        p_TOPOUTPUT_SELECT=Const(2, 2), p_BOTOUTPUT_SELECT=Const(2, 2),  # the products
        i_CLK=ClockSignal(), i_CE=Const(1), **{f"i_{name}": Const(0) for name in _UNUSED}, i_BHOLD=hold,
        i_A=a, i_B=b, i_C=Const(0, 16), i_D=Const(0, 16), o_O=product,
    )  # fmt: skip
    return cell, (product[:16].as_signed(), product[16:].as_signed())


class Ice40MultiplierPair(MultiplierPair):
    """:class:`~systolith.primitives.multiplier_pair.MultiplierPair` as one ``SB_MAC16`` in its mode of two 8x8 products.

    yosys infers one product for each cell and never this mode, so a UP5K would hold 8 multipliers in place of 16.
    """

    def _products(self, m):
        m.submodules.mac16, products = _mac16(Cat(self.a[0], self.a[1]), Cat(self.b[0], self.b[1]), Const(0))
        return products


class Ice40HeldMultiplierPair(HeldMultiplierPair):
    """:class:`~systolith.primitives.held_multiplier_pair.HeldMultiplierPair` as one ``SB_MAC16`` that holds its operands B."""

    def _products(self, m):
        m.submodules.mac16, products = _mac16(self.a.replicate(2), Cat(self.b[0], self.b[1]), ~self.load)
        return products


class Ice40SinglePortRam(SinglePortRam):
    """:class:`~systolith.primitives.single_port_ram.SinglePortRam` as ``SB_SPRAM256KA`` cells of 16,384 words of 16 bits.

    Words are cut into cells of 16 bits, the depth into banks of 16,384 words.
    """

    _CELL_WIDTH, _CELL_DEPTH, _NIBBLE = 16, 16384, 4

    def elaborate(self, platform):
        m = Module()
        banks = -(-self.depth // self._CELL_DEPTH)
        bank, row = self.addr[14:], self.addr[:14]
        chosen = Signal(max(len(bank), 1), reset_less=True)
        with m.If(self.en & ~self.w_en.any()):
            m.d.sync += chosen.eq(bank)
        words = [self._bank(m, index, self.en & (bank == index), row) for index in range(banks)]
        s1_data = Signal(self.width, reset_less=True)
        m.d.sync += s1_data.eq(Array(words)[chosen] if banks > 1 else words[0])
        m.d.comb += self.r_data.eq(s1_data)
        return m

    def _bank(self, m, index, enable, row):
        """Add the cells of one bank; return its word."""
        word = Signal(self.width, name=f"word_{index}")
        granularity = self.granularity or self.width
        for first in range(0, self.width, self._CELL_WIDTH):
            last = min(first + self._CELL_WIDTH, self.width)
            read, write, mask = (Signal(size, name=f"{name}_{index}_{first}") for name, size in
                                 (("read", 16), ("write", 16), ("mask", 4)))
            m.d.comb += [write.eq(self.w_data[first:last]), word[first:last].eq(read)]
            for nibble in range(first, last, self._NIBBLE):
                m.d.comb += mask[(nibble - first) // self._NIBBLE].eq(self.w_en[nibble // granularity])
            m.submodules[f"spram_{index}_{first // self._CELL_WIDTH}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(), i_CHIPSELECT=enable, i_WREN=self.w_en.any(), i_MASKWREN=mask,
                i_ADDRESS=row, i_DATAIN=write, o_DATAOUT=read,
                i_STANDBY=Const(0), i_SLEEP=Const(0), i_POWEROFF=Const(1),  # active low
            )  # fmt: skip
        return word
