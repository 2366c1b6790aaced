"""Coroutines of test_two_simulators: what the accelerator's outputs are in every cycle of a run."""

import zlib

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from accelerator_tb import Bench, _unpack
from systolith_sim.cocotb_link import record
from x_propagation_tb import CONTROL, PAYLOAD


async def _trace(dut, cycles):
    """Note the control outputs of every cycle, and the payload of channels that are valid: the rest may be anything."""
    while True:
        await FallingEdge(dut.clk)
        values = [(name, str(getattr(dut, name).value)) for name in CONTROL]
        known = [other for name, value in values for other in PAYLOAD.get(name, ()) if value == "1"]
        values += [(name, str(getattr(dut, name).value)) for name in known]
        cycles.append(zlib.crc32(repr(values).encode()))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def outputs_of_every_cycle_and_the_memory_of_the_golden_model(dut):
    bench = Bench(dut)
    await bench.start(quiet=True)
    cycles = []
    cocotb.start_soon(_trace(dut, cycles))
    for _ in range(bench.given["runs"]):
        assert await bench.run(bench.given["program"]) == 2
        await bench.write("CONTROL", 2)
    assert np.array_equal(bench.memory(), _unpack(bench.given["wanted"]))
    record(cycles=cycles)
