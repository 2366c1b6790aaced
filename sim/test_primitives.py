"""Every family's primitives behave as the generic ones: against models of their cells."""

import random

import pytest
from amaranth.hdl import signed, unsigned

import systolith.block_ram
import systolith.multiplier
import systolith.primitives.ecp5
import systolith.primitives.gowin
import systolith.primitives.lut
from systolith.block_ram import BLOCK_RAM_STYLES, BlockRam
from systolith.multiplier import MULTIPLIER_STYLES
from systolith.primitives import families
from systolith.primitives.gowin import GowinMultiplier
from systolith.primitives.lut import LutMultiplier
from systolith.primitives.multiplier_pair import MultiplierPair
from systolith.primitives.multiply_add import MultiplyAdd
from systolith.primitives.nexus import NexusMultiplier
from systolith.primitives.single_port_ram import SinglePortRam
from systolith_sim.ecp5_models import ecp5_instance
from systolith_sim.gowin_models import gowin_instance
from systolith_sim.pysim import simulate

# Nexus and iCE40 cells are simulated with the models of yosys: cocotb_tests/test_primitive_cells.py.
MODELLED = ("generic", "ecp5", "gowin")
BYTES = (-128, -127, -1, 0, 1, 127)


@pytest.fixture(autouse=True)
def cell_models(monkeypatch):
    """Put behavioural models in the place of cells."""
    for module in (systolith.multiplier, systolith.block_ram, systolith.primitives.ecp5, systolith.primitives.lut):
        if hasattr(module, "Instance"):
            monkeypatch.setattr(module, "Instance", ecp5_instance)
    monkeypatch.setattr(systolith.primitives.gowin, "Instance", gowin_instance)


def operand_bytes(count, seed):
    """Extremes and random bytes."""
    rng = random.Random(seed)
    return [(a, b) for a in BYTES for b in BYTES] + [(rng.randrange(-128, 128), rng.randrange(-128, 128)) for _ in range(count)]


def stream(dut, inputs, output, latency):
    """Feed one set of inputs each cycle; return what leaves ``latency`` cycles later."""
    seen = []

    async def testbench(ctx):
        for values in inputs + [inputs[0]] * latency:
            for port, value in values:
                ctx.set(port, value)
            seen.append(output(ctx))
            await ctx.tick()

    simulate(dut, testbench, timeout_cycles=len(inputs) + 100)
    return seen[latency:]


@pytest.mark.parametrize("shapes", [(signed(8), signed(8)), (unsigned(8), signed(9)), (signed(18), unsigned(18)),
                                    (signed(17), signed(17))], ids=str)
@pytest.mark.parametrize("latency", [2, 4])
def test_gowin_multiplier(shapes, latency):
    dut = GowinMultiplier(a_shape=shapes[0], b_shape=shapes[1], latency=latency)
    rng = random.Random(1)

    def draw(shape):
        low = -(1 << shape.width - 1) if shape.signed else 0
        return rng.choice((low, low + (1 << shape.width) - 1, low + rng.getrandbits(shape.width)))

    operands = [(draw(shapes[0]), draw(shapes[1])) for _ in range(200)]
    got = stream(dut, [[(dut.a, a), (dut.b, b)] for a, b in operands], lambda ctx: ctx.get(dut.p), latency)
    assert got == [a * b for a, b in operands]


@pytest.mark.parametrize("kind", [LutMultiplier, families.LUT_MULTIPLIERS["ecp5"]], ids=["generic", "ecp5"])
@pytest.mark.parametrize("latency", [3, 5])
def test_lut_multiplier(kind, latency):
    dut = kind(latency=latency)
    operands = operand_bytes(1500, 2)
    got = stream(dut, [[(dut.a, a), (dut.b, b)] for a, b in operands], lambda ctx: ctx.get(dut.p), latency)
    assert got == [a * b for a, b in operands]


