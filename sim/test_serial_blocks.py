"""Blocks of the serial accelerator, each by its ports."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from systolith.serial.burst_engine import BurstEngine
from systolith.serial.byte_buffer import ByteBuffer
from systolith.serial.product_array import ProductArray
from systolith.serial.row_walker import RowWalker
from systolith.serial.scaler import Scaler
from systolith_golden.arithmetic import requantize
from systolith_spec.config import ConfigurationError
from systolith_spec.micro_assembler import AssemblyError, assemble
from systolith_spec.micro_instructions import ARGUMENT_WIDTH, Action, Operation
from systolith_spec.microprogram import microprogram
from systolith_spec.presets import PRESETS, preset

SERIAL = preset("serial-4x4")


def simulate(dut, testbench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def scaled(value, multiplier, exponent, rounding, zero_out, low, high):
    if rounding == 2:
        product = abs(value) * multiplier >> (31 - exponent)
        result = -product if value < 0 else product
    else:
        result = int(requantize(np.array([value]), multiplier, exponent, ("double", "single")[rounding])[0])
    return min(max(result + zero_out, low), high)


@pytest.mark.parametrize("rounding", [0, 1, 2])
def test_scaler(rounding):
    draw = random.Random(rounding)
    cases = []
    for _ in range(600):
        exponent = draw.choice([*range(-12, 3), -31, 0, 30])
        value = draw.choice([draw.randint(-(1 << 31), (1 << 31) - 1), draw.randint(-5000, 5000), 0, -1, -(1 << 31),
                             draw.randint(-64, 64) << max(0, -exponent - draw.randint(0, 2))])
        multiplier = draw.choice([draw.randint(1 << 30, (1 << 31) - 1), 1 << 30, (1 << 31) - 1, 0])
        low = draw.randint(-128, 127)
        value = min(max(value, -(1 << 31)), (1 << 31) - 1)
        cases.append((value, multiplier, exponent, rounding, draw.randint(-128, 127), low, draw.randint(low, 127)))
    dut = Scaler()

    async def testbench(ctx):
        for case in cases:
            value, multiplier, exponent, _, zero_out, low, high = case
            for name, setting in (("rounding", rounding), ("zero_out", zero_out), ("minimum", low), ("maximum", high),
                                  ("exponent", exponent), ("set_exponent", 1)):
                ctx.set(getattr(dut, name), setting)
            await ctx.tick()
            ctx.set(dut.set_exponent, 0)
            ctx.set(dut.sum, value)
            ctx.set(dut.multiplier, multiplier)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            *_, result = await ctx.tick().sample(dut.result).until(dut.valid)
            assert result == scaled(*case), case
            assert not ctx.get(dut.busy)

    simulate(dut, testbench)


def test_unaligned_reads_of_the_byte_buffer():
    draw = random.Random(1)
    size, lanes = 64, 4
    dut = ByteBuffer(size=size, lanes=lanes)
    contents = [draw.randrange(256) for _ in range(size)]

    async def testbench(ctx):
        for address, byte in enumerate(contents):
            ctx.set(dut.write, 1)
            ctx.set(dut.write_address, address)
            ctx.set(dut.byte, byte)
            await ctx.tick()
        ctx.set(dut.write, 0)
        for address in range(size):
            ctx.set(dut.read, 1)
            ctx.set(dut.read_address, address)
            await ctx.tick()
            ctx.set(dut.read, 0)
            await ctx.tick()
            wanted = bytes(contents[(address + lane) % size] for lane in range(lanes))
            assert ctx.get(dut.vector).to_bytes(lanes, "little") == wanted

    simulate(dut, testbench)


def test_rows_of_the_walker():
    draw = random.Random(2)
    dut = RowWalker(config=SERIAL)

    async def testbench(ctx):
        for _ in range(60):
            low, row_bytes, step = draw.randint(-12, 12), draw.randint(1, 24), draw.randint(-5, 9)
            address, count, inside = draw.randrange(4096), draw.randint(0, 9), draw.random() < 0.8
            for name, value in (("set_step", step), ("set_low", low), ("set_high", low - row_bytes), ("set_positions", count)):
                ctx.set(dut.value, value % (1 << 32))
                ctx.set(getattr(dut, name), 1)
                await ctx.tick()
                ctx.set(getattr(dut, name), 0)
            ctx.set(dut.row_inside, inside)
            ctx.set(dut.set_row, 1)
            await ctx.tick()
            ctx.set(dut.set_row, 0)
            ctx.set(dut.value, address)
            ctx.set(dut.walk, 1)
            await ctx.tick()
            ctx.set(dut.walk, 0)
            for position in range(count):
                assert ctx.get(dut.busy) and ctx.get(dut.read)
                assert ctx.get(dut.address) == (address + position * step) % 4096
                await ctx.tick()
                first = low + position * step
                wanted = sum((inside and 0 <= first + lane < row_bytes) << lane for lane in range(4))
                assert ctx.get(dut.valid) and ctx.get(dut.inside) == wanted
            assert not ctx.get(dut.busy)

    simulate(dut, testbench)


def test_products_and_accumulators():
    rng = np.random.default_rng(3)
    weights = rng.integers(-128, 128, (2, 4, 4), np.int8)
    vectors = rng.integers(-128, 128, (2, 6, 4), np.int8)
    vectors[0, 0], weights[0, :, 0] = -128, -128
    dut = ProductArray(config=SERIAL)
    wanted = sum(vectors[tile].astype(int) @ weights[tile].astype(int) for tile in range(2))

    async def testbench(ctx):
        for tile in range(2):
            for row in range(4):
                ctx.set(dut.weights, int.from_bytes(weights[tile, row].tobytes(), "little"))
                ctx.set(dut.load, 1 << row)
                await ctx.tick()
            ctx.set(dut.load, 0)
            ctx.set(dut.overwrite, tile == 0)
            ctx.set(dut.entry, 9)
            ctx.set(dut.set_entry, 1)
            await ctx.tick()
            ctx.set(dut.set_entry, 0)
            for vector in vectors[tile]:
                ctx.set(dut.vector, int.from_bytes(vector.tobytes(), "little"))
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
                for _ in range(rng.integers(2)):
                    await ctx.tick()
            while ctx.get(dut.busy):
                await ctx.tick()
        ctx.set(dut.overwrite, 0)
        for index, sums in enumerate(wanted):
            ctx.set(dut.entry, 9 + index)
            ctx.set(dut.set_entry, 1)
            await ctx.tick()
            ctx.set(dut.set_entry, 0)
            await ctx.tick()
            for column in range(4):
                assert ctx.get(dut.column) == sums[column]
                ctx.set(dut.next_column, 1)
                await ctx.tick()
            ctx.set(dut.next_column, 0)

    simulate(dut, testbench)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_read_bursts(target):
    draw = random.Random(target)
    dut = BurstEngine(length_width=9)

    async def testbench(ctx):
        for failing in (0, 2, 3, 0):
            address, length = (4 * draw.randrange(1 << 20), 4 * draw.randint(1, 16))
            if target == 0:
                address, length = address + draw.randrange(4), draw.randint(1, 40)
            beats = (address % 4 + length + 3) // 4
            memory = bytes(draw.randrange(256) for _ in range(4 * beats))
            for name, value in (("target", target), ("length", length), ("address", address), ("begin", 1)):
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            ctx.set(dut.begin, 0)
            while not ctx.get(dut.arvalid):
                await ctx.tick()
            assert ctx.get(dut.addr) == address & ~3 and ctx.get(dut.len) == beats - 1
            ctx.set(dut.arready, 1)
            await ctx.tick()
            ctx.set(dut.arready, 0)
            got, sent = b"", 0
            while ctx.get(dut.busy):
                offer = sent < beats and draw.random() < 0.7
                ctx.set(dut.rvalid, offer)
                ctx.set(dut.rdata, int.from_bytes(memory[4 * sent:4 * sent + 4], "little"))
                ctx.set(dut.rlast, sent == beats - 1)
                ctx.set(dut.rresp, failing if sent == beats // 2 else 0)
                ctx.set(dut.word_ready, draw.random() < 0.7)
                await ctx.delay(1e-8)
                if ctx.get(dut.byte_valid):
                    got += bytes([ctx.get(dut.byte)])
                if ctx.get(dut.weight_valid) or (ctx.get(dut.word_valid) and ctx.get(dut.word_ready)):
                    got += ctx.get(dut.beat).to_bytes(4, "little")
                sent += offer and ctx.get(dut.rready)
                await ctx.tick()
            assert got == memory[address % 4:][:length] and sent == beats
            assert ctx.get(dut.failed) == (failing != 0)
            assert not failing or ctx.get(dut.decode_error) == (failing == 3)

    simulate(dut, testbench)


def test_write_bursts():
    draw = random.Random(5)
    dut = BurstEngine(length_width=9)

    async def testbench(ctx):
        for failing in (0, 2, 3, 0, 0, 0):
            address, length = draw.randrange(1 << 20), draw.randint(1, 40)
            beats = (address % 4 + length + 3) // 4
            words = [draw.getrandbits(32) for _ in range(beats)]
            for name, value in (("target", 3), ("length", length), ("address", address), ("begin", 1), ("awready", 1)):
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            ctx.set(dut.begin, 0)
            fetched, strobes = 0, []
            while not ctx.get(dut.bready):
                ready = draw.random() < 0.6
                ctx.set(dut.wready, ready)
                if ctx.get(dut.wvalid):
                    assert ctx.get(dut.wdata) == words[fetched - 1]
                    assert ctx.get(dut.wlast) == (len(strobes) == 4 * (beats - 1))
                    if ready:
                        strobes += [ctx.get(dut.wstrb) >> lane & 1 for lane in range(4)]
                        assert len(strobes) == 4 * fetched
                fetch = ctx.get(dut.fetch)
                await ctx.tick()
                if fetch:
                    ctx.set(dut.stored, words[fetched])
                    fetched += 1
            assert strobes == [int(address % 4 <= lane < address % 4 + length) for lane in range(4 * beats)]
            ctx.set(dut.bvalid, 1)
            ctx.set(dut.bresp, failing)
            await ctx.tick()
            ctx.set(dut.bvalid, 0)
            assert not ctx.get(dut.busy) and ctx.get(dut.failed) == (failing != 0)

    simulate(dut, testbench)


def test_assembler():
    program = assemble("begin: LD =FIVE ; constant\n ST x\n LD x\n INDEX\nhere: STX\n BNZ here\n RET", values={"FIVE": 5},
                       places={"x": 7}, free=range(9, 12))
    operations = [word >> ARGUMENT_WIDTH for word in program.words]
    arguments = [word & ((1 << ARGUMENT_WIDTH) - 1) for word in program.words]
    # A read behind a write, and a use of the index behind its load, are kept apart.
    assert operations[:4] == [Operation.LD, Operation.ST, Operation.DO, Operation.LD]
    assert arguments[:6] == [9, 7, Action.NOP, 7, Action.INDEX, Action.NOP]
    assert program.labels == {"begin": 0, "here": 6} and arguments[7] == 6
    assert program.constants == {9: 5} and program.memory_words == 1


@pytest.mark.parametrize("text", ["JMP nowhere", "WALTZ", "a: RET\na: RET", "LD =NAME", "LD x y", "LD p\nLD q"])
def test_bad_microprograms(text):
    with pytest.raises(AssemblyError):
        assemble(text, values={}, places={}, free=range(1))


@pytest.mark.parametrize("config", [config for config in PRESETS.values() if config.control == "serial"],
                         ids=lambda config: config.name)
def test_microprogram_fits(config):
    assert len(microprogram(config).words) <= 1024


@pytest.mark.parametrize(("field", "value"), [
    ("control", "other"), ("rows", 5), ("axi_data_width", 64), ("vector_lanes", 2), ("activation_banks", 2),
    ("depthwise_streams", 1), ("residual_add", True), ("softmax", True), ("engine_counters", True), ("parameter_bytes", 2048),
    ("parameter_groups", 16), ("burst_beats", 8)])
def test_combinations_that_cannot_work(field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(SERIAL, **{field: value})
