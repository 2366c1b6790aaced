"""The design comes out of reset without unknown values: four-state simulation of registers that begin as X."""

from pathlib import Path

import pytest

from systolith.accelerator import Accelerator
from systolith_sim.cocotb_run import SimulationError, available_simulators
from systolith_sim.gates import SMALL, check
from systolith_sim.uninitialised import without_initial_values
from systolith_sim.verilog import to_verilog

TESTBENCH = Path(__file__).with_name("x_propagation_tb.py")

pytestmark = pytest.mark.skipif("icarus" not in available_simulators(),
                                reason="needs a four-state simulator, Icarus Verilog (iverilog)")


def test_no_output_is_unknown_after_reset():
    text = without_initial_values(to_verilog(Accelerator(config=SMALL), "systolith"))
    results = check(text, simulator="icarus", stall=0.0, testbench=TESTBENCH, runs=1)
    assert results.records[0]["unknown"] == [], results.records[0]["unknown"]
    assert results.records[0]["cycles"] > 500


def test_a_register_without_reset_is_found():
    text = without_initial_values(to_verilog(Accelerator(config=SMALL), "systolith"))
    assert "if (rst)" in text
    with pytest.raises((SimulationError, AssertionError)):
        results = check(text.replace("if (rst)", "if (1'b0)"), simulator="icarus", stall=0.0, testbench=TESTBENCH, runs=1)
        assert results.records[0]["unknown"] == []
