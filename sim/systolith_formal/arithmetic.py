"""Proofs about the requantizer and the systolic array: they compute their integer specification for all inputs.

The requantizer is proved in steps, since no solver compares two 32 x 31 bit multipliers:

1. bias and left shift give the operand of the multiplication;
2. the product is that of the schoolbook, made of four partial products (that the four make up the product is
   :func:`systolith_formal.integers.schoolbook`, over the integers);
3. from any product on, the two divisions, each rounded, zero point and clamp are as specified (that two divisions
   make the one of rules SINGLE and TRUNCATE is again a matter of integers);
4. the whole pipeline is right for all inputs with a multiplier of 2**30, which shows that the steps fit together.

All of them are pipelines without feedback: what leaves depends on the inputs of ``latency`` cycles only, so a
check of one item among arbitrary others, ``latency`` cycles after the beginning, is complete.
"""

from types import SimpleNamespace

from amaranth import *

from systolith.aligned_array import AlignedArray
from systolith.delay import delay
from systolith.requantizer import Requantizer
from systolith.requantizer_lane import RequantizerLane
from systolith.rounding_shift import RoundingShift
from systolith_spec.commands import Rounding
from systolith_spec.timing import WEIGHT_ROWS

from .mutation import Mutant
from .proof import Proof

__all__ = ["PROOFS"]

_PIPELINE = {"complete": "complete: pipeline without feedback", "unroll": True, "reset": False}


def _power(exponent, width):
    """2**exponent for a value of a few bits."""
    return (Const(1, width) << exponent)[:width]


def _shifted(value, amount, rounding):
    """``value / 2**amount``, rounded by the rule: the definition, with Python's unlimited integers."""
    width = len(value) + 2
    one = _power(amount, width).as_signed()
    remainder = value & (one - 1)
    floor = (value >> amount).as_signed()
    # 2 * remainder against 2**amount decides to nearest.
    above, tie = (remainder << 1) > one, (remainder << 1) == one
    nearest_away = floor + (above | (tie & (value >= 0)))
    nearest_up = floor + (above | tie)
    toward_zero = floor + ((value < 0) & (remainder != 0))
    return Mux(rounding == Rounding.DOUBLE, nearest_away,
               Mux(rounding == Rounding.SINGLE, nearest_up, toward_zero))


def _high(product, right, rounding):
    """``product / 2**31`` as the lane rounds it ahead of the right shift: SINGLE only where none follows."""
    half_up = (product + (1 << 30)) >> 31
    floor = product >> 31
    toward_zero = floor + ((product < 0) & product[:31].any())
    return Mux(rounding == Rounding.DOUBLE, half_up,
               Mux(rounding == Rounding.SINGLE, Mux(right == 0, half_up, floor), toward_zero))[:32].as_signed()


def _clamped(value, low, high):
    """TFLite's order: the lower bound decides first."""
    return Mux(value < low, low, Mux(value > high, high, value))


def _rounding_shift(bench, width=32):
    m = bench.m
    m.submodules.dut = dut = RoundingShift(width=width, result_width=width + 1)
    bench.drive(dut.amount, dut.value, dut.rounding)
    wanted = Signal(signed(width + 1))
    m.d.comb += wanted.eq(_shifted(delay(m, dut.value, dut.latency, name="value"),
                                   delay(m, dut.amount, dut.latency + 1, name="amount"),
                                   delay(m, dut.rounding, dut.latency, name="rounding")))
    bench.assume(dut.rounding != 3)
    bench.check(~bench.at(dut.latency + 1) | ((dut.result == wanted) & ~dut.overflow))


def _operand(bench):
    """Steps "bias" and "left shift" of a lane, 5 cycles."""
    m = bench.m
    lane = SimpleNamespace(**{name: bench.free(shape, name) for name, shape in (
        ("sum", signed(32)), ("bias", signed(32)), ("bias_follows_sign", 1), ("saturate", 1))})
    left = bench.free(5, "left")
    got = RequantizerLane._shift_left(lane, m, RequantizerLane._add_bias(lane, m), delay(m, left, 2, name="s1_left"))
    total, bias, follows = (delay(m, value, 5, name=name) for name, value in (
        ("sum", lane.sum), ("bias", lane.bias), ("follows", lane.bias_follows_sign)))
    biased = Signal(signed(32))
    m.d.comb += biased.eq(Mux(follows & (total < 0), total - bias, total + bias))
    shifted = Signal(signed(63))
    m.d.comb += shifted.eq(biased << delay(m, left, 5, name="left"))
    saturated = _clamped(shifted, -(1 << 31), (1 << 31) - 1)
    wanted = Signal(signed(32))
    m.d.comb += wanted.eq(Mux(delay(m, lane.saturate, 1, name="saturate"), saturated, shifted))
    bench.check(~bench.at(5) | (got == wanted))


