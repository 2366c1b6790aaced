"""Tests of the performance counters."""

import random
from collections import Counter

from systolith.performance_counters import ENGINE_COUNTERS, PerformanceCounters
from systolith_sim.pysim import simulate
from systolith_spec.commands import Engine


def test_random_events():
    dut = PerformanceCounters(axi_bytes=16)
    rng = random.Random(1)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        wanted = Counter()
        for _ in range(300):
            run, clear = rng.random() < 0.7, rng.random() < 0.02
            ctx.set(dut.run, run)
            ctx.set(dut.clear, clear)
            wanted["cycles"] += run
            for name, member, step in (("bytes_read", dut.read_beat, 16), ("bytes_written", dut.write_beat, 16),
                                       ("commands", dut.command, 1)):
                event = rng.random() < 0.5
                ctx.set(member, event)
                wanted[name] += step * (event and run)
            for kind in ENGINE_COUNTERS:
                mask = rng.randrange(16)
                ctx.set(getattr(dut, kind), mask)
                for engine in Engine:
                    wanted[f"{engine.name.lower()}_{kind}"] += mask >> engine & run
            await ctx.tick()
            if clear:
                wanted.clear()
            ctx.set(dut.clear, 0)
            ctx.set(dut.run, 0)
            await ctx.tick()
            for name in dut.counters:
                assert ctx.get(getattr(dut, name)) == wanted[name], name
                compared += 1

    simulate(dut, testbench)
    assert compared == 300 * 20


def test_counters_of_engines_can_be_left_out():
    dut = PerformanceCounters(axi_bytes=4, engines=False)

    async def testbench(ctx):
        ctx.set(dut.run, 1)
        for kind in ENGINE_COUNTERS:
            ctx.set(getattr(dut, kind), 15)
        ctx.set(dut.command, 1)
        await ctx.tick().repeat(11)
        assert ctx.get(dut.cycles) == ctx.get(dut.commands) == 10
        assert not any(ctx.get(getattr(dut, name)) for name in dut.counters if name.endswith(ENGINE_COUNTERS))

    simulate(dut, testbench)
