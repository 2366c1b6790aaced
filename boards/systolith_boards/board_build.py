"""The whole design for a board: Verilog and pin constraints."""

from dataclasses import dataclass

from amaranth.build.plat import Platform

from systolith.verilog import builtin_yosys
from systolith_boards.boards import Board
from systolith_boards.shell.board_top import BoardTop
from systolith_boards.toolchains import TOOLCHAINS
from systolith_boards.tools import SynthesisError
from systolith_spec.config import AcceleratorConfig

__all__ = ["BoardDesign", "TOP", "board_design"]

TOP = "top"
"""Name of the top module; gowin_pack knows no other."""


@dataclass(frozen=True, kw_only=True)
class BoardDesign:
    """What goes into synthesis.

    Attributes
    ----------
    verilog : str
    constraints : str
        Pins and clock of the oscillator, in the format of the board's tools.
    clock_mhz : float
        Clock of the accelerator.
    """

    verilog: str
    constraints: str
    clock_mhz: float


def board_design(config: AcceleratorConfig, board: Board, *, clock_mhz: float = 0, accelerator: bool = True) -> BoardDesign:
    """Return the design of a board with an accelerator.

    Parameters
    ----------
    config : AcceleratorConfig
    board : Board
    clock_mhz : float
        Clock of the accelerator, MHz; 0 for the board's usual one. The PLL makes the next lower one it can.
    accelerator : bool
        False leaves it out.

    Raises
    ------
    SynthesisError
        There is no such clock.
    """
    platform: Platform = board.make_platform()
    try:
        top = BoardTop(config=config, board=board, clock_mhz=clock_mhz or board.target_mhz, accelerator=accelerator)
        with builtin_yosys():
            plan = platform.prepare(top, TOP, emit_src=False, debug_verilog=True)
    except ValueError as error:
        raise SynthesisError(str(error)) from None
    suffix = TOOLCHAINS[board.family].constraints_suffix
    return BoardDesign(verilog=_text(plan.files[f"{TOP}.debug.v"]), constraints=_text(plan.files[TOP + suffix]),
                       clock_mhz=top.clock_mhz)


def _text(content):
    return content if isinstance(content, str) else content.decode()
