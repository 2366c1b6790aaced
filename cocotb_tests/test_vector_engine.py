"""Tests of the vector engine with its real buffers, in Verilog."""

import pytest

from systolith_sim.cocotb_run import run
from systolith_sim.vector_system import VectorSystem, vector_system_config


@pytest.mark.parametrize(("cols", "lanes"), [(4, 2), (8, 8), (6, 3)])
def test_vector_engine(cols, lanes, simulator, waves):
    config = vector_system_config(cols, lanes)
    results = run(
        VectorSystem(config=config),
        top="vector_system",
        test_module="vector_engine_tb",
        simulator=simulator,
        waves=waves,
        arguments={"cols": cols, "lanes": lanes},
    )
    assert results.num_tests == len(results.records) == 3
    assert all(values["compared"] == config.activation_bytes for values in results.records)
