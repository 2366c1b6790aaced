"""Tests of the counter with flags."""

import random

import pytest

from systolith.fill_level import FillLevel
from systolith_sim.pysim import simulate


@pytest.mark.parametrize("depth, init", [(1, 0), (1, 1), (2, 0), (3, 2), (5, 5), (8, 0), (64, 32)])
def test_level_and_flags(depth, init):
    dut = FillLevel(depth=depth, init=init)
    draw = random.Random(depth)
    seen = set()

    async def testbench(ctx):
        level = init
        for number in range(600):
            assert (ctx.get(dut.level), ctx.get(dut.some), ctx.get(dut.room)) == (level, level != 0, level != depth)
            seen.add(level)
            # It fills and empties in turn.
            filling = number // (2 * depth + 4) % 2
            put = level < depth and draw.random() < (0.9 if filling else 0.2)
            take = level > 0 and draw.random() < (0.2 if filling else 0.9)
            ctx.set(dut.put, put)
            ctx.set(dut.take, take)
            await ctx.tick()
            level += put - take

    simulate(dut, testbench, timeout_cycles=1000)
    assert {0, depth} <= seen


@pytest.mark.parametrize("depth", [0, True, 2.0])
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match="Fill level depth must be an integer of at least 1, not"):
        FillLevel(depth=depth)


@pytest.mark.parametrize("init", [-1, 4, True, 1.0])
def test_init_is_checked(init):
    with pytest.raises(ValueError, match="Fill level init must be an integer from 0 to 3, not"):
        FillLevel(depth=3, init=init)
