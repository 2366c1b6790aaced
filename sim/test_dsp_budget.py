"""Arrays are kept within the DSP blocks of an FPGA."""

from dataclasses import replace

import pytest

from systolith.systolic_array import SystolicArray
from systolith.verilog import to_verilog
from systolith_boards.boards import board
from systolith_boards.dsp_budget import within_dsp_blocks
from systolith_spec.presets import geometry

BOARD = board("orangecrab-25f")  # 28 MULT18X18D


def array(config):
    return to_verilog(SystolicArray(rows=config.rows, cols=config.cols, style=config.multiplier_style,
                                    dsp_budget=config.dsp_budget), "array")


@pytest.mark.parametrize(("rows", "cols", "budget"), [(4, 7, 4096), (4, 8, 28), (6, 6, 28)])
def test_budget_is_what_the_board_has(rows, cols, budget):
    config = replace(geometry(rows, cols), multiplier_style="ecp5")
    fitting = within_dsp_blocks(config, array(config), BOARD)
    assert fitting == replace(config, dsp_budget=budget)
    text = array(fitting)
    assert text.count("MULT18X18D #(") == min(rows * cols, 28)
    assert text.count("CCU2C #(") == 20 * (rows * cols - min(rows * cols, 28))
    assert within_dsp_blocks(fitting, text, BOARD) == fitting


def test_what_does_not_help_is_left_alone():
    config = replace(geometry(4, 8), multiplier_style="ecp5")
    blocks = "  MULT18X18D #(\n"
    assert within_dsp_blocks(config, blocks * 61, BOARD) == config
    assert within_dsp_blocks(config, blocks * 60, BOARD).dsp_budget == 0
    generic = replace(config, multiplier_style="generic")
    assert within_dsp_blocks(generic, blocks * 40, BOARD) == generic
