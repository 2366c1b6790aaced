"""`systolith_sim.network_run`: what is simulated. The runs themselves are tested in cocotb_tests."""

from dataclasses import replace

from systolith_sim import network_run
from systolith_spec.presets import preset


def test_dsp_cells_are_not_simulated():
    """A preset with the multipliers of an FPGA runs as the same hardware with plain ones."""
    assert "MULT18X18D" not in network_run._verilog(replace(preset("tiny-4x4"), multiplier_style="ecp5"))
