"""STORE engine against an AXI memory and a model of the activation buffer."""

import random
from collections import deque
from dataclasses import replace

import pytest
from amaranth.hdl import Signal

from systolith.activation_buffer import ActivationBuffer
from systolith.store_engine import StoreEngine
from systolith_sim.axi_model import AxiMemory
from systolith_sim.pysim import StreamMonitor, put, simulate
from systolith_sim.transfers import EnginePulses, random_transfer, transfer
from systolith_spec.dma_timing import (
    STORE_FIRST_BEAT,
    STORE_FIRST_REQUEST,
    STORE_RETIRE,
    run_bursts,
    store_cycles,
    store_retires,
    transfer_beats,
    transfer_bursts,
    transfer_runs,
)
from systolith_spec.presets import preset
from systolith_spec.registers import ErrorCode

BASE = 0x8000_1000


def make_config(*, axi_data_width=64, rows=8, burst_beats=16, outstanding_reads=8):
    return replace(
        preset("small-8x8"),
        rows=rows,
        activation_bytes=4096,
        axi_data_width=axi_data_width,
        burst_beats=burst_beats,
        outstanding_reads=outstanding_reads,
    )


class Source:
    """Background testbench: activation buffer of random bytes that refuses with probability ``stall``."""

    def __init__(self, dut, config, *, stall=0.0, seed=0):
        self._port = dut.activation
        self._word = config.activation_word
        self._stall = stall
        self._rng = random.Random(seed)
        self.contents = random.Random(seed + 1).randbytes(config.activation_bytes)

    async def __call__(self, ctx):
        port, size = self._port, len(self.contents)
        answers = deque([None] * ActivationBuffer.read_latency)
        pending = None
        while True:
            ready = self._rng.random() >= self._stall
            ctx.set(port.ready, ready)
            answer = answers.popleft()
            ctx.set(port.data_valid, answer is not None)
            if answer is not None:
                word = bytes(self.contents[(answer + lane) % size] for lane in range(self._word))
                ctx.set(port.data, int.from_bytes(word, "little"))
            _, _, valid, addr = await ctx.tick().sample(port.valid, port.addr)
            assert pending is None or (valid and addr == pending), "a waiting read changed"
            pending = addr if valid and not ready else None
            # The answer to a request of cycle t is there in cycle t + latency.
            answers.append(addr if valid and ready else None)


def stored(config, commands, contents, memory):
    memory = bytearray(memory)
    for fields in commands:
        for offset, buffer in transfer_runs(fields):
            for index in range(fields["length"]):
                memory[offset + index] = contents[(buffer + index) % len(contents)]
    return memory


def run(
    config,
    commands,
    *,
    latency=1,
    stall=0.0,
    buffer_stall=0.0,
    seed=0,
    command_stall=0.0,
    memory_size=1 << 16,
):
    """Execute commands and compare memory byte for byte; return (recorder, AXI memory)."""
    dut = StoreEngine(config=config)
    before = random.Random(seed).randbytes(memory_size)
    memory = AxiMemory(bytearray(before), config=config, origin=BASE, latency=latency, stall=stall, seed=seed)
    source = Source(dut, config, stall=buffer_stall, seed=seed)
    pulses = EnginePulses(dut)
    monitors = [StreamMonitor(dut.axi.aw, name="aw"), StreamMonitor(dut.axi.w, name="w")]
    commands_monitor = StreamMonitor(dut.command, name="command")

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        await put(ctx, dut.command, commands, stall=command_stall, seed=seed)
        await ctx.tick().until(~dut.busy)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.busy)

    beats = sum(transfer_beats(config, fields) for fields in commands)
    bursts = sum(transfer_bursts(config, fields) for fields in commands)
    simulate(
        dut,
        testbench,
        background=[memory.writer(dut.axi), source, pulses, *monitors, commands_monitor],
        timeout_cycles=20 * beats + 10 * bursts * (latency + 10) + 1000,
    )
    assert memory.data == stored(config, commands, source.contents, before)
    assert len(pulses.retires) == len(commands)
    assert len(memory.write_beats) == pulses.beats == beats > 0
    assert memory.write_bursts == [
        (BASE + address, count)
        for fields in commands
        for offset, _ in transfer_runs(fields)
        for address, count in run_bursts(config, offset, fields["length"])
    ]
    assert len(memory.responses) == bursts
    assert not pulses.errors
    pulses.accepts = commands_monitor.cycles
    return pulses, memory


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("axi_data_width", "rows", "burst_beats"), [(32, 4, 16), (64, 8, 64), (128, 8, 16), (32, 16, 5)]
)
def test_random_transfers(axi_data_width, rows, burst_beats, seed):
    config = make_config(
        axi_data_width=axi_data_width, rows=rows, burst_beats=burst_beats, outstanding_reads=(8, 1, 3)[seed]
    )
    rng = random.Random(seed)
    commands = [random_transfer(config, rng) for _ in range(20)]
    run(
        config,
        commands,
        latency=(1, 7, 20)[seed],
        stall=(0.0, 0.3, 0.1)[seed],
        buffer_stall=(0.0, 0.3, 0.5)[seed],
        command_stall=(0.0, 0.5, 0.0)[seed],
        seed=seed,
    )


