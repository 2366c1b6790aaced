"""Tests of the accumulator buffer."""

import random

import pytest
from amaranth.hdl import Signal

from systolith.accumulator_buffer import AccumulatorBuffer
from systolith_sim.pysim import simulate
from systolith_spec.config import AcceleratorConfig


def make_config(rows, cols, depth=8):
    return AcceleratorConfig(name="test", rows=rows, cols=cols, activation_bytes=4096, weight_bytes=2048,
                             accumulator_depth=depth, vector_lanes=1, parameter_groups=64)


def wrap(value):
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


@pytest.mark.parametrize(("rows", "cols", "busy"), [(3, 5, 1.0), (4, 4, 0.5), (8, 3, 0.2)])
def test_updates_and_reads(rows, cols, busy):
    """Random updates with reads at random times; every read sees exactly the updates that are old enough."""
    config = make_config(rows, cols)
    dut = AccumulatorBuffer(config=config)
    generator = random.Random(rows)
    limit = rows << 14
    model = {entry: [0] * cols for entry in range(config.accumulator_entries)}
    pending_writes, pending_sums, responses = {}, {}, {}
    last_update = {}
    reads = refused = 0

    async def testbench(ctx):
        nonlocal reads, refused
        request = None
        for cycle in range(1500):
            for entry, sums in pending_writes.pop(cycle, []):
                model[entry] = sums
            # An update: at least update_distance cycles after the last one of the entry.
            allowed = [entry for entry in model if last_update.get(entry, -99) + dut.update_distance <= cycle]
            valid = generator.random() < busy and bool(allowed)
            ctx.set(dut.updates.valid, valid)
            if valid:
                entry, overwrite = generator.choice(allowed), generator.random() < 0.3
                last_update[entry] = cycle
                sums = [generator.choice([-limit + rows * 128, limit, generator.randint(-limit // 2, limit)])
                        for _ in range(cols)]
                ctx.set(dut.updates.payload, {"entry": entry, "overwrite": overwrite})
                pending_sums[cycle + dut.sum_delay] = sums
                before = [0] * cols if overwrite else model[entry]
                after = [wrap(old + new) for old, new in zip(before, sums, strict=True)]
                pending_writes.setdefault(cycle + dut.update_latency + 1, []).append((entry, after))
            ctx.set(dut.sums, pending_sums.pop(cycle, [generator.randint(-9, 9)] * cols))
            # A read of an entry that is not being written.
            if request is None and generator.random() < 0.7:
                quiet = [entry for entry in model if last_update.get(entry, -99) + dut.update_distance <= cycle
                         and last_update.get(entry) != cycle]
                request = generator.choice(quiet)
            elif request is not None and last_update.get(request, -99) + dut.update_distance > cycle:
                request = None
            ctx.set(dut.read.valid, request is not None)
            if request is not None:
                ctx.set(dut.read.entry, request)
                if ctx.get(dut.read.ready):
                    responses[cycle + dut.read_latency] = list(model[request])
                    request = None
                    reads += 1
                else:
                    refused += 1
            assert ctx.get(dut.read.data_valid) == (cycle in responses)
            if cycle in responses:
                assert [ctx.get(dut.read.data[col]) for col in range(cols)] == responses.pop(cycle), cycle
            await ctx.tick()

    simulate(dut, testbench)
    assert reads > 200
    assert refused > 20


def test_accumulation_at_the_smallest_distance_wraps_around():
    config = make_config(2, 2)
    dut = AccumulatorBuffer(config=config)
    largest = (1 << (config.sum_width - 1)) - 1
    count = 20

    async def testbench(ctx):
        for cycle in range(count * dut.update_distance):
            ctx.set(dut.updates.valid, cycle % dut.update_distance == 0)
            ctx.set(dut.updates.payload, {"entry": 9, "overwrite": cycle == 0})
            ctx.set(dut.sums, [largest, -largest])
            await ctx.tick()
        ctx.set(dut.updates.valid, 0)
        ctx.set(dut.read.valid, 1)
        ctx.set(dut.read.entry, 9)
        for _ in range(dut.read_latency):
            assert ctx.get(dut.read.ready)
            await ctx.tick()
        assert ctx.get(dut.read.data_valid)
        assert [ctx.get(dut.read.data[col]) for col in range(2)] == [wrap(count * largest), wrap(-count * largest)]

    simulate(dut, testbench)
    assert dut.config is config


def test_reset_drops_updates_and_reads_in_flight():
    dut = AccumulatorBuffer(config=make_config(2, 2))
    reset = Signal()

    async def testbench(ctx):
        async def update(value, overwrite):
            ctx.set(dut.updates.valid, 1)
            ctx.set(dut.updates.payload, {"entry": 3, "overwrite": overwrite})
            ctx.set(dut.sums, [value, value])
            await ctx.tick()
            ctx.set(dut.updates.valid, 0)

        await update(5, 1)
        await ctx.tick().repeat(4)
        await update(7, 0)
        ctx.set(dut.read.valid, 1)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(dut.read.valid, 0)
        ctx.set(reset, 0)
        for _ in range(5):
            assert not ctx.get(dut.read.data_valid)
            await ctx.tick()
        ctx.set(dut.read.valid, 1)
        ctx.set(dut.read.entry, 3)
        await ctx.tick().repeat(dut.read_latency)
        assert ctx.get(dut.read.data[0]) == 5

    simulate(dut, testbench, reset=reset)
