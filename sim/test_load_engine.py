"""LOAD engine against an AXI memory and a model of its destination buffers."""

import random
from collections import deque
from dataclasses import replace

import pytest
from amaranth.hdl import Signal

from systolith.load_engine import LoadEngine
from systolith.ports import ActivationReadPort
from systolith_sim.axi_model import AxiMemory
from systolith_sim.pysim import StreamMonitor, put, simulate
from systolith_sim.transfers import EnginePulses, random_transfer
from systolith_sim.transfers import transfer as base_transfer
from systolith_spec.commands import Space
from systolith_spec.dma_timing import (
    LOAD_FIRST_REQUEST,
    LOAD_RETIRE,
    burst_bytes,
    load_cycles,
    load_retires,
    run_bursts,
    transfer_beats,
    transfer_bursts,
    transfer_runs,
)
from systolith_spec.presets import preset
from systolith_spec.registers import ErrorCode

BASE = 0x4000_0000


def make_config(*, axi_data_width=64, rows=8, burst_beats=16, outstanding_reads=8):
    return replace(
        preset("small-8x8"),
        rows=rows,
        activation_bytes=4096,
        axi_data_width=axi_data_width,
        burst_beats=burst_beats,
        outstanding_reads=outstanding_reads,
    )


def transfer(**fields):
    return base_transfer(**{"space": Space.ACTIVATION, **fields})


class Buffers:
    """Background testbench: the three destinations; the activation port refuses with probability `stall`."""

    def __init__(self, dut, config, *, stall=0.0, seed=0):
        self._dut = dut
        self._config = config
        self._stall = stall
        self._rng = random.Random(seed)
        sizes = {
            Space.ACTIVATION: config.activation_bytes,
            Space.WEIGHT: config.weight_bytes,
            Space.PARAMETER: config.parameter_bytes,
        }
        self.contents = {space: bytearray(b"\xaa" * size) for space, size in sizes.items()}
        self.writes = []

    async def __call__(self, ctx):
        dut = self._dut
        port, weight, parameter = dut.activation, dut.weight, dut.parameter
        pending, cycle = None, 0
        while True:
            ready = self._rng.random() >= self._stall
            ctx.set(port.ready, ready)
            _, _, valid, addr, mask, value, *beats = await ctx.tick().sample(
                port.valid,
                port.addr,
                port.mask,
                port.data,
                weight.en,
                weight.addr,
                weight.data,
                parameter.en,
                parameter.addr,
                parameter.data,
            )
            assert pending is None or (valid and (addr, mask, value) == pending), "a waiting write changed"
            pending = (addr, mask, value) if valid and not ready else None
            if valid and ready:
                self._put(Space.ACTIVATION, addr, value, mask, cycle)
            for space, (en, address, word) in ((Space.WEIGHT, beats[:3]), (Space.PARAMETER, beats[3:])):
                if en:
                    assert address % self._config.axi_bytes == 0
                    self._put(space, address, word, (1 << self._config.axi_bytes) - 1, cycle)
            cycle += 1

    def _put(self, space, addr, value, mask, cycle):
        content = self.contents[space]
        for lane in range(mask.bit_length()):
            if mask >> lane & 1:
                content[(addr + lane) % len(content)] = value >> 8 * lane & 0xFF
        self.writes.append(cycle)


