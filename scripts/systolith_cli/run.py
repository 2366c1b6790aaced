"""`systolith run`: a network on the accelerator."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from systolith_cli.configuration import find_config
from systolith_cli.errors import FAILED, UserError, guarded
from systolith_cli.options import (
    ExplainOption,
    JsonOption,
    LatencyOption,
    LevelOption,
    RoundingOption,
    SeedOption,
    check_level,
    check_rounding,
)
from systolith_cli.output import Activities, console, print_report, write_json
from systolith_compiler.graph import Graph
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.inference import InferenceReport, infer
from systolith_sim.samples import load_samples, random_sample
from systolith_spec.config import AcceleratorConfig

__all__ = ["finish", "infer_with_progress", "run"]


@guarded
def run(
    model: Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="An int8 .tflite network.")],
    config: Annotated[str | None, typer.Option(
        "--config", "-c", metavar="NAME", help="Preset (see `systolith configs`), ROWSxCOLS such as 12x6, or a JSON file of "
        "configuration fields. Default: small-8x8; with --target the preset that is on the board.")] = None,
    input: Annotated[Path | None, typer.Option("--input", metavar="X.npy", help="Inputs: first axis samples, then the "
                     "network's input shape without batch; int8, or float to be quantised. Without it: one random sample."
                     )] = None,
    seed: SeedOption = 1,
    level: LevelOption = "rtl",
    latency: LatencyOption = 20,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Samples of one run, which share the loads of weights: for "
                                       "networks of fully connected layers.")] = 1,
    stall: Annotated[int, typer.Option(min=0, max=95, help="Main memory: percentage of cycles each channel stalls.")] = 0,
    rounding: RoundingOption = "double",
    waves: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a waveform (.vcd).")] = None,
    explain: ExplainOption = False,
    json: JsonOption = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write outputs: output_0, ... int8, samples first."
                                                )] = None,
    target: Annotated[str | None, typer.Option(metavar="serial:PORT", help="Run on a board: serial:/dev/ttyUSB0, or "
                                               "serial: with a URL of pyserial such as socket://host:port.")] = None,
    baud: Annotated[int, typer.Option(min=300, help="Of the serial port.")] = 1_000_000,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds until a request to the board is repeated.")] = 1.0,
) -> None:
    """Run a network, compare every output, count cycles.

    Exit status 0 only when all outputs are bit-exact; 2 when an input cannot be used.

    Examples: [dim]systolith run scripts/demo/lenet5.tflite --config base-16x16[/dim],
    [dim]systolith run net.tflite --input x.npy --level machine --json result.json[/dim],
    [dim]systolith run net.tflite --target serial:/dev/ttyUSB0[/dim]
    """
    check_level(level)
    check_rounding(rounding)
    if target is not None and (level != "rtl" or waves is not None or stall):
        raise UserError("--level, --waves and --stall are for simulations, not for --target")
    graph = read_tflite(model)
    samples = [random_sample(graph, seed)] if input is None else load_samples(graph, input)
    out = console(json)
    options = {"level": level, "model": model, "memory_latency": latency, "stall": stall, "seed": seed, "rounding": rounding,
               "waves": waves, "explained": explain or json is not None, "batch": batch}
    if target is None:
        report = infer_with_progress(out, graph, find_config(config or "small-8x8"), samples, **options)
    else:
        report = _on_board(out, graph, config, samples, target, baud, timeout, options)
    print_report(out, report, explained=explain)
    if output is not None:
        with output.open("wb") as file:
            np.savez(file, **{f"output_{i}": array for i, array in enumerate(report.outputs)})
    finish(report, json)


def _on_board(out, graph: Graph, config: str | None, samples: list, target: str, baud: int, timeout: float,
              options: dict) -> InferenceReport:
    """`infer_with_progress` on a board."""
    from systolith_boards.host.device import device_config
    from systolith_boards.host.link import open_link
    from systolith_boards.host.run import run_on_board
    from systolith_boards.shell.memory import MEMORY_READ_LATENCY

    kind, _, url = target.partition(":")
    if kind != "serial" or not url:
        raise UserError(f"Target must be serial: and a port, such as serial:/dev/ttyUSB0, not {target!r}")
    link = open_link(url, baud=baud, timeout=timeout)
    identity = link.identify()
    accelerator = device_config(link) if config is None else find_config(config)
    out.print(f"{identity.board}: {identity.clock_hz / 1e6:g} MHz, {identity.memory_bytes:,} bytes of main memory")
    options |= {"level": "board", "memory_latency": MEMORY_READ_LATENCY, "board": partial(run_on_board, link)}
    report = infer_with_progress(out, graph, accelerator, samples, **options)
    return replace(report, board={
        "name": identity.board, "clock_mhz": identity.clock_hz / 1e6,
        "inferences_per_second": round(identity.clock_hz * report.batch / report.cycles, 1)})


def infer_with_progress(out, graph: Graph, config: AcceleratorConfig, samples: list, **arguments) -> InferenceReport:
    """`infer` behind a progress bar."""
    what = "building and simulating" if arguments.get("level", "rtl") == "rtl" else "running"
    text = f"{what} {graph.name} on {config.name}"
    runs = -(-len(samples) // arguments.get("batch", 1))
    with Activities(out, text) as activities:
        report = infer(graph, config, samples, **arguments, progress=lambda done: activities.update(
            0, done / runs, f"{text}: {done} of {runs} runs"))
    return report


def finish(report: InferenceReport, json: Path | None) -> None:
    """Write the JSON and leave with the status that the result deserves."""
    write_json(json, report.to_json())
    if not report.bit_exact:
        print("Error: the outputs are not bit-exact", file=sys.stderr)
        sys.exit(FAILED)
