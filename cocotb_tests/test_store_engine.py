"""Tests of the STORE engine with the activation buffer, in Verilog, against cocotbext-axi."""

from dataclasses import replace

import pytest

from systolith_sim.cocotb_run import run
from systolith_sim.dma_system import DmaSystem
from systolith_spec.presets import preset


@pytest.mark.parametrize("axi_data_width", [32, 64, 128])
def test_store_engine(axi_data_width, simulator, waves):
    config = replace(
        preset("small-8x8"), activation_bytes=4096, axi_data_width=axi_data_width, burst_beats=16
    )
    results = run(
        DmaSystem(config=config),
        top="dma_system",
        test_module="store_engine_tb",
        simulator=simulator,
        waves=waves,
        arguments={"config": config.as_dict()},
    )
    assert results.num_tests == len(results.records) == 4
    assert all(values["retired"] == values["commands"] >= 20 for values in results.records)
