"""`systolith boards`: the boards that can be built for."""

from rich.table import Table

from systolith_boards.boards import BOARDS
from systolith_cli.errors import guarded
from systolith_cli.options import JsonOption
from systolith_cli.output import console, write_json

__all__ = ["boards"]


@guarded
def boards(json: JsonOption = None) -> None:
    """List the boards."""
    table = Table(title="Boards")
    rows = [{"name": board.name, "device": board.part, "preset": board.preset, "memory": board.memory,
             "memory_bytes": board.main_memory, "clock_mhz": board.target_mhz} for board in BOARDS.values()]
    for column in ("name", "device", "preset", "memory"):
        table.add_column(column)
    for row in rows:
        table.add_row(*(row[column.header] for column in table.columns))
    console(json).print(table)
    write_json(json, rows)
