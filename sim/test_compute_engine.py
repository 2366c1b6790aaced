"""Tests of the compute engine against the machine-level golden model."""

import random

import numpy as np
import pytest
from amaranth.hdl import Signal

from systolith.compute_engine import ComputeEngine
from systolith_sim.compute_bench import (
    compatible_commands,
    golden_machine,
    random_command,
    small_config,
)
from systolith_sim.pysim import simulate
from systolith_spec.commands import COMMANDS
from systolith_spec.timing import (
    ACTIVATION_READ_LATENCY,
    MINIMUM_TILE_CYCLES,
    WEIGHT_READ_LATENCY,
    WEIGHT_ROWS,
    compute_cycles,
    compute_latency,
    compute_tiles,
    compute_vectors,
    tile_cycles,
    tile_load_cycles,
    weight_lead,
)
from systolith_spec.vector_timing import ACCUMULATOR_READ_LATENCY

GEOMETRIES = [(2, 2), (3, 5), (4, 4), (5, 3), (8, 8)]
FIELDS = [field.name for command in COMMANDS if command.name == "COMPUTE" for field in command.fields]


class Bench:
    """An engine between behavioural buffers; the golden machine runs the same commands."""

    def __init__(self, config, commands, *, seed=0, refuse=0.0, extremes=False,
                 activation_read_latency=ACTIVATION_READ_LATENCY, weight_read_latency=WEIGHT_READ_LATENCY):
        self.config = config
        self.commands = commands
        self.refuse = refuse
        self.latencies = activation_read_latency, weight_read_latency
        self.dut = ComputeEngine(config=config, activation_read_latency=activation_read_latency,
                                 weight_read_latency=weight_read_latency)
        self.generator = random.Random(seed)
        self.machine = golden_machine(config, commands, seed=seed, extremes=extremes)
        self.cycle = 0
        self.accepted, self.retired, self.requests, self.weight_reads, self.stalls = [], [], [], [], 0

    async def buffers(self, ctx):
        """Model of activation and weight buffer, and a record of what happens in which cycle."""
        dut, (activation_latency, weight_latency) = self.dut, self.latencies
        activation, weight = self.machine.activation, self.machine.weight
        read_data, weight_data = {}, {}
        watched = [dut.activations.valid, dut.activations.ready, dut.activations.addr, dut.weights.en,
                   dut.weights.addr, dut.command.valid, dut.command.ready, dut.retire, dut.stall_input, dut.busy]
        waiting = None
        while True:
            data = read_data.pop(self.cycle, None)
            ctx.set(dut.activations.data_valid, data is not None)
            ctx.set(dut.activations.data, self.generator.getrandbits(len(dut.activations.data)) if data is None else data)
            ctx.set(dut.weights.data, weight_data.pop(self.cycle, self.generator.getrandbits(len(dut.weights.data))))
            ctx.set(dut.activations.ready, self.generator.random() >= self.refuse or ctx.get(dut.urgent))
            _, reset, valid, ready, addr, enable, weight_addr, offered, taken, retire, stall, busy = \
                await ctx.tick().sample(*watched)
            assert waiting in (None, addr if valid else -1) or reset, "a waiting request must not change"
            waiting = addr if valid and not ready else None
            if valid and ready:
                where = (addr + np.arange(self.config.activation_word)) % len(activation)
                read_data[self.cycle + activation_latency] = int.from_bytes(activation[where].tobytes(), "little")
                self.requests.append(self.cycle)
            if enable:
                where = (weight_addr + np.arange(WEIGHT_ROWS * self.config.cols)) % len(weight)
                weight_data[self.cycle + weight_latency] = int.from_bytes(weight[where].tobytes(), "little")
                self.weight_reads.append(self.cycle)
            assert busy == (len(self.accepted) > len(self.retired)) or reset
            if offered and taken:
                self.accepted.append(self.cycle)
            if retire:
                self.retired.append(self.cycle)
            self.stalls += stall
            self.cycle += 1

    async def send(self, ctx, pause=0.0):
        """Offer all commands."""
        dut = self.dut
        for command in self.commands:
            while self.generator.random() < pause:
                await ctx.tick().repeat(self.generator.randint(1, 30))
            ctx.set(dut.command.payload, dut.command.payload.shape().const({
                name: command.get(name, 0) for name in FIELDS}))
            ctx.set(dut.command.valid, 1)
            await ctx.tick().until(dut.command.ready)
            ctx.set(dut.command.valid, 0)

    async def drain(self, ctx, count):
        """Wait until ``count`` commands have retired."""
        seen = 0
        while seen < count:
            await ctx.tick().until(self.dut.retire)
            seen += 1
        assert len(self.retired) == count

    async def accumulators(self, ctx):
        """Read all accumulator entries through the port of the vector engine, from the cycle after a retire."""
        read, config = self.dut.accumulators, self.config
        latency = ACCUMULATOR_READ_LATENCY
        values = []
        for cycle in range(config.accumulator_entries + latency):
            if cycle >= latency:
                assert ctx.get(read.data_valid)
                values.append([ctx.get(read.data[col]) for col in range(config.cols)])
            ctx.set(read.valid, cycle < config.accumulator_entries)
            ctx.set(read.entry, cycle % config.accumulator_entries)
            assert ctx.get(read.ready)
            await ctx.tick()
        return np.array(values)

    def run(self, *, pause=0.0):
        """Run all commands; compare all accumulator entries."""
        got = []

        async def testbench(ctx):
            await self.drain(ctx, len(self.commands))
            got.append(await self.accumulators(ctx))

        async def send(ctx):
            await self.send(ctx, pause)

        simulate(self.dut, testbench, send, background=[self.buffers], timeout_cycles=100_000)
        self.machine.run(0)
        assert len(self.accepted) == len(self.retired) == len(self.commands)
        assert len(self.requests) == sum(compute_tiles(c) * compute_vectors(c) for c in self.commands)
        wrong = np.argwhere(got[0] != self.machine.accumulators)
        assert not len(wrong), (f"entry, column {wrong[0]}: got {got[0][tuple(wrong[0])]}, want "
                                f"{self.machine.accumulators[tuple(wrong[0])]}; {len(wrong)} wrong")


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
@pytest.mark.parametrize(("refuse", "pause"), [(0.0, 0.0), (0.4, 0.3), (0.8, 0.0)])
def test_random_commands(rows, cols, refuse, pause):
    config = small_config(rows, cols)
    generator = random.Random(rows * 10 + cols)
    commands = compatible_commands([random_command(config, generator) for _ in range(20)])
    assert len(commands) >= 8
    bench = Bench(config, commands, seed=rows, refuse=refuse)
    bench.run(pause=pause)
    assert bench.stalls > 0


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
def test_extreme_values(rows, cols):
    config = small_config(rows, cols)
    generator = random.Random(5)
    commands = compatible_commands([random_command(config, generator) for _ in range(8)])
    Bench(config, commands, extremes=True).run()


