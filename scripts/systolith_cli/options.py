"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from systolith_cli.errors import UserError
from systolith_sim.inference import LEVELS

__all__ = ["ConfigOption", "ExplainOption", "JsonOption", "LatencyOption", "LevelOption", "OutOption", "RoundingOption",
           "SeedOption", "check_level", "check_rounding", "size_argument"]

_MOST = 4096

ConfigOption = Annotated[str, typer.Option(
    "--config", "-c", metavar="NAME", help="Preset (see `systolith configs`), ROWSxCOLS such as 12x6, or a JSON file of "
    "configuration fields.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - for "
                                                 "standard output.")]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Show for each layer what its multipliers did and what "
                                             "kept them from useful work, as the cycle model sees it.")]
LevelOption = Annotated[str, typer.Option("--level", help="rtl (cycle-accurate), machine (command stream) or tensor (numpy).")]
LatencyOption = Annotated[int, typer.Option("--latency", min=2, max=1000, help="Main memory: cycles to the first beat.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]
RoundingOption = Annotated[str, typer.Option(help="Requantisation: double (TensorFlow Lite Micro) or single.")]


def size_argument(name: str, what: str = ""):
    """Argument of one dimension of a benchmark."""
    return typer.Argument(metavar=name, min=1, max=_MOST, help=f"{what}{', ' if what else ''}1 to {_MOST}.")


def check_level(level: str) -> None:
    """Refuse a value of `LevelOption` that is none."""
    if level not in LEVELS:
        raise UserError(f"Level must be one of {', '.join(LEVELS)}, not {level!r}")


def check_rounding(rounding: str) -> None:
    """Refuse a value of `RoundingOption` that is none."""
    if rounding not in ("double", "single"):
        raise UserError(f"Rounding must be 'double' or 'single', not {rounding!r}")
