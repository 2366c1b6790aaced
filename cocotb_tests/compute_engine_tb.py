"""Coroutines of the tests of the compute engine with its buffers."""

import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from systolith.shapes import command_layout
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.compute_bench import (
    compatible_commands,
    golden_machine,
    random_command,
    small_config,
)
from systolith_sim.streams import StreamMonitor, StreamSource, start
from systolith_spec.timing import compute_cycles, compute_latency

LAYOUT = command_layout("COMPUTE")


class Testbench:
    """Drives a :class:`~systolith_sim.compute_bench.ComputeSystem`."""

    def __init__(self, dut, commands, *, pause=0.0, extremes=False):
        self.dut = dut
        self.commands = commands
        self.config = config = small_config(**arguments())
        self.machine = golden_machine(config, commands, seed=cocotb.RANDOM_SEED, extremes=extremes)
        self.source = StreamSource(dut, "command", shape=LAYOUT, stall=pause)
        self.accepted, self.retired = [], []
        for port in ("accumulators", "vector_read", "load_write"):
            getattr(dut, f"{port}__valid").value = 0
        dut.accumulators__entry.value = 0
        dut.vector_read__addr.value = 0
        dut.weight_write__en.value = 0

    async def start(self):
        """Reset, then fill both buffers."""
        dut, config = self.dut, self.config
        await start(dut)
        self.monitor = StreamMonitor(dut, "command")
        word = config.activation_word
        dut.load_write__mask.value = (1 << word) - 1
        dut.load_write__valid.value = 1
        for addr in range(0, config.activation_bytes, word):
            dut.load_write__addr.value = addr
            dut.load_write__data.value = int.from_bytes(self.machine.activation[addr:addr + word].tobytes(), "little")
            await RisingEdge(dut.clk)
            while not dut.load_write__ready.value:
                await RisingEdge(dut.clk)
        dut.load_write__valid.value = 0
        dut.weight_write__en.value = 1
        for addr in range(0, config.weight_bytes, config.axi_bytes):
            dut.weight_write__addr.value = addr
            dut.weight_write__data.value = int.from_bytes(
                self.machine.weight[addr:addr + config.axi_bytes].tobytes(), "little")
            await RisingEdge(dut.clk)
        dut.weight_write__en.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        """Record the cycles in which commands are accepted and retire."""
        cycle = 0
        while True:
            await RisingEdge(self.dut.clk)
            if self.dut.command__valid.value and self.dut.command__ready.value:
                self.accepted.append(cycle)
            if self.dut.retire.value:
                self.retired.append(cycle)
            cycle += 1

    async def disturb(self, probability):
        """Read the activation buffer with priority, now and then."""
        dut = self.dut
        while True:
            dut.vector_read__valid.value = int(random.random() < probability)
            dut.vector_read__addr.value = random.randrange(self.config.activation_bytes)
            await RisingEdge(dut.clk)

    async def read_accumulators(self):
        """All entries, one read per cycle."""
        dut, config = self.dut, self.config
        values, entry = [], 0
        while len(values) < config.accumulator_entries:
            dut.accumulators__valid.value = int(entry < config.accumulator_entries)
            dut.accumulators__entry.value = entry % config.accumulator_entries
            await RisingEdge(dut.clk)
            entry += int(dut.accumulators__valid.value) & int(dut.accumulators__ready.value)
            if dut.accumulators__data_valid.value:
                data = int(dut.accumulators__data.value).to_bytes(4 * config.cols, "little")
                values.append(np.frombuffer(data, np.int32))
        return np.array(values)

    async def finish(self):
        """Wait until everything has retired and compare all accumulator entries."""
        await self.source.send(self.commands)
        while len(self.retired) < len(self.commands):
            await RisingEdge(self.dut.clk)
        assert not self.dut.busy.value
        got = await self.read_accumulators()
        self.machine.run(0)
        want = self.machine.accumulators
        wrong = np.argwhere(got != want)
        assert not len(wrong), (f"entry, column {wrong[0]}: got {got[tuple(wrong[0])]}, want {want[tuple(wrong[0])]}; "
                                f"{len(wrong)} wrong")
        assert self.monitor.count == len(self.accepted) == len(self.commands)
        record(compared=int(want.size), commands=len(self.commands))


async def clear_accumulators(dut):
    """Overwrite all entries with zero sums: RAM contents survive from test to test."""
    config = small_config(**arguments())
    machine = golden_machine(config, [])
    machine.weight[:] = 0
    machine.activation[:] = 0
    command = {"rows": 1, "row_bytes": 1, "y_count": 1, "x_count": 64, "ky_count": 1, "kx_count": 1, "chunk_count": 1,
               "block_count": 2, "block_step": 64, "first_byte": 5}
    bench = Testbench(dut, [command])
    bench.machine.weight[:] = 0
    await bench.start()
    await bench.source.send(bench.commands)
    while not bench.retired:
        await RisingEdge(dut.clk)


def random_commands(count):
    generator = random.Random(cocotb.RANDOM_SEED)
    config = small_config(**arguments())
    return compatible_commands([random_command(config, generator) for _ in range(count)])


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def random_windows(dut):
    await clear_accumulators(dut)
    bench = Testbench(dut, random_commands(120))
    await bench.start()
    await bench.finish()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def random_windows_with_conflicts_and_pauses(dut):
    await clear_accumulators(dut)
    bench = Testbench(dut, random_commands(120), pause=0.9)
    await bench.start()
    cocotb.start_soon(bench.disturb(0.6))
    await bench.finish()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def extreme_values(dut):
    await clear_accumulators(dut)
    bench = Testbench(dut, random_commands(60), extremes=True)
    await bench.start()
    await bench.finish()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def cycles_follow_the_formulas(dut):
    await clear_accumulators(dut)
    config = small_config(**arguments())
    generator = random.Random(1)
    tiles = [3, 1, 2, 5]
    commands = [random_command(config, generator, vectors=20, tiles=count) | {"accumulator": 64 * (index % 2)}
                for index, count in enumerate(tiles)]
    bench = Testbench(dut, commands)
    await bench.start()
    await bench.finish()
    assert bench.retired[0] - bench.accepted[0] == compute_latency(config, 20, tiles[0])
    assert [after - before for before, after in zip(bench.retired, bench.retired[1:], strict=False)] == [
        compute_cycles(config, 20, count) for count in tiles[1:]]
