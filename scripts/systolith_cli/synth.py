"""`systolith synth`: area, clock and bitstream on an FPGA."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from systolith.accelerator import Accelerator
from systolith.multiplier import MULTIPLIER_STYLES
from systolith.verilog import to_verilog
from systolith_boards.board_build import TOP, board_design
from systolith_boards.boards import BOARDS
from systolith_boards.boards import board as find_board
from systolith_boards.dsp_budget import within_dsp_blocks
from systolith_boards.report import SynthesisReport, render_table
from systolith_boards.synthesis import synthesise
from systolith_cli.configuration import find_config
from systolith_cli.errors import FAILED, UserError, guarded
from systolith_cli.options import JsonOption, OutOption, SeedOption
from systolith_cli.output import Activities, console, write_json
from systolith_spec.config import AcceleratorConfig

__all__ = ["synth", "synthesise_board", "synthesise_config"]


def _styled(config: AcceleratorConfig, family: str) -> AcceleratorConfig:
    """The configuration with the multipliers of a family."""
    return replace(config, multiplier_style=family if family in MULTIPLIER_STYLES else "generic")


def synthesise_config(config: AcceleratorConfig, board_name: str, folder: Path, seed: int,
                      progress: Callable[[str, float], None], *, seeds: int = 1, cached_only: bool = False,
                      quick: bool = False) -> SynthesisReport:
    """Synthesise a configuration out of context for the FPGA of a board, with the multipliers of its family."""
    board = find_board(board_name)
    config = _styled(config, board.family)
    text = to_verilog(Accelerator(config=config), "systolith")
    if (fitting := within_dsp_blocks(config, text, board)) != config:
        progress(f"{fitting.dsp_budget} multipliers of the array in DSP blocks, the others in LUTs", 0.0)
        text = to_verilog(Accelerator(config=fitting), "systolith")
    return synthesise(text, "systolith", board, folder, seed=seed, seeds=seeds, progress=progress, cached_only=cached_only,
                      quick=quick)


def synthesise_board(config: AcceleratorConfig, board_name: str, folder: Path, seed: int,
                     progress: Callable[[str, float], None], *, seeds: int = 1, clock_mhz: float = 0,
                     accelerator: bool = True, cached_only: bool = False, quick: bool = False) -> SynthesisReport:
    """Build the bitstream of a board with a configuration; see `board_design`."""
    board = find_board(board_name)
    progress("elaborating", 0.0)
    config = _styled(config, board.family)
    design = board_design(config, board, clock_mhz=clock_mhz, accelerator=accelerator)
    if (fitting := within_dsp_blocks(config, design.verilog, board)) != config:
        progress(f"{fitting.dsp_budget} multipliers of the array in DSP blocks, the others in LUTs", 0.0)
        design = board_design(fitting, board, clock_mhz=clock_mhz, accelerator=accelerator)
    return synthesise(design.verilog, TOP, board, folder, seed=seed, seeds=seeds, progress=progress,
                      constraints=design.constraints, frequency_mhz=design.clock_mhz, cached_only=cached_only, quick=quick)


@guarded
def synth(
    out: OutOption,
    config: Annotated[str | None, typer.Option("--config", "-c", metavar="NAME", help="Preset, ROWSxCOLS or JSON file; "
                                               "default: the preset of the board.")] = None,
    board: Annotated[str, typer.Option("--board", "-b", metavar="BOARD", help="See `systolith boards`.")] = "ulx3s-85f",
    bitstream: Annotated[bool | None, typer.Option(
        "--bitstream/--out-of-context", help="A bitstream for the board, with clock, main memory and host link; or area and "
        "clock of the accelerator alone. Default: a bitstream for the preset of the board, else out of context.")] = None,
    clock: Annotated[float, typer.Option(min=0, metavar="MHZ", help="Clock of the bitstream; default: that of the board.")] = 0,
    accelerator: Annotated[bool, typer.Option(
        "--accelerator/--no-accelerator", help="Without it: a bitstream with memory and host link only.")] = True,
    seed: SeedOption = 1,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds of placement to try; the best is kept.")] = 1,
    quick: Annotated[bool, typer.Option(
        "--quick", help="One run of nextpnr on the ECP5 too: less than half the time, a lower clock.")] = False,
    json: JsonOption = None,
) -> None:
    """Synthesise with open tools: area by module, clock, critical path, and a bitstream for the board.

    Exit status 1: the bitstream is too slow for its clock.

    Examples: [dim]systolith synth --board ulx3s-85f --out build/ulx3s[/dim],
    [dim]systolith synth --config small-8x8 --board ulx3s-85f --out build/synth[/dim]
    """
    if board not in BOARDS:
        raise UserError(f"Board must be one of {', '.join(BOARDS)}, not {board!r}")
    screen = console(json)
    preset = BOARDS[board].preset
    configuration = find_config(config or preset)
    if bitstream is None:
        bitstream = not accelerator or configuration.name == preset
    if not bitstream and (clock or not accelerator):
        raise UserError("--clock and --no-accelerator are for bitstreams: add --bitstream")
    text = f"synthesising {configuration.name if accelerator else 'the shell alone'} for {board}"
    with Activities(screen, text) as activities:
        def progress(what: str, fraction: float) -> None:
            activities.update(0, fraction, f"{text}: {what}")

        if bitstream:
            report = synthesise_board(configuration, board, out, seed, progress, seeds=seeds, clock_mhz=clock,
                                      accelerator=accelerator, quick=quick)
        else:
            report = synthesise_config(configuration, board, out, seed, progress, seeds=seeds, quick=quick)
    screen.print(render_table(report))
    write_json(json, {**report.to_json(), "config": configuration.name, "configuration": configuration.as_dict()})
    if report.too_slow:
        print(f"Error: the design reaches {report.fmax_mhz:g} MHz, the clock of the bitstream is {report.target_mhz:g} MHz: "
              f"use --clock {int(report.fmax_mhz)}, or try --seeds", file=sys.stderr)
        sys.exit(FAILED)