@pytest.mark.parametrize("family", MODELLED)
@pytest.mark.parametrize("width", [18, 54])
def test_multiply_add(family, width):
    dut = families.MULTIPLY_ADDS[family](shape=signed(width))
    rng = random.Random(3)
    steps = [([rng.choice(operand_bytes(9, k)) for k in range(dut.count)], rng.randrange(-1 << width - 1, 1 << width - 1))
             for _ in range(300)]
    inputs = [[(dut.a, [a for a, _ in pairs]), (dut.b, [b for _, b in pairs]), (dut.addend, addend)]
              for pairs, addend in steps]
    got = stream(dut, inputs, lambda ctx: ctx.get(dut.total), dut.product_latency)
    early = dut.product_latency - dut.addend_latency

    def wanted(index):
        total = sum(a * b for a, b in steps[index][0]) + (steps + steps[:1] * 9)[index + early][1]
        return (total + (1 << width - 1)) % (1 << width) - (1 << width - 1)

    assert got == [wanted(index) for index in range(len(steps))]


@pytest.mark.parametrize("latency", [2, 3])
def test_multiplier_pair(latency):
    dut = MultiplierPair(latency=latency)
    first, second = operand_bytes(200, 4), operand_bytes(200, 5)[::-1]
    inputs = [[(dut.a, [a, c]), (dut.b, [b, d])] for (a, b), (c, d) in zip(first, second, strict=True)]
    got = stream(dut, inputs, lambda ctx: (ctx.get(dut.p[0]), ctx.get(dut.p[1])), latency)
    assert got == [(a * b, c * d) for (a, b), (c, d) in zip(first, second, strict=True)]


@pytest.mark.parametrize("granularity", [None, 4, 8])
def test_single_port_ram(granularity):
    dut = SinglePortRam(width=24, depth=100, granularity=granularity)
    rng = random.Random(6)
    memory, expected, got = [0] * 100, [], []

    async def testbench(ctx):
        pending = []
        for _ in range(600):
            address, data, enable = rng.randrange(100), rng.getrandbits(24), rng.random() < 0.8
            write = rng.getrandbits(len(dut.w_en)) if rng.random() < 0.5 else 0
            for port, value in ((dut.addr, address), (dut.en, enable), (dut.w_en, write), (dut.w_data, data)):
                ctx.set(port, value)
            pending.append(memory[address] if enable and not write else None)
            if enable:
                group = granularity or 24
                for index in range(len(dut.w_en)):
                    if write >> index & 1:
                        mask = (1 << group) - 1 << index * group
                        memory[address] = memory[address] & ~mask | data & mask
            await ctx.tick()
            if len(pending) > 1 and pending[-2] is not None:
                expected.append(pending[-2])
                got.append(ctx.get(dut.r_data))

    simulate(dut, testbench)
    assert got == expected and len(got) > 100


def test_every_family_has_every_primitive():
    for table in (families.MULTIPLIERS, families.LUT_MULTIPLIERS, families.MULTIPLIER_PAIRS, families.MULTIPLY_ADDS,
                  families.BLOCK_RAMS, families.SINGLE_PORT_RAMS):
        assert tuple(table) == MULTIPLIER_STYLES == BLOCK_RAM_STYLES
        assert all(issubclass(kind, table["generic"]) for kind in table.values())
    assert issubclass(families.BLOCK_RAMS["gowin"], BlockRam)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: GowinMultiplier(a_shape=19, b_shape=8),
     r"^GowinMultiplier a_shape must be at most 18 bits wide, not unsigned\(19\)$"),
    (lambda: NexusMultiplier(a_shape=8, b_shape=19),
     r"^NexusMultiplier b_shape must be at most 18 bits wide, not unsigned\(19\)$"),
    (lambda: LutMultiplier(latency=2), r"^LutMultiplier latency must be at least 3, not 2$"),
    (lambda: LutMultiplier(a_shape=8), r"^LutMultiplier a_shape must be signed\(8\), not unsigned\(8\)$"),
    (lambda: MultiplyAdd(shape=18), r"^Multiply-add shape must be signed and at most 54 bits wide, not unsigned\(18\)$"),
    (lambda: MultiplierPair(latency=1), r"^Multiplier latency must be an integer of at least 2, not 1$"),
    (lambda: SinglePortRam(width=8, depth=0), r"^Single-port RAM depth must be a positive integer, not 0$"),
    (lambda: SinglePortRam(width=8, depth=4, granularity=3),
     r"^Single-port RAM granularity must be a multiple of 4 that divides the width 8, not 3$"),
])
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