@pytest.mark.parametrize("refuse", [0.0, 0.5])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 5])
def test_accumulation_of_few_vectors(vectors, refuse):
    """The same few entries are updated again as soon as possible, also when reads are refused."""
    config = small_config(2, 3)
    generator = random.Random(vectors)
    command = random_command(config, generator, vectors=vectors, tiles=6) | {"accumulate": 1}
    commands = [command | {"accumulate": index % 3 > 0, "pad": generator.randint(-128, 127),
                           "weights": 4 * generator.randrange(100)} for index in range(10)]
    Bench(config, commands, refuse=refuse, seed=vectors).run()


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
@pytest.mark.parametrize("vectors", [1, 4, 9])
def test_throughput_and_latency(rows, cols, vectors):
    """No bubble within and between commands; the formulas of systolith_spec.timing hold."""
    config = small_config(rows, cols)
    generator = random.Random(vectors)
    commands = [random_command(config, generator, vectors=vectors, tiles=tiles)
                | {"accumulator": 0 if index % 2 else 64}
                for index, tiles in enumerate([3, 1, 1, 2])]
    bench = Bench(config, commands, seed=vectors)
    bench.run()
    tiles = compute_tiles(commands[0])
    assert bench.retired[0] - bench.accepted[0] == compute_latency(config, vectors, tiles)
    for index in range(1, len(commands)):
        assert bench.retired[index] - bench.retired[index - 1] == compute_cycles(
            config, vectors, compute_tiles(commands[index]))
    if vectors >= tile_cycles(config, 1):
        count = len(bench.requests)
        assert bench.requests == list(range(bench.requests[0], bench.requests[0] + count))
    if tile_load_cycles(config) >= max(vectors, MINIMUM_TILE_CYCLES):
        # The second tile follows the first vector of the first one; from then on every cycle brings a pair of rows.
        seen = bench.weight_reads[tile_load_cycles(config):]
        assert seen == list(range(seen[0], seen[0] + len(seen)))


