"""Coroutines of the tests of the vector engine with its buffers."""

import random

import cocotb
import numpy as np
from amaranth.hdl import unsigned
from cocotb.triggers import RisingEdge

from systolith.accumulator_buffer import AccumulatorBuffer
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.streams import StreamMonitor, StreamSource, start
from systolith_sim.vector_bench import VectorBench, random_vector_command
from systolith_sim.vector_system import vector_system_config
from systolith_spec.commands import decode, encode
from systolith_spec.vector_timing import vector_elements, vector_latency


class Testbench:
    """Drives a ``VectorSystem``; the golden machine starts from the same buffers."""

    def __init__(self, dut, *, pause=0.0):
        self.dut = dut
        self.config = config = vector_system_config(**arguments())
        self.bench = VectorBench(config, seed=cocotb.RANDOM_SEED)
        self.random = random.Random(cocotb.RANDOM_SEED)
        # Accumulators are filled through the update port, which takes sums of the array's width.
        limit = 1 << (config.sum_width - 1)
        self.bench.accumulators[:] = np.random.default_rng(cocotb.RANDOM_SEED).integers(
            -limit, limit, self.bench.accumulators.shape
        )
        self.source = StreamSource(dut, "command", shape=unsigned(512), stall=pause)
        self.accepted, self.retired, self.stalls = [], [], [0, 0]
        for name in ("store_read__valid", "load_write__valid", "parameter_write__en", "update_valid"):
            getattr(dut, name).value = 0
        for name in ("store_read__addr", "load_write__addr", "update_entry", "sums"):
            getattr(dut, name).value = 0

    def parameters(self):
        """Random parameters in the parameter buffer, and the commands that fill both banks with them."""
        commands, base, r = [], 0, self.random.randint
        count = self.config.table_channels
        for bank in range(2):
            scale_base = base + count + count % 2
            self.bench.fill_parameters(
                base,
                [r(-20000, 20000) for _ in range(count)],
                scale_base,
                [(r(1 << 30, (1 << 31) - 1), r(-12, -2)) for _ in range(count)],
            )
            commands.append(
                encode(
                    "PARAMS",
                    bank=bank,
                    bias_base=base,
                    scale_base=scale_base,
                    channels=count,
                    multiplier_a=r(1 << 30, (1 << 31) - 1),
                    exponent_a=r(-20, -18),
                    multiplier_b=r(1 << 30, (1 << 31) - 1),
                    exponent_b=r(-20, -18),
                )
            )
            base = scale_base + 2 * count
        return commands

    async def start(self):
        """Reset, then fill all buffers."""
        dut, config = self.dut, self.config
        await start(dut)
        self.monitor = StreamMonitor(dut, "command")
        word = config.activation_word
        dut.load_write__mask.value = (1 << word) - 1
        dut.load_write__valid.value = 1
        for addr in range(0, config.activation_bytes, word):
            dut.load_write__addr.value = addr
            dut.load_write__data.value = int.from_bytes(
                self.bench.activation[addr : addr + word].tobytes(), "little"
            )
            await RisingEdge(dut.clk)
            while not dut.load_write__ready.value:
                await RisingEdge(dut.clk)
        dut.load_write__valid.value = 0
        dut.parameter_write__en.value = 1
        for addr in range(0, config.parameter_bytes, config.axi_bytes):
            dut.parameter_write__addr.value = addr
            dut.parameter_write__data.value = int.from_bytes(
                self.bench.parameter[addr : addr + config.axi_bytes].tobytes(), "little"
            )
            await RisingEdge(dut.clk)
        dut.parameter_write__en.value = 0
        width = config.sum_width
        for entry, sums in enumerate(self.bench.accumulators.tolist()):
            dut.update_entry.value = entry
            dut.sums.value = sum(
                (value & ((1 << width) - 1)) << (width * index) for index, value in enumerate(sums)
            )
            dut.update_valid.value = 1
            await RisingEdge(dut.clk)
            # The sums stay until the update takes them.
            dut.update_valid.value = 0
            for _ in range(AccumulatorBuffer.sum_delay):
                await RisingEdge(dut.clk)
        for _ in range(5):
            await RisingEdge(dut.clk)
        cocotb.start_soon(self._watch())

    async def _watch(self):
        cycle = 0
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.command__valid.value and dut.command__ready.value:
                self.accepted.append(cycle)
            if dut.retire.value:
                self.retired.append(cycle)
            self.stalls[0] += int(dut.stall_input.value)
            self.stalls[1] += int(dut.stall_output.value)
            cycle += 1

    async def disturb(self, probability):
        """Read the activation buffer with priority, now and then."""
        dut = self.dut
        while True:
            dut.store_read__valid.value = int(self.random.random() < probability)
            dut.store_read__addr.value = self.random.randrange(self.config.activation_bytes)
            await RisingEdge(dut.clk)

    async def read_activation(self):
        """The whole activation buffer."""
        dut, config = self.dut, self.config
        data, addr = bytearray(), 0
        while len(data) < config.activation_bytes:
            dut.store_read__valid.value = int(addr < config.activation_bytes)
            dut.store_read__addr.value = addr % config.activation_bytes
            await RisingEdge(dut.clk)
            if dut.store_read__valid.value and dut.store_read__ready.value:
                addr += config.activation_word
            if dut.store_read__data_valid.value:
                data += int(dut.store_read__data.value).to_bytes(config.activation_word, "little")
        dut.store_read__valid.value = 0
        return np.frombuffer(bytes(data), np.uint8)

    async def finish(self, commands, disturbing=None):
        """Send the commands, wait until they have retired and compare the activation buffer."""
        await self.source.send([int.from_bytes(command, "little") for command in commands])
        while len(self.retired) < len(commands):
            await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)
        assert not self.dut.busy.value
        if disturbing is not None:
            disturbing.cancel()
            self.dut.store_read__valid.value = 0
            for _ in range(10):
                await RisingEdge(self.dut.clk)
        got = await self.read_activation()
        want = self.bench.expected(commands)
        wrong = np.flatnonzero(got != want)
        assert not len(wrong), (
            f"byte {wrong[0]:#x}: got {got[wrong[0]]}, want {want[wrong[0]]}; {len(wrong)} wrong"
        )
        assert self.monitor.count == len(self.accepted) == len(self.retired) == len(commands)
        record(compared=int(want.size), commands=len(commands), stalls=self.stalls)


