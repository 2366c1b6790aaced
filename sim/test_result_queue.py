"""Tests of the queue of results and their destinations."""

import random

import pytest

from systolith.result_queue import ResultQueue
from systolith_sim.pysim import StreamMonitor, expect, simulate

COUNT = 200


def run(depth, ahead, stall, gaps=0.0):
    """Write destinations, ``ahead`` of them before their results; compare the pairs; return the cycles of in- and output."""
    dut = ResultQueue(destination_shape=12, result_shape=8, depth=depth)
    items = [(number * 7 % 4096, number % 256) for number in range(COUNT)]
    draw = random.Random(1)
    monitor = StreamMonitor(dut.o, name="o")
    written = []

    async def write(ctx):
        """Never more in the queue than there is room for, as the parent of the queue does it."""
        destinations = results = read = cycle = 0
        while results < COUNT:
            result = results < destinations - ahead or (destinations == COUNT and results < COUNT)
            destination = destinations < COUNT and destinations - read < depth
            result, destination = (present and draw.random() >= gaps for present in (result, destination))
            ctx.set(dut.result_valid, result)
            ctx.set(dut.destination_valid, destination)
            if result:
                ctx.set(dut.result, items[results][1])
                written.append(cycle)
            if destination:
                ctx.set(dut.destination, items[destinations][0])
            _, _, valid, ready = await ctx.tick().sample(dut.o.valid, dut.o.ready)
            results, destinations, read, cycle = results + result, destinations + destination, read + (valid & ready), cycle + 1
        ctx.set(dut.result_valid, 0)

    expected = [{"destination": destination, "result": result} for destination, result in items]
    simulate(dut, write, expect(dut.o, expected, stall=stall, seed=2), background=[monitor])
    return written, monitor.cycles


@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("depth, ahead", [(2, 0), (5, 3), (8, 7), (48, 30)])
def test_results_leave_in_order_with_their_destinations(depth, ahead, stall):
    written, read = run(depth, ahead, stall, gaps=0.3)
    assert len(written) == len(read) == COUNT
    assert all(after >= before + ResultQueue.latency for before, after in zip(written, read))


def test_one_result_a_cycle():
    written, read = run(48, 30, 0.0)
    assert read == [cycle + ResultQueue.latency for cycle in written]
    assert read[-1] - read[0] < COUNT + 4


@pytest.mark.parametrize("depth", [1, 0, 2.0])
def test_depth_is_checked(depth):
    with pytest.raises(ValueError, match="Result queue depth must be an integer of at least 2"):
        ResultQueue(destination_shape=8, result_shape=8, depth=depth)
