"""Coroutines of test_load_engine: LOAD commands against the AxiRam of cocotbext-axi."""

import random

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from systolith.shapes import command_layout
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.streams import StreamMonitor, StreamSource, start
from systolith_sim.transfers import random_transfer, transfer
from systolith_spec.config import AcceleratorConfig
from systolith_spec.dma_timing import transfer_runs

BASE = 0x1000
MEMORY_BYTES = 1 << 16


class Bench:
    """Both DMA engines, an activation buffer and a memory."""

    def __init__(self, dut, *, stall):
        self.dut = dut
        self.config = AcceleratorConfig(**arguments()["config"])
        self.random = random.Random(cocotb.RANDOM_SEED)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=MEMORY_BYTES)
        read, write = self.ram.read_if, self.ram.write_if
        for log in (read.log, write.log):
            log.setLevel("WARNING")
        if stall:
            for channel in (
                read.ar_channel,
                read.r_channel,
                write.aw_channel,
                write.w_channel,
                write.b_channel,
            ):
                channel.set_pause_generator(iter(lambda: self.random.random() < stall, None))
        self.contents = bytearray(self.random.randbytes(MEMORY_BYTES))
        self.ram.write(0, bytes(self.contents))
        self.sources = {
            name: StreamSource(dut, name, shape=command_layout(name.upper()), stall=stall)
            for name in ("load", "store")
        }
        self.monitors = [StreamMonitor(dut, name) for name in self.sources]
        self.retired = {name: 0 for name in self.sources}
        self.errors = 0
        for port, value in (
            ("base", BASE),
            ("limit", 0),
            ("writable", 0),
            ("abort", 0),
            ("peek__addr", 0),
            ("peek__valid", 0),
        ):
            getattr(dut, port).value = value

    async def start(self):
        await start(self.dut)
        cocotb.start_soon(self._count())

    async def _count(self):
        while True:
            await RisingEdge(self.dut.clk)
            for name in self.retired:
                self.retired[name] += int(getattr(self.dut, f"{name}_retire").value)
            self.errors += int(self.dut.load_error.value) + int(self.dut.store_error.value)

    async def execute(self, **commands):
        """Send commands to one engine or both and wait until all have retired."""
        wanted = {name: self.retired[name] + len(items) for name, items in commands.items()}
        for task in [cocotb.start_soon(self.sources[name].send(items)) for name, items in commands.items()]:
            await task
        await RisingEdge(self.dut.clk)
        while self.dut.busy.value:
            await RisingEdge(self.dut.clk)
        await RisingEdge(self.dut.clk)
        assert {name: self.retired[name] for name in wanted} == wanted and not self.errors

    async def refuse(self, store, cycles=100):
        """Send a STORE that is out of range: one error, it stays; abort drops it."""
        retired = self.retired["store"]
        await self.sources["store"].send([store])
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
        assert self.dut.busy.value and (self.errors, self.retired["store"]) == (1, retired)
        self.dut.abort.value = 1
        await FallingEdge(self.dut.busy)
        self.dut.abort.value = 0
        await RisingEdge(self.dut.clk)
        self.errors = 0

    async def peek(self):
        """All bytes of the activation buffer, read through its third port."""
        dut, word = self.dut, self.config.activation_word
        addresses, words = list(range(0, self.config.activation_bytes, word)), []
        dut.peek__valid.value = 1
        while len(words) < self.config.activation_bytes // word:
            dut.peek__addr.value = addresses[0] if addresses else 0
            dut.peek__valid.value = bool(addresses)
            await RisingEdge(dut.clk)
            if addresses and dut.peek__ready.value:
                addresses.pop(0)
            if dut.peek__data_valid.value:
                words.append(dut.peek__data.value.to_unsigned().to_bytes(word, "little"))
        return bytearray(b"".join(words))

    def run_load(self, buffer, fields):
        for offset, address in transfer_runs(fields):
            for index in range(fields["length"]):
                buffer[(address + index) % len(buffer)] = self.contents[BASE + offset + index]

    def run_store(self, buffer, fields):
        for offset, address in transfer_runs(fields):
            for index in range(fields["length"]):
                self.contents[BASE + offset + index] = buffer[(address + index) % len(buffer)]


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def loads_random_transfers(dut, stall):
    bench = Bench(dut, stall=stall)
    await bench.start()
    await bench.execute(load=[transfer(length=bench.config.activation_bytes)])
    buffer = await bench.peek()
    assert buffer == bench.contents[BASE : BASE + len(buffer)]
    for _ in range(4):
        commands = [random_transfer(bench.config, bench.random) for _ in range(8)]
        await bench.execute(load=commands)
        for fields in commands:
            bench.run_load(buffer, fields)
        assert await bench.peek() == buffer
    record(retired=bench.retired["load"], commands=bench.monitors[0].count)
