"""`systolith run`: a network on the accelerator."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from systolith_cli.configuration import find_config
from systolith_cli.errors import FAILED, UserError, guarded
from systolith_cli.options import ConfigOption, ExplainOption, JsonOption, SeedOption
from systolith_cli.output import Activities, console, print_report, write_json
from systolith_compiler.graph import Graph
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.inference import LEVELS, InferenceReport, infer
from systolith_sim.samples import load_samples, random_sample
from systolith_spec.config import AcceleratorConfig

__all__ = ["finish", "infer_with_progress", "run"]


@guarded
def run(
    model: Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="An int8 .tflite network.")],
    config: ConfigOption = "small-8x8",
    input: Annotated[Path | None, typer.Option("--input", metavar="X.npy", help="Inputs: first axis samples, then the "
                     "network's input shape without batch; int8, or float to be quantised. Without it: one random sample."
                     )] = None,
    seed: SeedOption = 1,
    level: Annotated[str, typer.Option(help="rtl (cycle-accurate), machine (command stream) or tensor (numpy).")] = "rtl",
    latency: Annotated[int, typer.Option(min=2, max=1000, help="Main memory: cycles to the first beat.")] = 20,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Samples of one run, which share the loads of weights: for "
                                       "networks of fully connected layers.")] = 1,
    stall: Annotated[int, typer.Option(min=0, max=95, help="Main memory: percentage of cycles each channel stalls.")] = 0,
    rounding: Annotated[str, typer.Option(help="Requantisation: double (TensorFlow Lite Micro) or single.")] = "double",
    waves: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a waveform (.vcd).")] = None,
    explain: ExplainOption = False,
    json: JsonOption = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write outputs: output_0, ... int8, samples first."
                                                )] = None,
) -> None:
    """Run a network, compare every output, count cycles.

    Exit status 0 only when all outputs are bit-exact; 2 when an input cannot be used.

    Examples: [dim]systolith run scripts/demo/lenet5.tflite --config base-16x16[/dim],
    [dim]systolith run net.tflite --input x.npy --level machine --json result.json[/dim]
    """
    if level not in LEVELS:
        raise UserError(f"Level must be one of {', '.join(LEVELS)}, not {level!r}")
    if rounding not in ("double", "single"):
        raise UserError(f"Rounding must be 'double' or 'single', not {rounding!r}")
    accelerator = find_config(config)
    graph = read_tflite(model)
    samples = [random_sample(graph, seed)] if input is None else load_samples(graph, input)
    out = console(json)
    report = infer_with_progress(out, graph, accelerator, samples, level=level, model=model, memory_latency=latency,
                                 stall=stall, seed=seed, rounding=rounding, waves=waves, explained=explain or json is not None,
                                 batch=batch)
    print_report(out, report, explained=explain)
    if output is not None:
        with output.open("wb") as file:
            np.savez(file, **{f"output_{i}": array for i, array in enumerate(report.outputs)})
    finish(report, json)


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
