"""`systolith synth`: area, clock and bitstream on an FPGA."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from systolith.accelerator import Accelerator
from systolith.verilog import to_verilog
from systolith_boards.boards import BOARDS
from systolith_boards.boards import board as find_board
from systolith_boards.report import SynthesisReport, render_table
from systolith_boards.synthesis import synthesise
from systolith_cli.configuration import find_config
from systolith_cli.errors import UserError, guarded
from systolith_cli.options import ConfigOption, JsonOption, OutOption, SeedOption
from systolith_cli.output import Activities, console, write_json
from systolith_spec.config import AcceleratorConfig

__all__ = ["synth", "synthesise_config"]


def synthesise_config(config: AcceleratorConfig, board_name: str, folder: Path, seed: int,
                      progress: Callable[[str, float], None]) -> SynthesisReport:
    """Synthesise a configuration for a board, with the multipliers of its family."""
    board = find_board(board_name)
    text = to_verilog(Accelerator(config=replace(config, multiplier_style=board.family)), "systolith")
    return synthesise(text, "systolith", board, folder, seed=seed, progress=progress)


@guarded
def synth(
    out: OutOption,
    config: ConfigOption = "small-8x8",
    board: Annotated[str, typer.Option("--board", "-b", metavar="BOARD", help="See `systolith boards`.")] = "ulx3s-85f",
    seed: SeedOption = 1,
    json: JsonOption = None,
) -> None:
    """Synthesise with yosys and nextpnr: area by module, clock, critical path.

    Example: [dim]systolith synth --config small-8x8 --board ulx3s-85f --out build/synth[/dim]
    """
    if board not in BOARDS:
        raise UserError(f"Board must be one of {', '.join(BOARDS)}, not {board!r}")
    screen = console(json)
    accelerator = find_config(config)
    text = f"synthesising {accelerator.name} for {board}"
    with Activities(screen, text) as activities:
        report = synthesise_config(accelerator, board, out, seed,
                                   lambda what, fraction: activities.update(0, fraction, f"{text}: {what}"))
    screen.print(render_table(report))
    write_json(json, {**report.to_json(), "config": accelerator.name, "configuration": accelerator.as_dict()})
