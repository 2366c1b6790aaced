"""Line buffer of column mode."""

import random

import pytest

from systolith.line_buffer import LineBuffer
from systolith_sim.pysim import simulate


@pytest.mark.parametrize(("copies", "depth", "style"), [(1, 16, "generic"), (2, 16, "generic"), (3, 32, "generic")])
def test_delays(copies, depth, style):
    """Every offset from the smallest to the largest, with changes between them."""
    dut = LineBuffer(width=8, copies=copies, depth=depth, style=style)
    generator = random.Random(copies)
    offsets = [1, depth - 1, 2, 7, *range(1, depth, 3)]
    words, compared = [], 0

    async def testbench(ctx):
        nonlocal compared
        for offset in offsets:
            ctx.set(dut.offset, offset)
            line = offset + dut.base_delay
            begin = len(words)
            for _ in range(copies * line + dut.change_latency + 20):
                words.append(generator.getrandbits(8))
                ctx.set(dut.i, words[-1])
                for copy in range(copies):
                    # A copy is right once all words on its way have entered under this offset.
                    if len(words) - 1 >= begin + dut.change_latency + copy * line:
                        source = len(words) - 1 - (copy + 1) * line
                        if source >= 0:
                            assert ctx.get(dut.o[copy]) == words[source]
                            compared += 1
                await ctx.tick()

    simulate(dut, testbench, timeout_cycles=20_000)
    assert compared > 100


def test_messages():
    with pytest.raises(ValueError, match=r"^Line buffer copies must be at least 1, not 0$"):
        LineBuffer(width=8, copies=0, depth=16)
    with pytest.raises(ValueError, match=r"^Line buffer depth must be a power of two, not 12$"):
        LineBuffer(width=8, copies=1, depth=12)
