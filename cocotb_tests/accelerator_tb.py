"""Coroutines of test_accelerator: programs on the whole accelerator, driven through AXI only."""

import base64
import random
import zlib

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from systolith_sim.cocotb_link import arguments, record
from systolith_spec.registers import REGISTERS, register

_PERIOD_NS = 10
_START, _CLEAR, _ABORT = 1, 2, 4


def _unpack(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


class Bench:
    """Accelerator with a memory and a host."""

    def __init__(self, dut):
        self.dut = dut
        self.given = arguments()
        self.base = self.given["base"]
        memory = _unpack(self.given["memory"])
        self.ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=1 << 20)
        self.ram.write(self.base, memory.tobytes())
        self.size = len(memory)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        for log in (self.ram.write_if.log, self.ram.read_if.log, self.host.write_if.log, self.host.read_if.log):
            log.setLevel("WARNING")
        if self.given["stall"]:
            self._stall(self.given["stall"])
        self.retired = []

    def _stall(self, probability):
        generator = random.Random(cocotb.RANDOM_SEED)

        def pauses():
            while True:
                yield generator.random() < probability

        write, read = self.ram.write_if, self.ram.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(pauses())

    async def start(self, *, quiet=False):
        """Reset the accelerator; ``quiet``: nothing that the memory has not yet answered is left open."""
        if quiet:
            for name in ("rid", "rdata", "rresp", "rlast", "bid", "bresp"):
                getattr(self.dut, f"m_axi_{name}").value = 0
        self.dut.rst.value = 1
        Clock(self.dut.clk, _PERIOD_NS, unit="ns").start()
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        cocotb.start_soon(self._trace())

    async def _trace(self):
        while True:
            await RisingEdge(self.dut.clk)
            retire = int(self.dut.trace_retire.value)
            for engine in range(4):
                if retire >> engine & 1:
                    layers = int(self.dut.trace_layer.value)
                    self.retired.append((engine, layers >> 12 * engine & 0xFFF))

    async def read(self, name):
        """Value of a register."""
        return await self.host.read_dword(register(name).offset)

    async def write(self, name, value):
        """Write a register."""
        await self.host.write_dword(register(name).offset, value)

    async def prepare(self, program):
        """Set all registers but CONTROL."""
        await self.write("BASE", self.base)
        await self.write("PROGRAM", program)
        await self.write("LIMIT", self.given["limit"])
        await self.write("WRITABLE", self.given["writable"])
        await self.write("WATCHDOG", self.given["watchdog"])
        await self.write("INTERRUPT", 1)

    async def run(self, program):
        """Run a program to its interrupt; return STATUS."""
        await self.prepare(program)
        await self.write("CONTROL", _START)
        return await self.wait()

    async def wait(self, cycles=100_000):
        """Wait for the interrupt; return STATUS."""
        if not self.dut.irq.value:
            await with_timeout(RisingEdge(self.dut.irq), cycles * _PERIOD_NS, "ns")
        return await self.read("STATUS")

    def memory(self):
        """The image as it is now."""
        return np.frombuffer(self.ram.read(self.base, self.size), np.uint8)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def program_gives_the_memory_of_the_golden_model(dut):
    bench = Bench(dut)
    await bench.start()
    wanted = _unpack(bench.given["wanted"])
    for run in range(bench.given["runs"]):
        bench.retired.clear()
        status = await bench.run(bench.given["program"])
        counters = {entry.name: await bench.read(entry.name) for entry in REGISTERS if entry.offset >= 0x80}
        error = await bench.read("ERROR"), await bench.read("ERROR_ADDRESS")
        assert status == 2, f"STATUS {status}, ERROR {error[0]:#x} at {error[1]:#x}"
        got = bench.memory()
        wrong = np.flatnonzero(got != wanted)
        assert not len(wrong), f"run {run}: {len(wrong)} bytes differ, first at {wrong[0]:#x}: " \
                               f"{got[wrong[0]:wrong[0] + 16]} instead of {wanted[wrong[0]:wrong[0] + 16]}"
        await bench.write("CONTROL", _CLEAR)
        assert await bench.read("STATUS") == 0
        assert not dut.irq.value
        record(retired=bench.retired, **counters)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def aborted_runs_leave_no_trace(dut):
    bench = Bench(dut)
    await bench.start()
    wanted = _unpack(bench.given["wanted"])
    aborted = 0
    for delay in bench.given["delays"]:
        bench.ram.write(bench.base, _unpack(bench.given["memory"]).tobytes())
        await bench.prepare(bench.given["program"])
        await bench.write("CONTROL", _START)
        for _ in range(delay):
            await RisingEdge(dut.clk)
        await bench.write("CONTROL", _ABORT)
        status = await bench.wait()
        assert status in (2, 6)
        aborted += status == 6
        status = await bench.run(bench.given["program"])
        assert status == 2, f"after an abort {delay} cycles after the start: STATUS {status}"
        assert np.array_equal(bench.memory(), wanted), f"after an abort {delay} cycles after the start"
    record(aborted=aborted)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def errors_are_reported(dut):
    bench = Bench(dut)
    await bench.start()
    for case in bench.given["cases"]:
        await bench.prepare(case["program"])
        for name, value in case["registers"].items():
            await bench.write(name, value)
        await bench.write("CONTROL", _START)
        status = await bench.wait()
        error = await bench.read("ERROR")
        address = await bench.read("ERROR_ADDRESS")
        assert (status, error & 0xFF, error >> 8 & 0xF) == (6, case["code"], case["engine"]), case
        assert address == case["address"], f"{address:#x} in {case}"
        writable, before = bench.given["writable"], _unpack(bench.given["memory"])
        assert np.array_equal(bench.memory()[:writable], before[:writable]), case
        # What the failing program has stored is undone.
        bench.ram.write(bench.base, _unpack(bench.given["memory"]).tobytes())
        status = await bench.run(bench.given["program"])
        assert status == 2
        assert np.array_equal(bench.memory(), _unpack(bench.given["wanted"])), case
    record(cases=len(bench.given["cases"]))
