"""Functional cover points: combinations of operator, geometry, padding, stalls and tile edges that runs have met.

A point is a tuple of words that begins with its group. `all_points` lists those that the regression has to meet,
`points_of` gives those of one compiled network on the RTL.
"""

import json
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from systolith_compiler.graph import Graph, Operator
from systolith_compiler.image import Image
from systolith_sim.cocotb_run import COVERAGE_FOLDER
from systolith_spec.commands import Space, decode
from systolith_spec.config import AcceleratorConfig

__all__ = ["POINTS_FILE", "all_points", "points_of", "record_points"]

Point = tuple[str, ...]
POINTS_FILE = "points.jsonl"
_WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")
_OTHERS = ("FULLY_CONNECTED", "ADD", "MEAN", "PAD", "QUANTIZE", "RELU", "RELU6", "CONCATENATION", "SOFTMAX",
           "SPACE_TO_BATCH_ND")
_STALLS = ("no stalls", "stalls")
_KERNELS = ("1x1", "row", "column", "rectangle")
_EDGES = ("inside", "top", "bottom", "left", "right")
_AMOUNTS = ("one", "several")


def all_points() -> list[Point]:
    """The points that the regression has to meet, in order."""
    return [
        *product(("operator",), _WINDOWED, ("SAME", "VALID"), _STALLS),
        *product(("operator",), _OTHERS, _STALLS),
        *product(("geometry",), _WINDOWED, ("stride 1", "stride over 1"), _KERNELS),
        *product(("geometry",), _WINDOWED[:2], ("dilation 1", "dilation over 1")),
        *product(("COMPUTE",), ("products", "column mode"), _EDGES, _STALLS),
        *product(("COMPUTE",), ("products", "column mode"), ("overwrite", "accumulate")),
        *product(("COMPUTE",), ("blocks", "chunks", "kernel rows", "kernel columns"), _AMOUNTS),
        *product(("VECTOR",), ("accumulators", "sum", "maximum", "operands"), ("whole groups", "partial group"), _STALLS),
        *product(("VECTOR",), ("sum", "maximum"), _EDGES),
        *product(("VECTOR",), ("fence", "no fence")),
        *product(("VECTOR",), ("bias", "bias follows sign")),
        *product(("PARAMS",), ("immediate", "loaded", "softmax"), ("bank 0", "bank 1")),
        *product(("LOAD activation",), ("aligned", "unaligned"), ("one run", "one loop", "two loops"), _STALLS),
        # Compiled networks store whole rows of channels, in one loop at most; tests of the engine have two.
        *product(("STORE",), ("aligned", "unaligned"), ("one run", "one loop"), _STALLS),
        *product(("LOAD weight", "LOAD parameter"), _STALLS),
        *product(("tiles",), ("one", "several alike", "a smaller last one"), _STALLS),
    ]


def points_of(graph: Graph, image: Image, *, stall: bool) -> set[Point]:
    """Points that a run of a network meets; those that no regression has to meet are left out."""
    found: set[Point] = set()
    host = {step.operator for step in image.steps if step.operator is not None}
    for operator in graph.operators:
        if operator.index not in host:
            found.update(_operator_points(graph, operator, stall))
    for step in image.steps:
        if step.program is not None:
            commands = [decode(data) for data in image.commands(step)]
            for command, fields in commands:
                found.update(_command_points(image.config, command.name, fields, stall))
            found.update(_tile_points(commands, stall))
    return found & set(all_points())


def record_points(graph: Graph, image: Image, *, stall: bool) -> None:
    """Append the points of a run on the RTL to a file in the folder of coverage, if there is one."""
    if folder := os.environ.get(COVERAGE_FOLDER):
        with open(Path(folder) / POINTS_FILE, "a") as file:
            file.write(json.dumps(sorted(points_of(graph, image, stall=stall))) + "\n")


