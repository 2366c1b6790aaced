"""`systolith report`: a page about runs and syntheses."""

from pathlib import Path
from typing import Annotated

import typer

from systolith_cli.errors import guarded
from systolith_cli.options import OutOption
from systolith_cli.output import console

__all__ = ["report"]


@guarded
def report(
    files: Annotated[list[Path], typer.Argument(metavar="RUN.json...", help="What `run`, `gemm`, `conv` and `synth` wrote "
                                                "with --json.")],
    out: OutOption,
) -> None:
    """Write report.html (one file, no network needed) and report.md: layers, timeline, memory, area, critical path.

    Several runs are compared side by side, several seeds of a synthesis too.

    Example: [dim]systolith report run.json synth.json --out build/report[/dim]
    """
    from systolith_report.page import write_report
    from systolith_report.records import read_records

    for path in write_report(*read_records(files), out):
        console().print(f"{path}  {path.stat().st_size:,} bytes")
