"""`systolith array`: area and clock of the systolic array alone."""

from typing import Annotated

import typer

from systolith.systolic_array import SystolicArray
from systolith.verilog import to_verilog
from systolith_boards.array_area import FAMILIES, array_cells
from systolith_boards.boards import BOARDS
from systolith_boards.dsp_columns import place_columns
from systolith_boards.report import render_table
from systolith_boards.synthesis import synthesise
from systolith_cli.configuration import find_config
from systolith_cli.errors import UserError, guarded
from systolith_cli.options import ConfigOption, JsonOption, OutOption, SeedOption
from systolith_cli.output import Activities, console, write_json
from systolith_spec.column_mode import column_stream

__all__ = ["array"]


@guarded
def array(
    out: OutOption,
    config: ConfigOption = "8x8",
    family: Annotated[str, typer.Option("--family", metavar="FAMILY", help=f"One of {', '.join(FAMILIES)}.")] = "ecp5",
    dsp_sums: Annotated[bool, typer.Option("--dsp-sums/--fabric-sums", help="Add the columns in DSP blocks.")] = False,
    dsp_budget: Annotated[int | None, typer.Option(min=0, help="Multipliers in DSP blocks, at most.")] = None,
    column_mode: Annotated[bool, typer.Option("--column-mode/--no-column-mode", help="With depthwise convolutions.")] = False,
    place: Annotated[bool, typer.Option("--place-columns/--place-freely", help="ECP5: each column of the array in DSP "
                                        "blocks one above the other.")] = False,
    frequency: Annotated[float, typer.Option("--frequency", metavar="MHZ", help="Target of placement.")] = 250,
    seed: SeedOption = 1,
    json: JsonOption = None,
) -> None:
    """Synthesise the systolic array alone: cells for each multiplier, and for ECP5 its clock.

    Example: [dim]systolith array --config 8x8 --dsp-sums --out build/array[/dim]
    """
    if family not in FAMILIES:
        raise UserError(f"Family must be one of {', '.join(FAMILIES)}, not {family!r}")
    screen = console(json)
    shape = find_config(config)
    streams = [column_stream(shape, row)[0] for row in range(shape.rows)] if column_mode and shape.depthwise_streams else ()
    text = to_verilog(SystolicArray(rows=shape.rows, cols=shape.cols, style=family, streams=streams, dsp_sums=dsp_sums,
                                    dsp_budget=dsp_budget), "array")
    if place:
        text = place_columns(text, shape.rows, shape.cols)
    what = f"{shape.rows}x{shape.cols} array for {family}"
    with Activities(screen, what) as activities:
        if family == "ecp5":
            # An array by itself, nothing but multipliers with their sums, is placed best by nextpnr alone.
            report = synthesise(text, "array", BOARDS["ulx3s-85f"], out, seed=seed, frequency_mhz=frequency, quick=True,
                                progress=lambda step, fraction: activities.update(0, fraction, f"{what}: {step}"))
            values = {**report.to_json(), "multipliers": shape.processing_elements}
        else:
            cells, lut = array_cells(text, "array", family)
            values = {"family": family, "cells": cells, "lut": lut, "multipliers": shape.processing_elements}
    if family == "ecp5":
        screen.print(render_table(report))
    else:
        screen.print(", ".join(f"{count:,} {name}" for name, count in sorted(values["cells"].items())))
    values["lut_per_multiplier"] = round(values["lut"] / shape.processing_elements, 2)
    screen.print(f"{values['lut_per_multiplier']} LUT4 for each of {shape.processing_elements} multipliers")
    write_json(json, values)