def _operator_points(graph: Graph, operator: Operator, stall: bool) -> Iterator[Point]:
    options, word = operator.options, _STALLS[stall]
    if operator.kind not in _WINDOWED:
        yield "operator", operator.kind, word
        return
    yield "operator", operator.kind, options["padding"], word
    if "filter_h" in options:
        kernel = options["filter_h"], options["filter_w"]
    else:
        kernel = graph.tensors[operator.inputs[1]].shape[1:3]
        dilated = max(options["dilation_h"], options["dilation_w"]) > 1
        yield "geometry", operator.kind, "dilation over 1" if dilated else "dilation 1"
    shape = _KERNELS[(kernel[1] > 1) + 2 * (kernel[0] > 1)]
    strided = max(options["stride_h"], options["stride_w"]) > 1
    yield "geometry", operator.kind, "stride over 1" if strided else "stride 1", shape


def _edges(fields: dict[str, int], width: int) -> Iterator[str]:
    """Sides of the slab beyond which a window walk reads padding."""
    last_row = fields["first_row"] + (fields["y_count"] - 1) * fields["y_row_step"] + (
        fields["ky_count"] - 1) * fields["ky_row_step"]
    last_byte = fields["first_byte"] + (fields["x_count"] - 1) * fields["x_byte_step"] + (
        fields["kx_count"] - 1) * fields["kx_byte_step"] + width
    sides = {"top": fields["first_row"] < 0, "bottom": last_row >= fields["rows"], "left": fields["first_byte"] < 0,
             "right": last_byte > fields["row_bytes"]}
    yield from [side for side, beyond in sides.items() if beyond] or ["inside"]


def _command_points(config: AcceleratorConfig, name: str, fields: dict[str, int], stall: bool) -> Iterator[Point]:
    word = _STALLS[stall]
    match name:
        case "COMPUTE":
            mode = "column mode" if fields["column_mode"] else "products"
            for edge in _edges(fields, config.rows * fields["chunk_count"]):
                yield name, mode, edge, word
            yield name, mode, "accumulate" if fields["accumulate"] else "overwrite"
            for what, field in (("blocks", "block_count"), ("chunks", "chunk_count"), ("kernel rows", "ky_count"),
                                ("kernel columns", "kx_count")):
                yield name, what, _AMOUNTS[fields[field] > 1]
        case "VECTOR":
            source = "accumulators"
            if fields["source"]:
                source = "operands" if fields["operand_scale"] else "maximum" if fields["maximum_reduce"] else "sum"
                for edge in _edges(fields, fields["channels"]):
                    yield name, source, edge
            yield name, source, "partial group" if fields["channels"] % config.vector_lanes else "whole groups", word
            yield name, "fence" if fields["fence"] else "no fence"
            yield name, "bias follows sign" if fields["bias_follows_sign"] else "bias"
        case "PARAMS":
            kind = "immediate" if fields["scale_immediate"] else "softmax" if fields["softmax"] else "loaded"
            yield name, kind, f"bank {fields['bank']}"
        case "LOAD" | "STORE":
            space = Space(fields.get("space", 0))
            if space != Space.ACTIVATION:
                yield f"LOAD {space.name.lower()}", word
                return
            aligned = (fields["memory"] | fields["buffer"] | fields["length"]) % config.axi_bytes == 0
            loops = ("one run", "one loop", "two loops")[(fields["count_1"] > 1) + (fields["count_2"] > 1)]
            yield "LOAD activation" if name == "LOAD" else name, "aligned" if aligned else "unaligned", loops, word


def _tile_points(commands: list, stall: bool) -> Iterator[Point]:
    """How layers are cut: numbers of positions of their COMPUTE commands."""
    layers: dict[int, list[int]] = {}
    for command, fields in commands:
        if command.name == "COMPUTE":
            layers.setdefault(fields["layer"], []).append(fields["y_count"] * fields["x_count"])
    for sizes in layers.values():
        kind = "one" if len(sizes) == 1 else "several alike" if len(set(sizes)) == 1 else "a smaller last one"
        yield "tiles", kind, _STALLS[stall]
