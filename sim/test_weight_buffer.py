"""Weight buffer: beats in, pairs of tile rows out, at every alignment that the configuration allows."""

import random
from dataclasses import replace

import pytest

from systolith.weight_buffer import WeightBuffer
from systolith_sim.pysim import simulate
from systolith_spec.presets import preset


@pytest.mark.parametrize(
    ("cols", "axi_data_width"),
    [
        (4, 32),
        (8, 32),
        (16, 32),
        (8, 64),
        (4, 64),
        (4, 128),
        (12, 64),
        (5, 32),
        (7, 64),
        (16, 128),
        (24, 128),
    ],
)
def test_random_rows(cols, axi_data_width):
    config = replace(
        preset("tiny-4x4"),
        cols=cols,
        vector_lanes=1,
        parameter_groups=32,
        weight_bytes=1024,
        axi_data_width=axi_data_width,
    )
    dut = WeightBuffer(config=config)
    rng = random.Random(cols)
    memory = bytearray(config.weight_bytes)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        pending = {}
        for cycle in range(400):
            write = rng.random() < 0.7
            read = rng.random() < 0.7 and cycle < 390
            beat = rng.randrange(config.weight_bytes // config.axi_bytes) * config.axi_bytes
            data = rng.randbytes(config.axi_bytes)
            addr = rng.randrange(0, config.weight_bytes - 2 * cols + 1, config.weight_alignment)
            if write and addr < beat + config.axi_bytes and beat < addr + 2 * cols:
                read = False
            ctx.set(dut.write.en, write)
            ctx.set(dut.write.addr, beat)
            ctx.set(dut.write.data, int.from_bytes(data, "little"))
            ctx.set(dut.read.en, read)
            ctx.set(dut.read.addr, addr)
            if read:
                pending[cycle + dut.read_latency] = bytes(memory[addr : addr + 2 * cols])
            if write:
                memory[beat : beat + config.axi_bytes] = data
            if cycle in pending:
                assert ctx.get(dut.read.data).to_bytes(2 * cols, "little") == pending.pop(cycle)
                compared += 1
            await ctx.tick()
        assert not pending

    simulate(dut, testbench)
    assert compared > 100