def _product(bench):
    """Step "multiplication" of a lane, 4 cycles."""
    m = bench.m
    x, q = bench.free(signed(32), "x"), bench.free(31, "q")
    product, inexact = RequantizerLane._multiply(SimpleNamespace(_multiplier_style="generic"), m, x, q)
    parts = {}
    for x_name, x_part in (("low", x[:16]), ("high", x[16:].as_signed())):
        for q_name, q_part in (("low", q[:16]), ("high", q[16:])):
            # A multiplication of its own, so that the solver meets the same one twice and need not look into it.
            value = x_part * q_part
            part = Signal(Shape(len(x_part) + len(q_part), signed=value.shape().signed), name=f"{x_name}_{q_name}")
            m.d.sync += part.eq(value)
            parts[x_name, q_name] = delay(m, part, 3, name=f"{x_name}_{q_name}")
    wanted = Signal(signed(63))
    m.d.comb += wanted.eq((parts["high", "high"] << 32) + (parts["low", "high"] + parts["high", "low"] << 16)
                          + parts["low", "low"])
    bench.check(~bench.at(4) | ((product == wanted[16:].as_signed()) & (inexact == wanted[:31].any())))


def _finish(bench):
    """Steps from the product on, 8 cycles: any product that the operands can give."""
    m = bench.m
    lane = SimpleNamespace(**{name: bench.free(shape, name) for name, shape in (
        ("rounding", 2), ("zero_out", signed(8)), ("minimum", signed(8)), ("maximum", signed(8)))})
    lane.result = Signal(signed(8))
    product, right = bench.free(signed(63), "product"), bench.free(5, "right")
    high = RequantizerLane._high(lane, m, product[16:].as_signed(), product[:31].any(), right == 0)
    m.submodules.shift = shift = RoundingShift(width=32, result_width=10)
    m.d.comb += [shift.amount.eq(delay(m, right, 1, name="amount")), shift.value.eq(high),
                 shift.rounding.eq(delay(m, lane.rounding, 2, name="s"))]
    RequantizerLane._finish(lane, m, shift)
    cycles = RequantizerLane.latency - RequantizerLane.rounding_cycle
    bench.assume((product <= ((1 << 31) - 1) ** 2) & (product >= -(1 << 31) * ((1 << 31) - 1)) & (lane.rounding != 3))
    product, right, rounding = (delay(m, value, cycles, name=name) for name, value in (
        ("product", product), ("right", right), ("rounding", lane.rounding)))
    zero_out = delay(m, lane.zero_out, RequantizerLane.latency - RequantizerLane.zero_cycle, name="zero")
    minimum, maximum = (delay(m, value, 1, name=name) for name, value in (
        ("minimum", lane.minimum), ("maximum", lane.maximum)))
    scaled = _shifted(_high(product, right, rounding), right, rounding)
    bench.check(~bench.at(cycles) | (lane.result == _clamped(scaled + zero_out, minimum, maximum)))


def _requantizer(bench):
    """The whole pipeline for a multiplier of 2**30, among items with any other."""
    m = bench.m
    m.submodules.dut = dut = Requantizer(lanes=1)
    bench.drive(dut.valid, dut.rounding, dut.bias_follows_sign, dut.zero_out, dut.minimum, dut.maximum, dut.sums,
                dut.biases, dut.exponents)
    cycles = dut.latency
    m.d.comb += dut.multipliers[0].eq(Mux(bench.at(0), 1 << 30, bench.free(31, "multiplier")))
    bench.assume((dut.rounding != 3) & (dut.exponents[0] >= -31) & (dut.exponents[0] <= 30))
    first = {name: delay(m, value, cycles, name=f"first_{name}") for name, value in (
        ("sum", dut.sums[0]), ("bias", dut.biases[0]), ("exponent", dut.exponents[0]), ("valid", dut.valid),
        ("rounding", dut.rounding), ("follows", dut.bias_follows_sign))}
    rounding = first["rounding"]
    zero_out = delay(m, dut.zero_out, cycles - dut.zero_cycle, name="first_zero")
    minimum, maximum = (delay(m, value, cycles - dut.clamp_cycle, name=f"first_{name}") for name, value in (
        ("minimum", dut.minimum), ("maximum", dut.maximum)))
    biased = Signal(signed(32))
    m.d.comb += biased.eq(Mux(first["follows"] & (first["sum"] < 0), first["sum"] - first["bias"],
                              first["sum"] + first["bias"]))
    left, right = Signal(5), Signal(5)
    with m.If(first["exponent"] < 0):
        m.d.comb += right.eq(-first["exponent"])
    with m.Else():
        m.d.comb += left.eq(first["exponent"])
    shifted, operand = Signal(signed(63)), Signal(signed(32))
    m.d.comb += shifted.eq(biased << left)
    m.d.comb += operand.eq(Mux(rounding == Rounding.SINGLE, _clamped(shifted, -(1 << 31), (1 << 31) - 1), shifted))
    scaled = _shifted(_high(operand << 30, right, rounding), right, rounding)
    wanted = _clamped(scaled + zero_out, minimum, maximum)
    bench.check(~bench.at(cycles) | ((dut.results[0] == wanted) & (dut.results_valid == first["valid"])))