def wanted(config, commands, memory):
    sizes = {
        Space.ACTIVATION: config.activation_bytes,
        Space.WEIGHT: config.weight_bytes,
        Space.PARAMETER: config.parameter_bytes,
    }
    contents = {space: bytearray(b"\xaa" * size) for space, size in sizes.items()}
    for fields in commands:
        content = contents[Space(fields["space"])]
        for offset, buffer in transfer_runs(fields):
            for index in range(fields["length"]):
                content[(buffer + index) % len(content)] = memory[offset + index]
    return contents


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
    """Execute commands, compare everything; return (dut's pulses, AXI memory, buffers)."""
    dut = LoadEngine(config=config)
    contents = bytearray(random.Random(seed).randbytes(memory_size))
    memory = AxiMemory(contents, config=config, origin=BASE, latency=latency, stall=stall, seed=seed)
    buffers = Buffers(dut, config, stall=buffer_stall, seed=seed)
    pulses = EnginePulses(dut)
    monitor = StreamMonitor(dut.axi.ar, name="ar")
    commands_monitor = StreamMonitor(dut.command, name="command")

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        await put(ctx, dut.command, commands, stall=command_stall, seed=seed)
        await ctx.tick().until(~dut.busy)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.busy)

    beats = sum(transfer_beats(config, fields) for fields in commands)
    simulate(
        dut,
        testbench,
        background=[memory.reader(dut.axi), buffers, pulses, monitor, commands_monitor],
        timeout_cycles=20 * beats + 60 * len(commands) * (latency + 10) + 1000,
    )
    assert buffers.contents == wanted(config, commands, contents)
    assert len(pulses.retires) == len(commands)
    assert len(memory.read_beats) == pulses.beats == beats > 0
    bursts = [
        (BASE + address, count)
        for fields in commands
        for offset, _ in transfer_runs(fields)
        for address, count in run_bursts(config, offset, fields["length"])
    ]
    assert memory.read_bursts == bursts
    assert not pulses.errors
    pulses.accepts = commands_monitor.cycles
    return pulses, memory, buffers


