"""Tests of the FIFOs, in block RAM and with the head in a register."""

import pytest

from systolith.block_fifo import BlockFifo
from systolith.head_fifo import HeadFifo
from systolith_sim.pysim import StreamMonitor, expect, put, simulate, source

# Items beyond the depth that each holds.
BEYOND = {BlockFifo: 5, HeadFifo: 1}


@pytest.mark.parametrize("fifo", BEYOND)
@pytest.mark.parametrize("depth", [2, 3, 5, 16])
@pytest.mark.parametrize(("in_stall", "out_stall"), [(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4), (0, 0.9)])
def test_items_pass_in_order(fifo, depth, in_stall, out_stall):
    dut = fifo(shape=8, depth=depth)
    items = [(7 * index) % 256 for index in range(200)]
    monitor = StreamMonitor(dut.o, name="o")
    simulate(dut, source(dut.i, items, stall=in_stall, seed=1), expect(dut.o, items, stall=out_stall, seed=2),
             background=[monitor])
    assert len(monitor.items) == 200
    if (depth > 2 or fifo is HeadFifo) and not in_stall and not out_stall:
        assert monitor.cycles == list(range(fifo.latency, fifo.latency + 200))


@pytest.mark.parametrize("fifo", BEYOND)
@pytest.mark.parametrize("depth", [2, 7, 16])
def test_holds_its_depth(fifo, depth):
    dut = fifo(shape=8, depth=depth)
    accepted = 0

    async def fill(ctx):
        nonlocal accepted
        ctx.set(dut.i.valid, 1)
        for _ in range(depth + 30):
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            accepted += ready

    simulate(dut, fill)
    assert accepted == depth + BEYOND[fifo]


@pytest.mark.parametrize("fifo", BEYOND)
def test_latency(fifo):
    dut = fifo(shape=8, depth=4)

    async def one(ctx):
        await put(ctx, dut.i, [5])
        for _ in range(fifo.latency - 1):
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        assert ctx.get(dut.o.valid)
        assert ctx.get(dut.o.payload) == 5

    simulate(dut, one)


@pytest.mark.parametrize("fifo", BEYOND)
@pytest.mark.parametrize("depth", [1, True, "8"])
def test_refuses_bad_depths(fifo, depth):
    with pytest.raises(ValueError, match=rf"^FIFO depth must be an integer of at least 2, not {depth!r}$"):
        fifo(shape=8, depth=depth)
