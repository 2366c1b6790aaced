"""Tests of the compute engine with its real buffers, in Verilog."""

import pytest

from systolith_sim.cocotb_run import run
from systolith_sim.compute_bench import ComputeSystem, small_config


@pytest.mark.parametrize(("rows", "cols"), [(3, 5), (4, 4), (8, 8)])
def test_compute_engine(rows, cols, simulator, waves):
    config = small_config(rows, cols)
    results = run(ComputeSystem(config=config), top="compute_system", test_module="compute_engine_tb",
                  simulator=simulator, waves=waves, arguments={"rows": rows, "cols": cols})
    assert results.num_tests == 4
    assert all(values["compared"] == config.accumulator_entries * cols for values in results.records)
    assert len(results.records) == 4
