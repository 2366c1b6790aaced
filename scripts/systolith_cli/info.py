"""`systolith info`: what a network consists of and where it runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from systolith_cli.errors import guarded
from systolith_cli.options import JsonOption
from systolith_cli.output import console, write_json
from systolith_compiler.layers import HostLayer
from systolith_compiler.lowering import lower
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.operators import macs

__all__ = ["info"]


@guarded
def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="An int8 .tflite network.")],
    json: JsonOption = None,
) -> None:
    """Operators, shapes and MACs of a network, and which of them run on the accelerator.

    Example: [dim]systolith info scripts/demo/lenet5.tflite[/dim]
    """
    graph = read_tflite(model)
    lowered = lower(graph)
    places = {}
    for index, layer in enumerate(lowered.layers):
        for operator in layer.operators:
            places[operator] = "host" if isinstance(layer, HostLayer) else f"layer {index}"
    rows = []
    for operator in graph.operators:
        shapes = [list(graph.tensors[t].shape) for t in operator.inputs if t >= 0]
        rows.append({"index": operator.index, "op": operator.kind, "inputs": shapes,
                     "output": list(graph.output_tensor(operator).shape), "macs": macs(graph, operator),
                     "runs": places.get(operator.index, "no work (a view)")})
    table = Table(title=f"{graph.name}: {sum(row['macs'] for row in rows):,} MACs")
    for column in ("", "operator", "input", "output", "MACs", "runs"):
        table.add_column(column, justify="right" if column in ("", "MACs") else "left")
    for row in rows:
        first = "x".join(map(str, row["inputs"][0])) if row["inputs"] else ""
        table.add_row(str(row["index"]), row["op"], first, "x".join(map(str, row["output"])), f"{row['macs']:,}", row["runs"])
    console(json).print(table)
    write_json(json, {"model": graph.name, "macs": sum(row["macs"] for row in rows), "operators": rows})
