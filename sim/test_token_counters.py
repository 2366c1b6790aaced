"""Tests of the token counters."""

import random

import pytest

from systolith.token_counters import TokenCounters
from systolith_sim.pysim import simulate


@pytest.mark.parametrize("busy", [0.2, 0.9])
def test_random_traffic_against_a_model(busy):
    dut = TokenCounters(width=3)
    rng = random.Random(1)
    overflows = 0

    async def traffic(ctx):
        nonlocal overflows
        before = []
        count = {(p, c): 0 for p in range(4) for c in range(4) if p != c}
        for _ in range(600):
            available = [[ctx.get(dut.available[c]) >> p & 1 for p in range(4)] for c in range(4)]
            give, take = [0] * 4, [0] * 4
            lost = []
            for (p, c), value in count.items():
                assert available[c][p] == (value > 0), (p, c, value)
                gives = rng.random() < busy * 0.6
                takes = value > 0 and rng.random() < busy * 0.5
                give[p] |= gives << c
                take[c] |= takes << p
                if gives and not takes and value == 7:
                    lost.append(p)
                else:
                    count[p, c] += gives - takes
            assert [available[i][i] for i in range(4)] == [0] * 4
            ctx.set(dut.give, give)
            ctx.set(dut.take, take)
            clear = rng.random() < 0.02
            ctx.set(dut.clear, clear)
            await ctx.tick()
            if clear:
                count = dict.fromkeys(count, 0)
                lost, before = [], []
            assert ctx.get(dut.overflow) == bool(before)
            if before:
                assert ctx.get(dut.overflow_engine) in before
                overflows += 1
            before = lost

    simulate(dut, traffic)
    assert overflows > 0


def test_refuses_bad_widths():
    with pytest.raises(ValueError, match=r"^Token counter width must be at least 2, not 1$"):
        TokenCounters(width=1)
    with pytest.raises(TypeError, match=r"^Token counter width must be an integer, not '16'$"):
        TokenCounters(width="16")
