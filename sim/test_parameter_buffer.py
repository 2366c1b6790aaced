"""Parameter buffer: beats of every AXI width in, word pairs out."""

import random

import pytest

from systolith.parameter_buffer import ParameterBuffer
from systolith_sim.pysim import simulate
from systolith_spec.config import AcceleratorConfig


@pytest.mark.parametrize("axi_data_width", [32, 64, 128])
def test_reads_see_all_earlier_writes(axi_data_width):
    config = AcceleratorConfig(
        name="test",
        rows=4,
        cols=4,
        vector_lanes=2,
        activation_bytes=1024,
        weight_bytes=1024,
        parameter_bytes=256,
        accumulator_depth=8,
        axi_data_width=axi_data_width,
    )
    dut = ParameterBuffer(config=config)
    generator = random.Random(axi_data_width)
    memory = bytearray(256)
    expected = []

    async def testbench(ctx):
        for address in range(0, 256, config.axi_bytes):
            await write(ctx, address)
        for _ in range(300):
            ctx.set(dut.write.en, 0)
            address = generator.randrange(0, 256, config.axi_bytes)
            word = generator.randrange(64)
            pair = word & ~1
            # A read of what is being written is not allowed.
            if generator.random() < 0.5 and not address <= 4 * pair < address + max(8, config.axi_bytes):
                if address & ~7 != 4 * pair:
                    await write(ctx, address, word)
                    continue
            await read(ctx, word)
        ctx.set(dut.read.en, 0)
        for _ in range(dut.read_latency):
            await ctx.tick()
            check(ctx)

    def check(ctx):
        if expected:
            want = expected.pop(0)
            assert want is None or ctx.get(dut.read.data) == want

    async def step(ctx, word):
        ctx.set(dut.read.en, word is not None)
        ctx.set(dut.read.addr, word or 0)
        expected.append(None if word is None else int.from_bytes(memory[4 * (word & ~1) :][:8], "little"))
        await ctx.tick()
        if len(expected) >= dut.read_latency:
            check(ctx)

    async def read(ctx, word):
        await step(ctx, word)

    async def write(ctx, address, word=None):
        beat = generator.randbytes(config.axi_bytes)
        ctx.set(dut.write.en, 1)
        ctx.set(dut.write.addr, address)
        ctx.set(dut.write.data, int.from_bytes(beat, "little"))
        await step(ctx, word)
        memory[address : address + config.axi_bytes] = beat
        ctx.set(dut.write.en, 0)

    simulate(dut, testbench, timeout_cycles=1000)
    assert not expected
