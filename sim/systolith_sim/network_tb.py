"""Runs the samples of a job on the accelerator; started by `systolith_sim.network_run`."""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, SimTimeoutError, with_timeout

from systolith_compiler.image import Step
from systolith_sim.axi_memory import MemoryAccess
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.executor import Executor
from systolith_sim.job import Job
from systolith_sim.register_driver import RegisterDriver
from systolith_spec.registers import REGISTERS, ErrorCode, register

_PERIOD_NS = 10
_START, _CLEAR = 1, 2
_COUNTERS = [entry for entry in REGISTERS if entry.offset >= register("CYCLES").offset]


class AcceleratorError(Exception):
    """A run ended with an error."""


class SimulationTarget:
    """The accelerator's RTL and its memory as a target; counts each program run."""

    def __init__(self, dut, job: Job):
        self._dut = dut
        self._memory = MemoryAccess(dut.memory, data_width=job.image.config.axi_data_width)
        self._registers = RegisterDriver(dut)
        self._limit_ns = job.limit_cycles * _PERIOD_NS
        self._watchdog = job.watchdog
        self._range = {"BASE": 0, "LIMIT": job.image.memory.size, "WRITABLE": job.image.writable}
        self.counters: dict[str, int] = {}
        self.layer_ends: dict[int, int] = {}
        self.layers = range(len(job.image.layers))

    async def reset(self) -> None:
        """Start the clock, reset, and set the registers that stay."""
        self._dut.rst.value = 1
        Clock(self._dut.clk, _PERIOD_NS, unit="ns", impl="gpi").start()
        for _ in range(8):
            await RisingEdge(self._dut.clk)
        self._dut.rst.value = 0
        await RisingEdge(self._dut.clk)
        for name, value in {**self._range, "WATCHDOG": self._watchdog, "INTERRUPT": 1}.items():
            await self._registers.write(register(name).offset, value)

    def begin(self) -> None:
        """Forget the counters of the sample before."""
        self.counters = {entry.name: 0 for entry in _COUNTERS}
        self.layer_ends = {}

    def read(self, offset: int, size: int) -> np.ndarray:
        return np.frombuffer(bytes(self._memory.read(offset, size)), np.uint8)

    def write(self, offset: int, data: np.ndarray) -> None:
        self._memory.write(offset, data.tobytes())

    async def run(self, step: Step) -> None:
        before = self.counters["CYCLES"]
        await self._registers.write(register("PROGRAM").offset, step.program)
        started = int(self._dut.trace.now.value)
        await self._registers.write(register("CONTROL").offset, _START)
        try:
            await with_timeout(RisingEdge(self._dut.irq), self._limit_ns, "ns")
        except SimTimeoutError:
            raise AcceleratorError(f"no interrupt within {self._limit_ns // _PERIOD_NS} cycles") from None
        ended = int(self._dut.trace.now.value)
        error = await self._registers.read(register("ERROR").offset)
        if error:
            address = await self._registers.read(register("ERROR_ADDRESS").offset)
            raise AcceleratorError(f"{ErrorCode(error & 0xFF).name} of engine {error >> 8 & 15} at address {address:#x}")
        for entry in _COUNTERS:
            self.counters[entry.name] += await self._registers.read(entry.offset)
        for layer in self.layers:
            for trace in (self._dut.trace.compute, self._dut.trace.vector):
                cycle = int(trace[layer].value)
                if started < cycle <= ended:
                    self.layer_ends[layer] = before + cycle - started
                    break
        await self._registers.write(register("CONTROL").offset, _CLEAR)


@cocotb.test()
async def network(dut):
    """All samples of the job, one after another."""
    folder = Path(arguments()["job"])
    job = Job.load(folder)
    target = SimulationTarget(dut, job)
    executor = Executor(job.image, job.graph, target)
    await target.reset()
    for number, inputs in enumerate(job.samples):
        target.begin()
        outputs = await executor.infer(inputs)
        np.savez(folder / f"outputs_{number}.npz", *outputs)
        record(sample=number, counters=target.counters,
               layer_ends={str(layer): cycle for layer, cycle in target.layer_ends.items()})