def random_load(config, rng, **options):
    space = rng.choice([Space.ACTIVATION] * 4 + [Space.WEIGHT, Space.PARAMETER])
    return {"space": space, **random_transfer(config, rng, space=space, **options)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("axi_data_width", "rows", "burst_beats"), [(32, 4, 16), (64, 8, 64), (128, 8, 16), (32, 16, 5)]
)
def test_random_transfers(axi_data_width, rows, burst_beats, seed):
    config = make_config(
        axi_data_width=axi_data_width, rows=rows, burst_beats=burst_beats, outstanding_reads=(8, 1, 3)[seed]
    )
    rng = random.Random(seed)
    commands = [random_load(config, rng) for _ in range(20)]
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
    """All offsets on both sides, runs shorter and longer than a beat."""
    config = make_config(axi_data_width=axi_data_width)
    size = config.axi_bytes
    commands = [
        transfer(memory=64 + offset, buffer=buffer, length=length)
        for offset in range(0, size, max(1, size // 8))
        for buffer, length in ((0, 1), (3, size - 1), (2048, size), (2047, size + 1), (5, 2 * size + 3))
    ]
    run(config, commands)


def test_page_boundary_and_long_run():
    config = make_config(burst_beats=64)
    _, memory, _ = run(config, [transfer(memory=4096 - 13, buffer=7, length=3000)])
    assert len(memory.read_bursts) == 7
    assert max(beats for _, beats in memory.read_bursts) == 64


@pytest.mark.parametrize("axi_data_width", [32, 64, 128])
@pytest.mark.parametrize("size", [256, 300])
def test_read_channel_is_saturated(axi_data_width, size):
    """A beat every cycle across commands of a few hundred bytes at a memory latency of 20 cycles."""
    config = make_config(axi_data_width=axi_data_width, burst_beats=64)
    commands = [transfer(memory=index * 320 + 3, buffer=index * 320 + 1, length=size) for index in range(12)]
    pulses, memory, _ = run(config, commands, latency=20)
    assert memory.read_beats[-1] - memory.read_beats[0] + 1 == len(memory.read_beats)
    assert pulses.stall_output == 0
    assert 0 < pulses.stall_input < 25  # waits for the first beat only


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
    _, memory, _ = run(config, [fields], latency=4)
    assert len(memory.read_beats) == 120
    assert memory.read_beats[-1] - memory.read_beats[0] + 1 == 120


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
    pulses, memory, _ = run(config, [fields], latency=latency)
    assert memory.read_requests[0] - pulses.accepts[0] == LOAD_FIRST_REQUEST
    assert pulses.retires[0] - memory.read_beats[-1] == LOAD_RETIRE
    assert len(memory.read_bursts) == transfer_bursts(config, fields)
    assert pulses.retires[0] - pulses.accepts[0] == load_cycles(config, fields, memory_latency=latency)


@pytest.mark.parametrize(("latency", "slots"), [(1, 8), (20, 4), (20, 1), (6, 3)])
def test_timing_of_sequences(latency, slots):
    """Retire cycles of random sequences are exactly those of the formulas."""
    config = make_config(outstanding_reads=slots)
    rng = random.Random(latency)
    commands = [random_load(config, rng, longest=400) for _ in range(15)]
    commands.append(transfer(length=8, count_1=50, memory_step_1=100, buffer_step_1=8))
    pulses, _, _ = run(config, commands, latency=latency)
    accept = pulses.accepts[0]
    assert [cycle - accept for cycle in pulses.retires] == load_retires(
        config, commands, memory_latency=latency
    )


def test_bursts_in_flight():
    config = make_config(outstanding_reads=3)
    _, memory, _ = run(config, [transfer(length=2000)], latency=200)
    assert [cycle < memory.read_beats[0] for cycle in memory.read_requests] == [True] * 3 + [False] * 13


def test_retire_means_written():
    """A retire pulse comes after the last write of the command was accepted."""
    config = make_config()
    commands = [transfer(memory=index * 16, buffer=index * 16, length=16) for index in range(8)]
    pulses, _, buffers = run(config, commands, buffer_stall=0.6, seed=3)
    assert pulses.retires == [cycle + 1 for cycle in buffers.writes[1::2]]


@pytest.mark.parametrize("response", [2, 3])
def test_error_response(response):
    config = make_config(burst_beats=4)
    dut = LoadEngine(config=config)
    memory = AxiMemory(bytearray(4096), config=config, origin=BASE, latency=5, errors={BASE + 70: response})
    pulses = EnginePulses(dut)

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        await put(ctx, dut.command, [transfer(length=128)])
        await ctx.tick().until(~dut.busy)

    simulate(dut, testbench, background=[memory.reader(dut.axi), Buffers(dut, config), pulses])
    assert set(pulses.errors) == {(ErrorCode.READ_RESPONSE, BASE + 64, response)}
    assert len(pulses.retires) == 1


@pytest.mark.parametrize(
    ("limit", "fields", "bad"),
    [
        (1000, transfer(memory=900, length=100), None),
        (1000, transfer(memory=900, length=101), 900),
        (100, transfer(memory=0, length=101), 0),
        (1000, transfer(memory=2**32 - 8, length=16), 2**32 - 8),
        (1000, transfer(memory=0, length=100, count_1=20, memory_step_1=95), 950),
        (0, transfer(memory=4000, length=96), None),
        (1000, transfer(memory=100, length=0), 100),  # would be 2**24 bytes
        (0, transfer(memory=100, length=0), 100),
        (0, transfer(memory=2**32 - 8, length=16), 2**32 - 8),  # would go on at 0
    ],
)
def test_limit(limit, fields, bad):
    config = make_config()
    dut = LoadEngine(config=config)
    memory = AxiMemory(bytearray(4096), config=config, origin=BASE)
    pulses = EnginePulses(dut)

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        ctx.set(dut.limit, limit)
        await put(ctx, dut.command, [fields])
        for _ in range(200):
            await ctx.tick()
        assert ctx.get(dut.busy) == (bad is not None)
        ctx.set(dut.abort, 1)
        await ctx.tick().until(~dut.busy)
        ctx.set(dut.abort, 0)
        # The engine works again.
        ctx.set(dut.limit, 0)
        await put(ctx, dut.command, [transfer(length=40)])
        await ctx.tick().until(~dut.busy)

    simulate(dut, testbench, background=[memory.reader(dut.axi), Buffers(dut, config), pulses])
    assert pulses.errors == ([] if bad is None else [(ErrorCode.OUT_OF_RANGE, (BASE + bad) % 2**32, 0)])
    assert len(pulses.retires) == 1 + (bad is None)
    if bad is not None:
        assert all(
            address + beats * config.axi_bytes <= BASE + -(-limit // 8) * 8
            for address, beats in memory.read_bursts[:-1]
        )


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
def test_abort(after):
    """Abort at any time: the bus drains, nothing retires, the next command works."""
    config = make_config(burst_beats=4, outstanding_reads=3)
    dut = LoadEngine(config=config)
    contents = bytearray(random.Random(1).randbytes(1 << 16))
    memory = AxiMemory(contents, config=config, origin=BASE, latency=9, stall=0.2, seed=after)
    buffers = Buffers(dut, config, stall=0.2)
    pulses = EnginePulses(dut)

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        await put(ctx, dut.command, [transfer(length=2000, count_1=5, memory_step_1=2000)])
        for _ in range(after):
            await ctx.tick()
        ctx.set(dut.abort, 1)
        await ctx.tick().until(~dut.busy)
        requested = sum(beats for _, beats in memory.read_bursts)
        assert requested == len(memory.read_beats) < 200
        assert not ctx.get(dut.command.ready)
        assert not pulses.retires
        ctx.set(dut.abort, 0)
        await put(ctx, dut.command, [transfer(memory=5, length=64, buffer=3000)])
        await ctx.tick().until(~dut.busy)
        assert len(pulses.retires) == 1
        assert buffers.contents[Space.ACTIVATION][3000:3064] == contents[5:69]

    simulate(dut, testbench, background=[memory.reader(dut.axi), buffers, pulses])
    assert not pulses.errors


@pytest.mark.parametrize("after", [3, 8, 20])
def test_reset_in_mid_stream(after):
    config = make_config(burst_beats=4)
    dut = LoadEngine(config=config)
    contents = bytearray(random.Random(1).randbytes(4096))
    # Nothing answers before the reset, so that no beat of the lost bursts is left over.
    memory = AxiMemory(contents, config=config, origin=BASE)
    buffers = Buffers(dut, config)
    reset = Signal()

    async def testbench(ctx):
        ctx.set(dut.base, BASE)
        ctx.set(dut.axi.ar.ready, 1)
        await put(ctx, dut.command, [transfer(length=2000)])
        for _ in range(after):
            await ctx.tick()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.busy) and not ctx.get(dut.axi.ar.valid) and not ctx.get(dut.activation.valid)
        started.append(True)
        await put(ctx, dut.command, [transfer(memory=5, length=64, buffer=3000)])
        await ctx.tick().until(~dut.busy)
        assert buffers.contents[Space.ACTIVATION][3000:3064] == contents[5:69]

    started = deque()

    async def reader(ctx):
        while not started:
            await ctx.tick()
        await memory.reader(dut.axi)(ctx)

    simulate(dut, testbench, background=[reader, buffers], reset=reset)


def test_stall_counters():
    config = make_config()
    commands = [transfer(length=320)]
    slow, _, _ = run(config, commands, latency=30)
    assert slow.stall_input > 20 and slow.stall_output == 0
    refused, _, _ = run(config, commands, buffer_stall=0.8, seed=2)
    assert refused.stall_output > 50


def test_interface():
    config = make_config()
    dut = LoadEngine(config=config)
    assert dut.config is config
    assert burst_bytes(make_config(burst_beats=5)) == 32
    assert ActivationReadPort.Signature(config) == ActivationReadPort.Signature(config)

    async def testbench(ctx):
        assert not ctx.get(dut.busy)

    simulate(dut, testbench)
