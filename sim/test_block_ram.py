"""Tests of the block RAM, in its generic and its ECP5 form."""

import random

import pytest

import systolith.block_ram
import systolith.primitives.gowin
from systolith.block_ram import BlockRam, Ecp5BlockRam, block_ram
from systolith_sim.ecp5_models import ecp5_instance
from systolith_sim.gowin_models import gowin_instance
from systolith_sim.pysim import simulate

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # attributes, errors


@pytest.fixture
def cell_models(monkeypatch):
    """Put behavioural models in the place of cells."""
    monkeypatch.setattr(systolith.block_ram, "Instance", ecp5_instance)
    monkeypatch.setattr(systolith.primitives.gowin, "Instance", gowin_instance)


def run_random(dut, *, cycles, seed):
    """Write and read at random, never the same address at once; return read data and a software model's."""
    rng = random.Random(seed)
    granularity = dut.granularity or dut.width
    memory = list(dut.init) + [0] * (dut.depth - len(dut.init))
    hot = sorted({rng.randrange(dut.depth) for _ in range(24)} | {0, dut.depth - 1})
    got, want, last = [], [], 0

    async def testbench(ctx):
        nonlocal last
        for _ in range(cycles):
            write_address, read_address = rng.choice(hot), rng.choice(hot)
            enables = rng.getrandbits(len(dut.w_en)) if read_address != write_address else 0
            data = rng.getrandbits(dut.width)
            read_enable = rng.random() < 0.7
            ctx.set(dut.w_addr, write_address)
            ctx.set(dut.w_en, enables)
            ctx.set(dut.w_data, data)
            ctx.set(dut.r_addr, read_address)
            ctx.set(dut.r_en, read_enable)
            if read_enable:
                last = memory[read_address]
            want.append(last)
            got.append(ctx.get(dut.r_data))
            for group in range(len(dut.w_en)):
                if enables >> group & 1:
                    mask = ((1 << granularity) - 1) << (group * granularity)
                    memory[write_address] = memory[write_address] & ~mask | data & mask
            await ctx.tick()

    simulate(dut, testbench)
    return got[dut.read_latency :], want[: -dut.read_latency]


@pytest.mark.parametrize("style", ["generic", "ecp5", "gowin"])
@pytest.mark.parametrize(
    ("width", "depth", "granularity"),
    [
        (32, 256, 8),  # cells of 36 bits, four enables each
        (50, 512, None),  # the same, one enable, not a multiple of 9
        (24, 300, 12),  # enables of more than one lane each
        (64, 1024, 8),  # cells of 18 bits
        (20, 2000, 10),  # 9 bits
        (12, 4096, 4),  # 4 bits
        (3, 5000, None),  # 2 bits
        (2, 16384, 1),  # 1 bit
        (8, 2, None),
    ],
)
def test_against_software_model(cell_models, style, width, depth, granularity):
    dut = block_ram(style=style, width=width, depth=depth, granularity=granularity)
    got, want = run_random(dut, cycles=600, seed=width)
    assert got == want
    assert len(set(got)) > 3


@pytest.mark.parametrize("style", ["generic", "ecp5", "gowin"])
def test_init(cell_models, style):
    dut = block_ram(style=style, width=16, depth=8, init=[1, 2, 0xFFFF])
    got, want = run_random(dut, cycles=100, seed=1)
    assert got == want


@pytest.mark.parametrize("style", ["generic", "ecp5", "gowin"])
def test_read_takes_two_cycles(cell_models, style):
    dut = block_ram(style=style, width=8, depth=16)
    seen = []

    async def testbench(ctx):
        ctx.set(dut.w_addr, 5)
        ctx.set(dut.w_data, 0xA5)
        ctx.set(dut.w_en, 1)
        await ctx.tick()
        ctx.set(dut.w_en, 0)
        ctx.set(dut.r_addr, 5)
        ctx.set(dut.r_en, 1)
        for _ in range(5):
            seen.append(ctx.get(dut.r_data))
            await ctx.tick()
            ctx.set(dut.r_addr, 0)
            ctx.set(dut.r_en, 0)

    simulate(dut, testbench)
    assert seen == [0, 0, 0xA5, 0xA5, 0xA5]
    assert dut.read_latency == 2


def test_attributes_and_interfaces():
    arguments = {"width": 64, "depth": 100, "granularity": 8, "init": [7]}
    generic, ecp5 = block_ram(**arguments), block_ram(style="ecp5", **arguments)
    assert type(generic) is BlockRam and type(ecp5) is Ecp5BlockRam
    assert generic.signature == ecp5.signature
    assert (ecp5.width, ecp5.depth, ecp5.granularity, ecp5.init) == (64, 100, 8, (7,))
    assert len(ecp5.r_addr) == 7 and len(ecp5.w_en) == 8


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (ValueError, {"style": "spram"}, r"^Block RAM style must be one of generic, ecp5, ice40, gowin, nexus, not 'spram'$"),
        (TypeError, {"width": "8"}, r"^Block RAM width must be an integer, not '8'$"),
        (ValueError, {"depth": 0}, r"^Block RAM depth must be positive, not 0$"),
        (ValueError, {"granularity": 3}, r"^Block RAM granularity must divide the width 8, not 3$"),
        (ValueError, {"init": [0] * 17}, r"^Block RAM init must be at most 16 words, not 17 words$"),
    ],
)
def test_errors(kind, arguments, message):
    with pytest.raises(kind, match=message):
        block_ram(**{"width": 8, "depth": 16, **arguments})