@pytest.mark.parametrize("axi_data_width", [32, 64, 128])
def test_every_alignment(axi_data_width):
    config = make_config(axi_data_width=axi_data_width)
    size = config.axi_bytes
    commands = [
        transfer(memory=64 + 5 * size * index + offset, buffer=buffer, length=length)
        for offset in range(0, size, max(1, size // 8))
        for index, (buffer, length) in enumerate(
            ((0, 1), (3, size - 1), (2048, size), (2047, size + 1), (5, 2 * size + 3))
        )
    ]
    run(config, commands)


def test_page_boundary_and_long_run():
    config = make_config(burst_beats=64)
    _, memory = run(config, [transfer(memory=4096 - 13, buffer=7, length=3000)])
    assert len(memory.write_bursts) == 7
    assert max(beats for _, beats in memory.write_bursts) == 64


@pytest.mark.parametrize("axi_data_width", [32, 64, 128])
@pytest.mark.parametrize("size", [256, 300])
def test_write_channel_is_saturated(axi_data_width, size):
    config = make_config(axi_data_width=axi_data_width, burst_beats=64)
    commands = [transfer(memory=index * 320 + 3, buffer=index * 320 + 1, length=size) for index in range(12)]
    pulses, memory = run(config, commands, latency=20)
    assert memory.write_beats[-1] - memory.write_beats[0] + 1 == len(memory.write_beats)
    assert pulses.stall_input == pulses.stall_output == 0


def test_short_runs_cost_a_beat_each():
    config = make_config(outstanding_reads=16)
    fields = transfer(
        memory=1,
        buffer=9,
        length=3,
        count_1=30,
        count_2=4,
        memory_step_1=8,
        buffer_step_1=5,
        memory_step_2=256,
        buffer_step_2=160,
    )
    _, memory = run(config, [fields], latency=4)
    assert len(memory.write_beats) == 120
    assert memory.write_beats[-1] - memory.write_beats[0] + 1 == 120


@pytest.mark.parametrize("latency", [1, 20])
@pytest.mark.parametrize(
    "fields",
    [
        transfer(length=1),
        transfer(length=640, memory=3),
        transfer(length=5, memory=6, buffer=1),
        transfer(length=64, count_1=9, memory_step_1=100, buffer_step_1=64),
    ],
)
def test_timing_formulas(fields, latency):
    config = make_config()
    pulses, memory = run(config, [fields], latency=latency)
    assert memory.write_requests[0] - pulses.accepts[0] == STORE_FIRST_REQUEST
    assert memory.write_beats[0] - pulses.accepts[0] == STORE_FIRST_BEAT
    assert pulses.retires[0] - memory.responses[-1] == STORE_RETIRE
    assert pulses.retires[0] - pulses.accepts[0] == store_cycles(config, fields, memory_latency=latency)


@pytest.mark.parametrize(("latency", "slots"), [(1, 8), (20, 4), (20, 1), (6, 3)])
def test_timing_of_sequences(latency, slots):
    """Retire cycles of random sequences are exactly those of the formulas."""
    config = make_config(outstanding_reads=slots)
    rng = random.Random(latency)
    commands = [random_transfer(config, rng, longest=400) for _ in range(15)]
    commands.append(transfer(length=8, count_1=50, memory_step_1=100, buffer_step_1=8))
    pulses, _ = run(config, commands, latency=latency)
    accept = pulses.accepts[0]
    assert [cycle - accept for cycle in pulses.retires] == store_retires(
        config, commands, memory_latency=latency
    )


@pytest.mark.parametrize("response", [2, 3])
def test_error_response(response):
    config = make_config(burst_beats=4)
    dut = StoreEngine(config=config)
    memory = AxiMemory(bytearray(4096), config=config, origin=BASE, latency=5, errors={BASE + 70: response})
    pulses = EnginePulses(dut)

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        await put(ctx, dut.command, [transfer(length=128)])
        await ctx.tick().until(~dut.busy)

    simulate(dut, testbench, background=[memory.writer(dut.axi), Source(dut, config), pulses])
    assert pulses.errors == [(ErrorCode.WRITE_RESPONSE, BASE + 64, response)]
    assert len(pulses.retires) == 1


@pytest.mark.parametrize(
    ("writable", "limit", "fields", "bad"),
    [
        (0, 1000, transfer(memory=900, length=100), None),
        (0, 1000, transfer(memory=900, length=101), 900),
        (0, 1000, transfer(memory=2**32 - 8, length=16), 2**32 - 8),
        (0, 1000, transfer(memory=0, length=100, count_1=20, memory_step_1=95), 950),
        (0, 1000, transfer(memory=100, length=0), 100),  # would be 2**24 bytes
        (512, 1000, transfer(memory=512, length=488), None),
        (512, 1000, transfer(memory=511, length=100), 511),
        (512, 1000, transfer(memory=0, length=512), 0),
        (512, 1000, transfer(memory=512, length=489), 512),
        (512, 1000, transfer(memory=600, length=8, count_1=5, memory_step_1=2**32 - 40), 480),
        (512, 1000, transfer(memory=520, length=8, count_2=2, memory_step_2=2**32 - 9), 511),
        (512, 0, transfer(memory=512, length=100), None),
        (512, 0, transfer(memory=511, length=1), 511),
        (512, 0, transfer(memory=2**32 - 8, length=16), 2**32 - 8),  # would go on at 0
        (1000, 1000, transfer(memory=999, length=1), 999),
        (2000, 1000, transfer(memory=1500, length=1), 1500),
        (2**32 - 1, 0, transfer(memory=2000, length=8), 2000),
    ],
)
def test_limit(writable, limit, fields, bad):
    """Nothing below the first writable byte, at or beyond the limit changes; abort makes the engine work again."""
    config = make_config()
    dut = StoreEngine(config=config)
    memory = AxiMemory(bytearray(4096), config=config, origin=BASE)
    source = Source(dut, config)
    pulses = EnginePulses(dut)

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        ctx.set(dut.limit, limit)
        ctx.set(dut.writable, writable)
        await put(ctx, dut.command, [fields])
        for _ in range(300):
            await ctx.tick()
        assert ctx.get(dut.busy) == (bad is not None)
        ctx.set(dut.abort, 1)
        await ctx.tick().until(~dut.busy)
        assert not any(memory.data[:writable]) and not any(memory.data[limit or len(memory.data):])
        ctx.set(dut.abort, 0)
        ctx.set(dut.limit, 0)
        ctx.set(dut.writable, 2001)
        await put(ctx, dut.command, [transfer(memory=2001, length=40)])
        await ctx.tick().until(~dut.busy)
        assert memory.data[2001:2041] == source.contents[:40]

    simulate(dut, testbench, background=[memory.writer(dut.axi), source, pulses])
    assert pulses.errors == ([] if bad is None else [(ErrorCode.OUT_OF_RANGE, (BASE + bad) % 2**32, 0)])
    assert len(pulses.retires) == 1 + (bad is None)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_abort(after):
    """Abort at any time: bursts already requested are completed, nothing retires, the next command works."""
    config = make_config(burst_beats=4, outstanding_reads=3)
    dut = StoreEngine(config=config)
    memory = AxiMemory(bytearray(1 << 16), config=config, origin=BASE, latency=9, stall=0.2, seed=after)
    source = Source(dut, config, stall=0.2)
    pulses = EnginePulses(dut)

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        await put(ctx, dut.command, [transfer(length=2000, count_1=5, memory_step_1=2000)])
        for _ in range(after):
            await ctx.tick()
        ctx.set(dut.abort, 1)
        await ctx.tick().until(~dut.busy)
        assert sum(beats for _, beats in memory.write_bursts) == len(memory.write_beats) < 200
        assert len(memory.responses) == len(memory.write_bursts)
        assert not ctx.get(dut.command.ready)
        assert not pulses.retires
        ctx.set(dut.abort, 0)
        await put(ctx, dut.command, [transfer(memory=20005, length=64, buffer=3000)])
        await ctx.tick().until(~dut.busy)
        assert len(pulses.retires) == 1
        assert memory.data[20005:20069] == source.contents[3000:3064]

    simulate(dut, testbench, background=[memory.writer(dut.axi), source, pulses])
    assert not pulses.errors


@pytest.mark.parametrize("after", [3, 8, 20])
def test_reset_in_mid_stream(after):
    config = make_config(burst_beats=4)
    dut = StoreEngine(config=config)
    memory = AxiMemory(bytearray(4096), config=config, origin=BASE)
    source = Source(dut, config)
    reset = Signal()
    started = []

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        ctx.set(dut.activation.ready, 1)
        await put(ctx, dut.command, [transfer(length=2000)])
        for _ in range(after):
            await ctx.tick()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.busy) and not ctx.get(dut.axi.aw.valid) and not ctx.get(dut.axi.w.valid)
        assert not ctx.get(dut.activation.valid)
        started.append(True)
        await put(ctx, dut.command, [transfer(memory=5, length=64, buffer=3000)])
        await ctx.tick().until(~dut.busy)
        assert memory.data[5:69] == source.contents[3000:3064]
        assert not any(memory.data[:5]) and not any(memory.data[69:])

    def late(background):
        async def late_testbench(ctx):
            while not started:
                await ctx.tick()
            await background(ctx)

        return late_testbench

    simulate(dut, testbench, background=[late(memory.writer(dut.axi)), late(source)], reset=reset)


def test_stall_counters():
    config = make_config()
    commands = [transfer(length=320)]
    taken, _ = run(config, commands, buffer_stall=0.8, seed=2)
    assert taken.stall_input > 50
    slow, _ = run(config, commands, stall=0.7, seed=2)
    assert slow.stall_output > 50