def random_commands(bench, count):
    return [
        encode(
            "VECTOR",
            **random_vector_command(
                bench.random,
                bench.config,
                source=bench.random.randint(0, 1),
                bank=bench.random.randint(0, 1),
                small=bench.random.random() < 0.3,
            ),
        )
        for _ in range(count)
    ]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def random_commands_of_all_sorts(dut):
    bench = Testbench(dut)
    commands = bench.parameters() + random_commands(bench, 100)
    await bench.start()
    await bench.finish(commands)
    assert bench.stalls == [0, 0]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def random_commands_with_conflicts_and_pauses(dut):
    bench = Testbench(dut, pause=0.5)
    commands = bench.parameters() + random_commands(bench, 100)
    await bench.start()
    await bench.finish(commands, cocotb.start_soon(bench.disturb(0.6)))
    assert bench.stalls[0] > 0


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def cycles_follow_the_formulas(dut):
    bench = Testbench(dut)
    parameters = bench.parameters()
    # Long enough to hide the division of lanes that are no power of two.
    commands = [
        encode(
            "VECTOR",
            **random_vector_command(
                bench.random,
                bench.config,
                source=1,
                bank=1,
                channels=3 * bench.config.vector_lanes,
                y_count=3,
                x_count=4,
            ),
        )
        for _ in range(5)
    ]
    await bench.start()
    await bench.finish(parameters + commands)
    elements = [vector_elements(bench.config, decode(command)[1]) for command in commands]
    retired = bench.retired[2:]
    last = [vector_latency(bench.config, decode(command)[1]) for command in commands]
    assert retired[0] >= bench.accepted[2] + last[0]
    assert [after - before for before, after in zip(retired, retired[1:], strict=False)] == elements[1:]
