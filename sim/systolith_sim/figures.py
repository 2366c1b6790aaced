"""Results of verification commands: a table on the terminal, JSON, and a block of docs/verification.md.

Blocks are marked by comments with the name of the command, so that figures on that page are never typed.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["PAGE", "Figures", "block", "publish"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verification.md"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Outcome of one command.

    Attributes
    ----------
    name : str
        Of the make target.
    summary : str
        One sentence with the figure.
    header : sequence of str
    rows : sequence of sequences
        Of the table.
    notes : sequence of str
        Lines below the table, such as survivors and their judgement.
    details : dict
        Whatever else the JSON should hold.
    """

    name: str
    summary: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()
    details: dict[str, Any] = field(default_factory=dict)


def block(figures: Figures) -> str:
    """The figures as Markdown between their marks."""
    def line(cells) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    table = "\n".join([line(figures.header), line(["---"] * len(figures.header)), *map(line, figures.rows)])
    notes = "".join(f"\n- {note}" for note in figures.notes)
    parts = [f"<!-- {figures.name}: begin -->", figures.summary, "", table, *(["", notes.lstrip()] if notes else []),
             f"<!-- {figures.name}: end -->"]
    return "\n".join(parts)


def publish(figures: Figures, *, json_path: Path | None = None, page: Path | None = None) -> None:
    """Print a table and the figure; write JSON and the block of a page where asked to.

    Parameters
    ----------
    figures : Figures
    json_path : Path or None
    page : Path or None
        Markdown file that has the marks of these figures.

    Raises
    ------
    ValueError
        The page has no marks of this name.
    """
    table = Table(*figures.header)
    for row in figures.rows:
        table.add_row(*map(str, row))
    console = Console()
    console.print(table)
    for note in figures.notes:
        console.print(f"- {note}", markup=False, highlight=False)
    console.print(figures.summary, markup=False, highlight=False)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(asdict(figures), indent=2, default=str) + "\n")
    if page is not None:
        marks = re.compile(rf"<!-- {figures.name}: begin -->.*?<!-- {figures.name}: end -->", re.DOTALL)
        text, count = marks.subn(lambda _: block(figures), page.read_text())
        if count != 1:
            raise ValueError(f"{page} must have one block marked {figures.name!r}, not {count}")
        page.write_text(text)
