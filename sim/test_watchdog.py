"""Tests of the watchdog."""

import pytest

from systolith.watchdog import Watchdog
from systolith_sim.pysim import simulate


@pytest.mark.parametrize("limit", [1, 2, 17])
def test_expires_after_the_limit(limit):
    dut = Watchdog()

    async def watch(ctx):
        ctx.set(dut.limit, limit)
        await ctx.tick().repeat(3)
        ctx.set(dut.enable, 1)
        for _ in range(3):
            cycles = 0
            while not ctx.get(dut.expired):
                await ctx.tick()
                cycles += 1
            assert limit <= cycles <= limit + 1
            await ctx.tick().repeat(5)
            assert ctx.get(dut.expired)
            ctx.set(dut.kick, 1)
            await ctx.tick()
            ctx.set(dut.kick, 0)
            assert not ctx.get(dut.expired)

    simulate(dut, watch)


def test_kicks_and_zero_keep_it_quiet():
    dut = Watchdog()

    async def watch(ctx):
        ctx.set(dut.limit, 10)
        await ctx.tick().repeat(3)
        ctx.set(dut.enable, 1)
        for cycle in range(100):
            ctx.set(dut.kick, cycle % 9 == 0)
            await ctx.tick()
            assert not ctx.get(dut.expired)
        ctx.set(dut.enable, 0)
        ctx.set(dut.limit, 0)
        await ctx.tick().repeat(3)
        ctx.set(dut.enable, 1)
        ctx.set(dut.kick, 0)
        for _ in range(50):
            await ctx.tick()
            assert not ctx.get(dut.expired)

    simulate(dut, watch)
