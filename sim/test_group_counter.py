"""Division of channels into groups of lanes."""

import random

import pytest

from systolith.group_counter import GroupCounter
from systolith_sim.pysim import simulate


@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 8, 12, 63, 64])
def test_quotient_and_tail(lanes):
    dut = GroupCounter(lanes=lanes, width=24)
    generator = random.Random(lanes)
    values = [1, 2, lanes, lanes + 1, 2 * lanes, (1 << 24) - 1] + [
        generator.randrange(1, 1 << 24) for _ in range(5)
    ]

    async def testbench(ctx):
        for channels in values:
            ctx.set(dut.channels, channels)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for _ in range(dut.latency):
                assert not ctx.get(dut.done)
                await ctx.tick()
            assert ctx.get(dut.done)
            groups = -(-channels // lanes)
            assert ctx.get(dut.groups) == groups
            assert ctx.get(dut.tail) == channels - (groups - 1) * lanes

    assert dut.latency == (0 if lanes in (1, 2, 8, 64) else 24)
    simulate(dut, testbench, timeout_cycles=1000)