@pytest.mark.parametrize("latencies", [(2, 2), (3, 5), (5, 3), (6, 4), (8, 2), (2, 7)])
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (5, 3)])
def test_other_buffer_latencies(rows, cols, latencies):
    config = small_config(rows, cols)
    activation_latency, weight_latency = latencies
    lead, *_ = weight_lead(config, activation_read_latency=activation_latency, weight_read_latency=weight_latency)
    assert 1 <= lead < max(tile_load_cycles(config), MINIMUM_TILE_CYCLES)
    generator = random.Random(1)
    commands = [random_command(config, generator, vectors=vectors, tiles=3) | {"accumulator": 32 * (index % 4)}
                for index, vectors in enumerate([1, 2, 9, 4, 7, 1])]
    for refuse in (0.0, 0.5):
        bench = Bench(config, commands, refuse=refuse, activation_read_latency=activation_latency,
                      weight_read_latency=weight_latency)
        bench.run()
        if not refuse:
            assert bench.retired[0] - bench.accepted[0] == compute_latency(
                config, 1, 3, activation_read_latency=activation_latency, weight_read_latency=weight_latency)
            for before, after, command in zip(bench.retired, bench.retired[1:], commands[1:], strict=False):
                assert after - before >= compute_cycles(config, compute_vectors(command), 3) - rows - 4


@pytest.mark.parametrize("cycles", [1, 5, 11, 17, 23, 40])
def test_reset_in_mid_stream(cycles):
    """After a reset the engine starts afresh; nothing of the dropped commands is seen."""
    config = small_config(4, 3)
    generator = random.Random(cycles)
    dropped = [random_command(config, generator, vectors=6, tiles=4) | {"accumulator": 0} for _ in range(3)]
    command = random_command(config, generator, vectors=5, tiles=3) | {"accumulator": 64, "accumulate": 0}
    bench = Bench(config, [command])
    reset = Signal()
    got = []

    async def testbench(ctx):
        dut = bench.dut
        shape = dut.command.payload.shape()
        ctx.set(dut.command.valid, 1)
        sent = 0
        for _ in range(cycles):
            ctx.set(dut.command.payload, shape.const({name: dropped[sent].get(name, 0) for name in FIELDS}))
            _, _, ready = await ctx.tick().sample(dut.command.ready)
            sent = min(sent + ready, 2)
        ctx.set(dut.command.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.busy)
        bench.accepted.clear()
        bench.retired.clear()
        await bench.send(ctx)
        await bench.drain(ctx, 1)
        got.append(await bench.accumulators(ctx))

    simulate(bench.dut, testbench, background=[bench.buffers], reset=reset)
    bench.machine.run(0)
    assert np.array_equal(got[0][64:69], bench.machine.accumulators[64:69])
    assert bench.retired[0] - bench.accepted[0] == compute_latency(config, 5, 3)


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
@pytest.mark.parametrize(("refuse", "pause"), [(0.0, 0.0), (0.5, 0.3)])
def test_column_mode_between_products(rows, cols, refuse, pause):
    """Lines of several lengths and products follow each other without draining."""
    config = small_config(rows, cols)
    generator = random.Random(rows + cols)
    commands = compatible_commands([random_command(config, generator) for _ in range(120)])
    kinds = [command.get("column_mode", 0) for command in commands]
    lines = [command["x_count"] for command in commands if command.get("column_mode", 0)]
    switches = sum(a != b for a, b in zip(kinds, kinds[1:], strict=False))
    assert switches >= 4 and len(set(lines)) >= 3
    Bench(config, commands, seed=cols, refuse=refuse).run(pause=pause)


@pytest.mark.parametrize(("rows", "cols"), [(4, 4), (8, 8)])
def test_column_mode_at_one_vector_per_cycle(rows, cols):
    """Tiles of column mode with lines of one length follow each other, and products, in consecutive cycles."""
    config = small_config(rows, cols)
    generator = random.Random(7)
    lines = {"x_count": 12, "y_count": 4, "skip_rows": config.depthwise_streams - 1, "column_mode": 1,
             "valid_columns": 8, "column_step": 1, "block_count": 1, "chunk_count": 1}
    commands = [random_command(config, generator, vectors=12, tiles=2) | {"accumulator": 64 * (index % 2)}
                | (lines if index % 3 else {}) for index in range(8)]
    bench = Bench(config, commands)
    bench.run()
    first, last = bench.requests[0], bench.requests[-1]
    changes = sum(bool(index % 3) and not (index - 1) % 3 for index in range(8))
    # The first tile behind a product waits one cycle for the priority; the first lines are settled at once.
    assert last - first + 1 == len(bench.requests) + changes
