"""Coroutines of test_c_driver: the compiled C driver runs an image on the accelerator."""

import ctypes
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge, resume
from cocotb.triggers import FallingEdge, RisingEdge

from accelerator_tb import Bench
from systolith_sim.c_driver import CDriver, DriverError, Platform
from systolith_sim.cocotb_link import record

_WATCHDOG = 5000


class DriverBench(Bench):
    """Bench whose host is the C driver: the processor's view of memory is a buffer, the cache functions copy."""

    def __init__(self, dut):
        super().__init__(dut)
        self.buffer = (ctypes.c_uint8 * self.given["room"])()
        folder = Path(self.given["folder"])
        self.image, self.case = (folder / "image").read_bytes(), np.load(folder / "case.npz")
        self.irq_waits = 0
        self.driver = CDriver(folder / "systolith.so", Platform(
            read=resume(self.host.read_dword), write=resume(self.host.write_dword),
            wait=resume(self._interrupt) if self.given["interrupt"] else None,
            clean=self._clean, invalidate=self._invalidate), self.buffer)

    async def _interrupt(self):
        self.irq_waits += 1
        if not self.dut.irq.value:
            await RisingEdge(self.dut.irq)
        await FallingEdge(self.dut.clk)

    def _clean(self, offset, size):
        self.ram.write(self.base + offset, bytes(self.buffer[offset:offset + size]))

    def _invalidate(self, offset, size):
        self.buffer[offset:offset + size] = list(self.ram.read(self.base + offset, size))


async def opened(dut):
    """The bench after reset."""
    bench = DriverBench(dut)
    await bench.start()
    return bench


def refused(function, *arguments):
    """The name of the result with which a function of the driver refuses."""
    try:
        function(*arguments)
    except DriverError as error:
        return str(error)
    return None


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def driver_runs_an_image(dut):
    bench = await opened(dut)
    driver, case = bench.driver, bench.case

    def host():
        assert refused(driver.run) == "NO_IMAGE"
        driver.open(_WATCHDOG)
        driver.open_image(bench.image)
        driver.load(bench.base)
        for _run in range(2):
            driver.write(0, case["input"])
            driver.run()
            output = driver.read(0)
        return output, driver.counters(), driver.steps(), driver.tensor("outputs", 0)

    output, counters, steps, where = await bridge(host)()
    assert output == case["output"].tobytes()
    assert bench.irq_waits == (2 * len(steps) if bench.given["interrupt"] else 0)
    assert not dut.irq.value
    limits = [await bench.read(name) for name in ("BASE", "LIMIT", "WRITABLE")]
    record(counters=counters, steps=steps, output=where, range=limits)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def driver_reports_errors(dut):
    bench = await opened(dut)
    driver, case = bench.driver, bench.case

    def host():
        driver.open(_WATCHDOG)
        driver.open_image(bench.image)
        assert refused(driver.load, bench.base + 64) == "MISALIGNED"
        assert refused(driver.load, bench.base, 100) == "NO_ROOM"
        driver.load(bench.base)
        (_, program), *_ = driver.steps()
        bench.ram.write(bench.base + program, b"\xff")
        driver.start(program)
        failed = refused(driver.finish), driver.error()
        bench.ram.write(bench.base + program, bytes(bench.buffer[program:program + 1]))
        driver.start(program)
        driver.abort()
        aborted = refused(driver.finish), driver.error()["code"]
        driver.write(0, case["input"])
        driver.run()
        return failed, aborted, program, driver.read(0), driver.words(failed[1]["code"], failed[1]["engine"])

    (failed, error), aborted, program, output, words = await bridge(host)()
    assert failed == "FAILED"
    assert error == {"code": 3, "engine": 15, "response": 0, "address": bench.base + program, "position": program,
                     "program": program}
    assert words == ("unknown command", "command processor")
    assert aborted == ("FAILED", 0)
    assert output == case["output"].tobytes()
    record(error=error)
