"""Keeps an array within the DSP blocks of an FPGA."""

import re
from dataclasses import replace

from systolith_boards.boards import Board
from systolith_spec.config import AcceleratorConfig

__all__ = ["within_dsp_blocks"]

# DSP blocks of each cell, in the unit of the board's capacity; a multiplier of the array takes one.
_CELLS = {"ecp5": {"MULT18X18D": 1}, "gowin": {"MULT9X9": 1, "MULT18X18": 2, "MULTADDALU18X18": 4}}


def within_dsp_blocks(config: AcceleratorConfig, verilog: str, board: Board) -> AcceleratorConfig:
    """Return the configuration with as many multipliers of the array in LUTs as the FPGA lacks DSP blocks.

    Parameters
    ----------
    config : AcceleratorConfig
    verilog : str
        Of the accelerator, alone or in the design of a board.
    board : Board

    Returns
    -------
    AcceleratorConfig
        The same one where the blocks suffice, or where even an array of LUTs would not help.
    """
    if config.multiplier_style not in _CELLS:
        return config
    needed = sum(blocks * len(re.findall(rf"^\s*{cell} #\(", verilog, re.MULTILINE))
                 for cell, blocks in _CELLS[config.multiplier_style].items())
    lacking = needed - board.capacity["dsp"]
    in_blocks = min(config.dsp_budget, config.processing_elements)
    if lacking <= 0 or lacking > in_blocks:
        return config
    return replace(config, dsp_budget=in_blocks - lacking)
