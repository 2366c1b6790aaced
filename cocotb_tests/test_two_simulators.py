"""Two simulators agree in every cycle: Verilator and Icarus Verilog, whole programs with stalls on the bus."""

from pathlib import Path

import pytest

from systolith.accelerator import Accelerator
from systolith_sim.cocotb_run import available_simulators
from systolith_sim.gates import SMALL, check
from systolith_sim.uninitialised import without_initial_values
from systolith_sim.verilog import to_verilog

TESTBENCH = Path(__file__).with_name("two_simulators_tb.py")


@pytest.mark.skipif(set(available_simulators()) < {"verilator", "icarus"}, reason="needs Verilator and Icarus Verilog")
def test_outputs_of_every_cycle():
    """Icarus Verilog begins with unknown registers, Verilator with their initial values: from reset on they agree."""
    text = to_verilog(Accelerator(config=SMALL), "systolith")
    sources = {"verilator": text, "icarus": without_initial_values(text)}
    first, second = (check(source, simulator=simulator, stall=0.3, testbench=TESTBENCH).records[0]["cycles"]
                     for simulator, source in sources.items())
    assert len(set(first)) > 100
    assert first == second


def test_results_do_not_depend_on_timing():
    """The same bytes for any pattern of stalls: memory is compared with the machine model every time."""
    text = to_verilog(Accelerator(config=SMALL), "systolith")
    cycles = [check(text, stall=stall, runs=1).records[0]["CYCLES"] for stall in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)]
    assert cycles == sorted(cycles)
    assert cycles[-1] > 3 * cycles[0]
