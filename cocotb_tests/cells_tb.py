"""Coroutines of test_gates: pairs of cells given the same random inputs."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from systolith_sim.cocotb_link import record

_CYCLES = 2000


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def pairs_agree(dut):
    generator = random.Random(1)
    dut.rst.value = 0
    dut.noise.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    different = 0
    for _ in range(_CYCLES):
        await FallingEdge(dut.clk)
        different |= int(dut.different.value)
        dut.noise.value = generator.getrandbits(160)
    record(different=different, cycles=_CYCLES)
