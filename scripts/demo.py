"""The demo: handwritten digits on the cycle-accurate RTL, then the Verilog, area and clock of a small preset.

Started by `make demo`. Simulation and synthesis run side by side.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel

from systolith.generate import generate
from systolith_boards.report import render_table
from systolith_cli.errors import guarded
from systolith_cli.output import Activities, print_report
from systolith_cli.synth import synthesise_config
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.inference import infer
from systolith_spec.presets import preset

_HERE = Path(__file__).resolve().parent
_BUILD = _HERE.parent / "build" / "demo"
_SHADES = " .:-=+*#%@"


def _picture(digit: np.ndarray) -> str:
    """A digit as text: every second row and column."""
    return "\n".join("".join(_SHADES[int(value) * len(_SHADES) // 256] for value in row[::2]) for row in digit[2:26:2])


@guarded
def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, default=24, help="how many digits to classify (default 24)")
    parser.add_argument("--config", default="small-8x8", help="preset that runs the network (default small-8x8)")
    parser.add_argument("--synth-config", default="tiny-4x4", help="preset to synthesise (default tiny-4x4)")
    arguments = parser.parse_args()
    out = Console(highlight=False)
    began = time.monotonic()

    with np.load(_HERE / "demo" / "digits.npz") as stored:
        images, labels = stored["images"][:arguments.digits], stored["labels"][:arguments.digits]
    model = _HERE / "demo" / "lenet5.tflite"
    graph = read_tflite(model)
    shape = graph.tensors[graph.inputs[0]].shape
    samples = [[(image.astype(np.int16) - 128).astype(np.int8).reshape(shape)] for image in images]
    out.print(f"[bold]LeNet-5 on {arguments.config}[/bold]: {len(samples)} digits from the MNIST test set through the "
              f"cycle-accurate RTL.\nMeanwhile {arguments.synth_config} is synthesised for the ULX3S-85F. The first run "
              "also compiles the simulator and the WebAssembly tools.")

    texts = f"simulating {len(samples)} digits", f"synthesising {arguments.synth_config}"
    with Activities(out, *texts) as activities, ThreadPoolExecutor(2) as pool:
        synthesis = pool.submit(
            synthesise_config, preset(arguments.synth_config), "ulx3s-85f", _BUILD / "synth", 1,
            lambda what, fraction: activities.update(1, fraction, f"{texts[1]}: {what}"), quick=True)
        simulation = pool.submit(
            infer, graph, preset(arguments.config), samples, model=model,
            progress=lambda done: activities.update(0, done / len(samples), f"{texts[0]}: {done} done"))
        report = simulation.result()
        activities.update(0, 1.0, "simulation finished")
        netlist = synthesis.result()

    guesses = report.outputs[0].reshape(len(samples), -1).argmax(axis=1)
    out.print(Columns([Panel(_picture(image), title=f"[green]{guess}" if guess == label else f"[red]{guess} ({label})",
                             width=18) for image, guess, label in zip(images, guesses, labels, strict=True)]))
    out.print(f"accuracy {np.mean(guesses == labels):.1%} ({np.sum(guesses == labels)} of {len(labels)})\n")
    print_report(out, report)
    out.print()
    for path in generate(preset(arguments.synth_config), _BUILD / "verilog")[:2]:
        out.print(f"{os.path.relpath(path)}  {path.stat().st_size:,} bytes")
    out.print(render_table(netlist))
    out.print(f"\n{time.monotonic() - began:.0f} s. Next: [bold].venv/bin/systolith --help[/bold]")
    sys.exit(0 if report.bit_exact and report.bit_exact_tflite_micro else 1)


if __name__ == "__main__":
    main()
