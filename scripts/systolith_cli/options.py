"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from systolith_cli.errors import UserError

__all__ = ["ConfigOption", "ExplainOption", "JsonOption", "OutOption", "RoundingOption", "SeedOption", "check_rounding"]

ConfigOption = Annotated[str, typer.Option(
    "--config", "-c", metavar="NAME", help="Preset (see `systolith configs`), ROWSxCOLS such as 12x6, or a JSON file of "
    "configuration fields.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - for "
                                                 "standard output.")]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Show for each layer what its multipliers did and what "
                                             "kept them from useful work, as the cycle model sees it.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]
RoundingOption = Annotated[str, typer.Option(help="Requantisation: double (TensorFlow Lite Micro) or single.")]


def check_rounding(rounding: str) -> None:
    """Refuse a value of `RoundingOption` that is none."""
    if rounding not in ("double", "single"):
        raise UserError(f"Rounding must be 'double' or 'single', not {rounding!r}")
