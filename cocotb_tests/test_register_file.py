"""Tests of the register file with an independent AXI4-Lite master."""

from systolith.register_file import RegisterFile
from systolith_sim.cocotb_run import run
from systolith_spec.registers import ID_VALUE


def test_register_file(simulator, waves):
    dut = RegisterFile(constants={"ID": ID_VALUE})
    results = run(dut, top="register_file", test_module="register_file_tb", simulator=simulator, waves=waves)
    assert results.num_tests == 3
    assert results.records == [{"count": 300}, {"count": 300}, {"cycles": 1}]
