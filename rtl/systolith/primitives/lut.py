"""Multiplier without a DSP block: 8x8 bits in carry chains."""

from amaranth import *

from systolith.multiplier import Multiplier

__all__ = ["Ecp5LutMultiplier", "LutMultiplier"]

_BYTE = signed(8)


class LutMultiplier(Multiplier):
    """:class:`~systolith.multiplier.Multiplier` of signed bytes in three pipelined levels of carry chains.

    Dataflow: four sums of two rows of partial products each, ``a * b[2k+1:2k]``, then two sums of these, then the
    product; there are no operand registers.

    Raises
    ------
    ValueError
        If an operand is not a signed byte or the latency is below 3.
    """

    def __init__(self, *, a_shape=_BYTE, b_shape=_BYTE, latency=3):
        super().__init__(a_shape=a_shape, b_shape=b_shape, latency=latency)
        if latency < 3:
            raise ValueError(f"LutMultiplier latency must be at least 3, not {latency!r}")
        for name, shape in (("a_shape", self.a_shape), ("b_shape", self.b_shape)):
            if shape != _BYTE:
                raise ValueError(f"LutMultiplier {name} must be signed(8), not {shape!r}")

    def elaborate(self, platform):
        m = Module()
        pairs = []
        for index in range(4):
            pair = Signal(signed(10), name=f"s0_pair{index}", reset_less=True)
            m.d.sync += pair.eq(self._pair(m, index))
            pairs.append(pair)
        halves = []
        for index in range(2):
            low, high = pairs[2 * index], pairs[2 * index + 1]
            half = Signal(signed(12), name=f"s1_half{index}", reset_less=True)
            m.d.sync += half.eq(Cat(low[:2], (low >> 2) + high))
            halves.append(half)
        product = Signal(signed(16), name="s2_product", reset_less=True)
        m.d.sync += product.eq(Cat(halves[0][:4], (halves[0] >> 4) + halves[1]))
        for stage in range(3, self.latency):
            delayed = Signal(signed(16), name=f"s{stage}_product", reset_less=True)
            m.d.sync += delayed.eq(product)
            product = delayed
        m.d.comb += self.p.eq(product)
        return m

    def _pair(self, m, index):
        """Product of a and two bits of b, signed 10 bits; the uppermost bit of b counts negative."""
        low, high = (Mux(self.b[2 * index + bit], self.a, 0) for bit in range(2))
        return low - (high << 1) if index == 3 else low + (high << 1)


class Ecp5LutMultiplier(LutMultiplier):
    """:class:`LutMultiplier` whose first level gates its operands inside the cells of the carry chain.

    A ``CCU2C`` adds two bits in two LUT4s of which yosys uses two inputs for each; here all four take a bit of ``a``
    and of ``b`` for both addends: 73 LUT4s for the multiplier instead of about 190.
    """

    # A and B are one gated addend, C and D the other. With C and D low the LUT is the carry that leaves if it does
    # not propagate, so it must show the first addend alone.
    _ADD = 0x7888       # (A & B) ^ (C & D)
    _SUBTRACT = 0x8777  # ~(A & B) ^ (C & D)
    _CARRY = 0x000F     # with C and D high: generates a carry

    def _pair(self, m, index):
        low, high = self.b[2 * index], self.b[2 * index + 1]
        a = Cat(self.a, self.a[7].replicate(2))
        total = Signal(signed(10), name=f"pair{index}")
        if index < 3:
            halves = [(self._ADD, a[bit], low, a[bit - 1] if bit else Const(0), high) for bit in range(10)]
            sums = total
        else:
            # Subtract: invert, and let the half cell of bit 0, which needs no chain, generate the carry.
            halves = [(self._CARRY, Const(0), Const(0), Const(1), Const(1)),
                      *((self._SUBTRACT, a[bit - 1], high, a[bit], low) for bit in range(1, 10))]
            sums = Cat(Signal(name="unused"), total[1:])
            m.d.comb += total[0].eq(a[0] & low)
        carry = Const(0)
        for cell in range(5):
            pins = {f"{kind}_{pin}{half}": value for half in range(2) for kind, pin, value in zip(
                "piiii", ("INIT", "A", "B", "C", "D"), halves[2 * cell + half])}
            next_carry = Signal(name=f"carry{index}_{cell}")
            m.submodules[f"ccu2c_{index}_{cell}"] = Instance(
                "CCU2C", p_INJECT1_0="NO", p_INJECT1_1="NO", i_CIN=carry, o_COUT=next_carry,
                o_S0=sums[2 * cell], o_S1=sums[2 * cell + 1],
                **{name: Const(value, 16) if name[0] == "p" else value for name, value in pins.items()})
            carry = next_carry
        return total
