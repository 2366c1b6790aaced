"""`systolith compile`: the image file of a network, for the C driver or a host of one's own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from systolith_cli.configuration import find_config
from systolith_cli.errors import UserError, guarded
from systolith_cli.options import ConfigOption, JsonOption, RoundingOption, check_rounding
from systolith_cli.output import console, write_json
from systolith_compiler.compiler import compile_graph
from systolith_compiler.image import Image
from systolith_compiler.image_header import TensorRecord
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.prediction import predict_image

__all__ = ["compile_network"]


@guarded
def compile_network(
    model: Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="An int8 .tflite network.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Image file to write.")],
    config: ConfigOption = "small-8x8",
    latency: Annotated[int, typer.Option(min=2, max=1000, help="Of the main memory that the prediction assumes: cycles to "
                                         "the first beat.")] = 20,
    rounding: RoundingOption = "double",
    json: JsonOption = None,
) -> None:
    """Compile a network to an image file: commands, weights, parameters and a table of its tensors.

    Example: [dim]systolith compile scripts/demo/lenet5.tflite --config tiny-4x4 --out build/lenet5.img[/dim]
    """
    check_rounding(rounding)
    image = compile_graph(read_tflite(model), find_config(config), rounding=rounding)
    try:
        image.save(out)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror}") from None
    summary = _summary(image, latency)
    table = Table(title=f"{image.model} for {image.config.name}: {out}, {out.stat().st_size:,} bytes")
    for column in ("", "tensor", "shape", "type", "offset", "scale", "zero point"):
        table.add_column(column, justify="right" if column == "offset" else "left")
    for role, tensors in (("input", image.inputs), ("output", image.outputs)):
        for tensor in tensors:
            table.add_row(role, tensor.name, "x".join(map(str, tensor.shape)), tensor.dtype, f"{tensor.offset:,}",
                          "" if tensor.scale is None else f"{tensor.scale:.6g}",
                          "" if tensor.zero_point is None else str(tensor.zero_point))
    screen = console(json)
    screen.print(table)
    programs = f"{summary['programs']} program{'s' * (summary['programs'] > 1)}"
    host = ", ".join(summary["host_ops"]) or "nothing"
    screen.print(f"{summary['memory_bytes']:,} bytes of main memory, {summary['commands']:,} commands in {programs}, "
                 f"{summary['predicted_cycles']:,} cycles predicted; on the host: {host}")
    write_json(json, summary)


def _summary(image: Image, latency: int) -> dict:
    """What the command reports, for JSON."""
    programs = [step for step in image.steps if step.program is not None]
    return {
        "model": image.model, "config": image.config.name, "memory_bytes": int(image.memory.size), "programs": len(programs),
        "commands": sum(step.commands for step in programs),
        "predicted_cycles": sum(run.total for run in predict_image(image, latency)), "memory_latency": latency,
        "host_ops": [layer.op for layer in image.layers if layer.host],
        "inputs": [_tensor(tensor) for tensor in image.inputs], "outputs": [_tensor(tensor) for tensor in image.outputs],
    }


def _tensor(tensor: TensorRecord) -> dict:
    return {"name": tensor.name, "shape": tensor.shape, "dtype": tensor.dtype, "offset": tensor.offset,
            "scale": tensor.scale, "zero_point": tensor.zero_point}
