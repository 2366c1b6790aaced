"""Reciprocal and high multiplier against the golden fixed-point functions."""

import random

from systolith.high_multiplier import HighMultiplier
from systolith.reciprocal import Reciprocal
from systolith_golden.arithmetic import high_multiply
from systolith_golden.fixed_point import reciprocal
from systolith_sim.pysim import simulate


def test_high_products():
    dut, rng = HighMultiplier(), random.Random(1)
    extremes = (-(2**31), 2**31 - 1, -1, 0, 1, 1 << 30)
    pairs = [(a, b) for a in extremes for b in extremes if (a, b) != (-(2**31), -(2**31))]
    pairs += [(rng.randint(-(2**31), 2**31 - 1), rng.randint(-(2**31), 2**31 - 1)) for _ in range(300)]
    seen = []

    async def testbench(ctx):
        for a, b in pairs:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(HighMultiplier.latency - 1)
            seen.append(ctx.get(dut.result))

    simulate(dut, testbench, timeout_cycles=len(pairs) * 10)
    assert seen == [int(high_multiply(a, b)) for a, b in pairs]


def test_reciprocals():
    dut, rng = Reciprocal(), random.Random(2)
    numbers = [1 << 19, (1 << 19) + 1, (1 << 28) - 1, 1 << 27, (1 << 20) - 1]
    numbers += [rng.randint(1 << 19, (1 << rng.randint(20, 28)) - 1) for _ in range(200)]
    seen = []

    async def testbench(ctx):
        for number in numbers:
            ctx.set(dut.x, number)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for _ in range(Reciprocal.latency - 1):
                assert not ctx.get(dut.done)
                await ctx.tick()
            assert ctx.get(dut.done)
            seen.append((ctx.get(dut.multiplier), ctx.get(dut.exponent)))

    simulate(dut, testbench, timeout_cycles=len(numbers) * (Reciprocal.latency + 2))
    expected = [reciprocal(number, 12) for number in numbers]
    assert seen == [(int(scale), -(int(bits) + 23)) for scale, bits in expected]
