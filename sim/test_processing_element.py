"""Tests of one processing element: swap, latch and latency."""

import pytest
from amaranth.hdl import Signal

from systolith.processing_element import ProcessingElement
from systolith_sim.pysim import simulate


def drive(dut, inputs, *, cycles, reset_cycle=None):
    """Set the inputs of each cycle (missing ones 0); return the outputs seen in each cycle."""
    names = ("activation", "swap", "weight", "latch", "partial_sum")
    outputs = []
    reset = Signal()

    async def testbench(ctx):
        for cycle in range(cycles):
            for name in names:
                ctx.set(getattr(dut, name), inputs.get(cycle, {}).get(name, 0))
            ctx.set(reset, cycle == reset_cycle)
            outputs.append({name: ctx.get(getattr(dut, f"{name}_next")) for name in names})
            await ctx.tick()

    simulate(dut, testbench, reset=reset)
    return outputs


def test_swap_and_latch_in_the_same_cycle():
    """The swap takes the old shadow weight while the next one arrives."""
    dut = ProcessingElement(row=3)
    outputs = drive(dut, {
        0: {"weight": 5, "latch": 1},
        1: {"weight": 99},                                              # on its way to a row below
        2: {"activation": 10, "swap": 1, "weight": -7, "latch": 1},
        3: {"activation": 11},
        4: {"activation": 12, "swap": 1},
        5: {"activation": 13},
    }, cycles=16)
    products = {2: 50, 3: 55, 4: -84, 5: -91}
    for cycle, product in products.items():
        assert outputs[cycle + dut.latency]["partial_sum"] == product
        assert outputs[cycle + 1]["activation"] == 10 + cycle - 2
        assert outputs[cycle + 1]["swap"] == (cycle in (2, 4))
    assert [outputs[cycle]["weight"] for cycle in range(1, 4)] == [5, 99, -7]
    assert [outputs[cycle]["latch"] for cycle in range(1, 5)] == [1, 0, 1, 0]


def test_partial_sum_joins_a_cycle_before_the_output():
    dut = ProcessingElement(row=1)
    low = -(1 << 15)
    outputs = drive(dut, {
        0: {"weight": -128, "latch": 1},
        1: {"activation": 127, "swap": 1},
        dut.latency: {"partial_sum": low},
    }, cycles=12)
    assert outputs[1 + dut.latency]["partial_sum"] == low - 128 * 127


def test_reset_clears_flags():
    dut = ProcessingElement(row=0)
    outputs = drive(dut, {cycle: {"swap": 1, "latch": 1} for cycle in range(4)}, cycles=6, reset_cycle=2)
    assert [(seen["swap"], seen["latch"]) for seen in outputs] == [(0, 0), (1, 1), (1, 1), (0, 0), (1, 1), (0, 0)]


def test_properties_and_message():
    dut = ProcessingElement(row=2, style="generic")
    drive(dut, {}, cycles=1)
    assert (dut.row, dut.style) == (2, "generic")
    with pytest.raises(ValueError, match=r"^Processing element row must be an integer of at least 0, not True$"):
        ProcessingElement(row=True)
