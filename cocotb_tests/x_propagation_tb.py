"""Coroutines of test_x_propagation: no output is unknown from reset on."""

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge
from cocotb.utils import get_sim_time

from accelerator_tb import Bench, _unpack
from systolith_sim.cocotb_link import record
from systolith_spec.registers import REGISTERS

_MANY = 100  # unknown outputs over all cycles

# Outputs that must be known in every cycle, and those that must be when their channel is valid.
CONTROL = ("irq", "m_axi_arvalid", "m_axi_awvalid", "m_axi_wvalid", "m_axi_rready", "m_axi_bready", "s_axil_awready",
            "s_axil_wready", "s_axil_arready", "s_axil_bvalid", "s_axil_rvalid", "trace_retire")
PAYLOAD = {"m_axi_arvalid": ("m_axi_araddr", "m_axi_arlen", "m_axi_arid"), "m_axi_awvalid": ("m_axi_awaddr", "m_axi_awlen"),
            "m_axi_wvalid": ("m_axi_wdata", "m_axi_wstrb", "m_axi_wlast"), "s_axil_rvalid": ("s_axil_rdata", "s_axil_rresp")}


async def _watch(dut, unknown):
    """Note every output that is not known; end the test when there are many, since then it may never end by itself."""
    while True:
        await FallingEdge(dut.clk)
        for name in CONTROL:
            value = getattr(dut, name).value
            payload = PAYLOAD.get(name, ()) if value.is_resolvable and int(value) else ()
            unknown.extend(f"{other} at {get_sim_time('ns')} ns" for other in (name, *payload)
                           if not getattr(dut, other).value.is_resolvable)
        assert len(unknown) < _MANY, unknown


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def known_outputs_and_the_memory_of_the_golden_model(dut):
    bench = Bench(dut)
    await bench.start(quiet=True)
    unknown = []
    cocotb.start_soon(_watch(dut, unknown))
    status = await bench.run(bench.given["program"])
    assert status == 2, f"STATUS {status}"
    assert np.array_equal(bench.memory(), _unpack(bench.given["wanted"]))
    for entry in REGISTERS:
        if entry.access != "wo":
            await bench.read(entry.name)
    record(unknown=unknown, cycles=await bench.read("CYCLES"))
