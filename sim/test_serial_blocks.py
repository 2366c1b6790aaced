"""Blocks of the serial accelerator, each by its ports."""

import random
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from systolith.serial.burst_engine import BurstEngine
from systolith.serial.byte_buffer import ByteBuffer
from systolith.serial.product_array import ProductArray
from systolith.serial.row_walker import RowWalker
from systolith.serial.scaler import Scaler
from systolith.serial.single_port_byte_buffer import SinglePortByteBuffer
from systolith_golden.arithmetic import requantize
from systolith_spec.config import ConfigurationError
from systolith_spec.micro_assembler import AssemblyError, assemble
from systolith_spec.micro_instructions import ARGUMENT_WIDTH, Action, Operation
from systolith_spec.microprogram import microprogram
from systolith_spec.presets import PRESETS, preset

SERIAL = preset("serial-4x4")
SINGLE_PORT = replace(SERIAL, name="single-port", activation_ports=1)


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


def single_port_buffer(testbench, *, size=64, lanes=4, style="generic"):
    dut = SinglePortByteBuffer(size=size, lanes=lanes, style=style)

    async def write(ctx, address, byte):
        ctx.set(dut.write, 1)
        ctx.set(dut.write_address, address)
        ctx.set(dut.byte, byte)
        await ctx.tick()
        ctx.set(dut.write, 0)

    async def run(ctx):
        contents = [address * 37 % 256 for address in range(size)]
        for address, byte in enumerate(contents):
            await write(ctx, address, byte)
        await ctx.tick()
        await testbench(ctx, dut, contents, write)

    simulate(dut, run)