def _array(bench, rows=3, cols=2, width=8):
    """Vectors times the tile that was complete at their swap, under any schedule of tiles, swaps and vectors.

    Pair p of a tile reaches its rows p cycles after pair 0, but a vector 2 * p cycles after its first row: a vector
    sees what was loaded into pair p up to p cycles behind it. The specification therefore looks at vectors ``pairs
    - 1`` cycles late and at the loads of pair p that much less p cycles late.
    """
    m = bench.m
    m.submodules.dut = dut = AlignedArray(rows=rows, cols=cols)
    pairs = -(-rows // WEIGHT_ROWS)
    bench.drive(dut.swap, dut.load, dut.load_pair)
    bench.assume(dut.load_pair < pairs)

    def operand(port, name):
        """Any value of ``width`` bits, extended to eight."""
        value = bench.free(signed(width), name)
        m.d.comb += port.eq(value)
        return value

    late = pairs - 1
    vector = [delay(m, operand(dut.activations[row], f"activation_{row}"), late, name=f"vector_{row}") for row in range(rows)]
    swap = delay(m, dut.swap, late, name="swap", reset_less=False)
    weights = [[operand(dut.weights[odd][col], f"weight_{odd}_{col}") for col in range(cols)] for odd in range(WEIGHT_ROWS)]
    wanted = [Signal(signed(2 * width + 4), name=f"wanted_{col}") for col in range(cols)]
    for col in range(cols):
        products = []
        for row in range(rows):
            pair, odd = divmod(row, WEIGHT_ROWS)
            name = f"{row}_{col}"
            loaded, active = Signal(signed(width), name=f"loaded_{name}"), Signal(signed(width), name=f"active_{name}")
            load = delay(m, dut.load & (dut.load_pair == pair), late - pair, name=f"load_{name}", reset_less=False)
            weight = delay(m, weights[odd][col], late - pair, name=f"weight_{name}")
            with m.If(load):
                m.d.sync += loaded.eq(weight)
            with m.If(swap):
                m.d.sync += active.eq(loaded)
            products.append(vector[row] * Mux(swap, loaded, active))
        m.d.comb += wanted[col].eq(sum(products))
    results = [delay(m, wanted[col], dut.latency - late, name=f"sum_{col}") for col in range(cols)]
    bench.check(Cat(dut.sums[col] == results[col] for col in range(cols)).all())


PROOFS = [
    Proof(name="rounding_shift", module="rounding_shift", build=_rounding_shift, bound=5, **_PIPELINE,
          claim="every 32-bit value shifted by 0 to 31 is rounded by its rule",
          mutant=Mutant(module="rounding_shift", text="self.rounding[0] | ~negative",
                        replacement="self.rounding[0] | negative")),
    Proof(name="requantizer_operand", module="requantizer_lane", build=_operand, bound=6, **_PIPELINE,
          claim="bias and left shift give the operand of the multiplication, wrapped or saturated",
          mutant=Mutant(module="requantizer_lane", text="s1_left[:3] > index", replacement="s1_left[:3] > index + 1")),
    Proof(name="requantizer_product", module="requantizer_lane", build=_product, bound=5, **_PIPELINE,
          claim="the product is the sum of the four partial products of the operands' halves",
          mutant=Mutant(module="requantizer_lane", text='products["low_high"] + products["high_low"]',
                        replacement='products["low_high"] - products["high_low"]')),
    Proof(name="requantizer_finish", module="requantizer_lane", build=_finish, bound=9, **_PIPELINE,
          slow=True, limit=300,
          claim="from any product: rounding by each rule, right shift, zero point and clamp as specified",
          mutant=Mutant(module="requantizer_lane", text="increment.eq(half & final)", replacement="increment.eq(half)")),
    Proof(name="requantizer", module="requantizer", build=_requantizer, bound=18, **_PIPELINE,
          slow=True, limit=300,
          claim="the whole pipeline for every sum, bias, exponent and control with a multiplier of 2**30",
          mutant=Mutant(module="requantizer", text="self.rounding == Rounding.SINGLE, RequantizerLane.saturate_cycle",
                        replacement="self.rounding == Rounding.SINGLE, RequantizerLane.saturate_cycle - 1")),
    Proof(name="array", module="aligned_array", build=_array, bound=14, unroll=True, reset=False,
          claim="sums are vector times matrix (3 x 2) under any schedule of tiles, swaps and vectors",
          mutant=Mutant(module="processing_element", text="active.eq(shadow)", replacement="active.eq(element.weight)")),
]