def vector(contents, address, lanes=4):
    """Vector at an address, which wraps at the end of the buffer."""
    return int.from_bytes(bytes(contents[(address + lane) % len(contents)] for lane in range(lanes)), "little")


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_vectors_of_the_single_port_buffer(lanes):
    """One after the other or with pauses: each takes its cycles, arrives on time and stays."""
    draw = random.Random(lanes)

    async def testbench(ctx, dut, contents, _write):
        due, now, last = {}, 0, None  # by cycle: the vector, None while it moves

        async def cycle():
            nonlocal now, last
            await ctx.tick()
            now += 1
            last = due.get(now, last)
            if last is not None:
                assert ctx.get(dut.vector) == last

        for address in [*range(64), *(draw.randrange(64) for _ in range(200))]:
            ctx.set(dut.read, 1)
            ctx.set(dut.read_address, address)
            for number in range(lanes // 2 + address % 2):
                assert ctx.get(dut.taken) == (number == lanes // 2 + address % 2 - 1)
                due[now + dut.latency] = vector(contents, address, lanes) if ctx.get(dut.taken) else None
                await cycle()
            ctx.set(dut.read, 0)
            for _ in range(draw.choice([0, 0, 1, 2, 9])):
                await cycle()

    single_port_buffer(testbench, lanes=lanes)


def test_bytes_written_between_vectors():
    """A byte waits for the end of the vectors that are read, and disturbs none of them."""
    draw = random.Random(4)

    async def testbench(ctx, dut, contents, _write):
        for _ in range(150):
            addresses = [draw.randrange(64) for _ in range(draw.randint(1, 5))]
            place, byte = draw.randrange(64), draw.randrange(256)
            cycles = sum(2 + address % 2 for address in addresses)
            when = draw.randrange(cycles + 2)
            wanted, got = [vector(contents, address) for address in addresses], []
            taken = []
            for now in range(cycles + dut.latency + 1):
                ctx.set(dut.write, now == when)
                ctx.set(dut.write_address, place)
                ctx.set(dut.byte, byte)
                ctx.set(dut.read, bool(len(taken) < len(addresses)))
                ctx.set(dut.read_address, addresses[min(len(taken), len(addresses) - 1)])
                if ctx.get(dut.read) and ctx.get(dut.taken):
                    taken.append(now)
                if now - dut.latency in taken:
                    got.append(ctx.get(dut.vector))
                await ctx.tick()
            ctx.set(dut.write, 0)
            assert len(taken) == len(addresses) and got == wanted
            contents[place] = byte

    single_port_buffer(testbench)


def test_vectors_that_are_given_up():
    """Without `read`, as after a KILL, nothing of a vector is left over; written bytes are read."""
    draw = random.Random(6)

    async def testbench(ctx, dut, contents, write):
        for _ in range(100):
            ctx.set(dut.read_address, 2 * draw.randrange(32) + 1)
            ctx.set(dut.read, 1)
            for _ in range(draw.randint(0, 2)):
                await ctx.tick()
            ctx.set(dut.read, 0)
            await ctx.tick()
            for _ in range(draw.randint(0, 3)):
                place = draw.randrange(64)
                contents[place] = draw.randrange(256)
                await write(ctx, place, contents[place])
            await ctx.tick()
            address = draw.randrange(64)
            ctx.set(dut.read_address, address)
            ctx.set(dut.read, 1)
            await ctx.tick().repeat(2 + address % 2)
            ctx.set(dut.read, 0)
            await ctx.tick().repeat(dut.latency - 1)
            assert ctx.get(dut.vector) == vector(contents, address)

    single_port_buffer(testbench)


def test_reset_of_the_single_port_buffer():
    """Whatever is under way, the next vector is read as ever."""
    draw = random.Random(7)
    reset = Signal()
    inner = SinglePortByteBuffer(size=64, lanes=4)
    dut = ResetInserter(reset)(inner)

    async def testbench(ctx):
        contents = [0] * 64
        for _ in range(100):
            place, byte = draw.randrange(64), draw.randrange(256)
            ctx.set(inner.write_address, place)
            ctx.set(inner.byte, byte)
            ctx.set(inner.read_address, draw.randrange(64))
            ctx.set(inner.write, 1)
            await ctx.tick()
            contents[place] = byte
            ctx.set(inner.write, 0)
            ctx.set(inner.read, 1)
            await ctx.tick().repeat(draw.randint(1, 4))
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            ctx.set(inner.read_address, address := draw.randrange(64))
            contents[place] = None  # written or not
            await ctx.tick().repeat(2 + address % 2)
            ctx.set(inner.read, 0)
            await ctx.tick().repeat(inner.latency - 1)
            for lane in range(4):
                wanted = contents[(address + lane) % 64]
                assert wanted is None or ctx.get(inner.vector.word_select(lane, 8)) == wanted
            ctx.set(inner.write_address, place)
            ctx.set(inner.byte, byte)
            ctx.set(inner.write, 1)
            await ctx.tick()
            ctx.set(inner.write, 0)
            await ctx.tick()
            contents[place] = byte

    simulate(dut, testbench)


async def begin_row(ctx, dut, draw):
    """Begin a random row of the walker: byte, bytes of a row, step, address, positions, whether it is in the slab."""
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
    return low, row_bytes, step, address, count, inside


def test_rows_of_the_walker_from_one_port():
    """As `test_rows_of_the_walker`, at the pace of the buffer: a vector's lanes are known when it comes."""
    draw = random.Random(8)
    latency = SinglePortByteBuffer.latency
    dut = RowWalker(config=SINGLE_PORT, latency=latency)

    async def testbench(ctx):
        for _ in range(60):
            low, row_bytes, step, address, count, inside = await begin_row(ctx, dut, draw)
            pace = [draw.randint(1, 3) for _ in range(count)]
            ends = [sum(pace[:position + 1]) - 1 for position in range(count)]
            for now in range(sum(pace) + latency + 2):
                position = sum(end < now for end in ends)
                assert ctx.get(dut.busy) == (position < count)
                assert not count or ctx.get(dut.draining) == (now < ends[-1] + latency)
                if position < count:
                    assert ctx.get(dut.read) and ctx.get(dut.address) == (address + position * step) % 4096
                assert ctx.get(dut.valid) == (now - latency in ends)
                if ctx.get(dut.valid):
                    first = low + ends.index(now - latency) * step
                    wanted = sum((inside and 0 <= first + lane < row_bytes) << lane for lane in range(4))
                    assert ctx.get(dut.inside) == wanted
                ctx.set(dut.taken, now in ends)
                await ctx.tick()
            ctx.set(dut.taken, 0)

    simulate(dut, testbench)


def test_rows_of_the_walker():
    draw = random.Random(2)
    dut = RowWalker(config=SERIAL)

    async def testbench(ctx):
        for _ in range(60):
            ctx.set(dut.taken, 1)
            low, row_bytes, step, address, count, inside = await begin_row(ctx, dut, draw)
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


@pytest.mark.parametrize("latency", [1, 3])
def test_write_bursts(latency):
    """Also from a buffer that takes a beat when it likes and shows it later."""
    draw = random.Random(5)
    dut = BurstEngine(length_width=9, latency=latency)

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
            now, shown = 0, None
            while not ctx.get(dut.bready):
                ready = draw.random() < 0.6
                ctx.set(dut.wready, ready)
                if ctx.get(dut.wvalid):
                    assert ctx.get(dut.wdata) == words[fetched - 1]
                    assert ctx.get(dut.wlast) == (len(strobes) == 4 * (beats - 1))
                    if ready:
                        strobes += [ctx.get(dut.wstrb) >> lane & 1 for lane in range(4)]
                        assert len(strobes) == 4 * fetched
                taken = latency == 1 or draw.random() < 0.4
                ctx.set(dut.fetched, taken)
                fetch = ctx.get(dut.fetch) and taken
                await ctx.tick()
                if fetch:
                    shown = now + latency
                now += 1
                if now == shown:
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


@pytest.mark.parametrize(("name", "ports", "message"), [
    ("serial-4x4", 0, "activation_ports must be 1 or 2, not 0"), ("serial-4x4", 4, "activation_ports must be 1 or 2, not 4"),
    ("nano-4x4", 1, "activation_ports must be 2 with parallel control, not 1"),
    ("serial-4x4", True, "activation_ports must be an integer, not True")])
def test_ports_of_the_activation_buffer(name, ports, message):
    with pytest.raises(ConfigurationError, match=rf"^Configuration '{name}': {message}$"):
        replace(preset(name), activation_ports=ports)
