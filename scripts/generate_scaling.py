"""Writes docs/scaling.md and its figure: several cores that share one memory, by the cycle model."""

from math import log2
from pathlib import Path

from systolith_compiler.compiler import compile_graph
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.cycles import predict
from systolith_golden.multicore import run_cores
from systolith_report.svg import Drawing
from systolith_sim.models import model_path
from systolith_spec.presets import preset

DOCS = Path(__file__).resolve().parents[1] / "docs"
CORES = (1, 2, 4, 8, 16, 32, 64)
NETWORKS = {"pretrainedResnet_quant": "ResNet-8", "kws_ref_model": "DS-CNN", "vww_96_int8": "MobileNetV1 0.25",
            "ad01_int8": "autoencoder"}
CONFIG = "small-8x8"
BANDWIDTHS = (8, 32)
_COLORS = ("#4c8a5b", "#3f6fa8", "#c98a1b", "#a83f3f")
_BUSY = 0.9  # share of cycles from which on the memory counts as the limit


def measure(name: str) -> dict:
    """Speed of a network on 1 to 64 cores, relative to one, at each bandwidth."""
    config = preset(CONFIG)
    image = compile_graph(read_tflite(model_path(name)), config)
    (step,) = image.steps
    commands = image.commands(step)
    alone = predict(config, commands, program_offset=step.program)
    result = {"cycles": alone.total, "bytes": alone.bytes_read + alone.bytes_written, "runs": {}}
    for bandwidth in BANDWIDTHS:
        runs = [run_cores(config, [commands] * cores, bandwidth, program_offset=step.program) for cores in CORES]
        result["runs"][bandwidth] = [(cores * alone.total / max(run.cycles), run.memory_busy)
                                     for cores, run in zip(CORES, runs, strict=True)]
    return result


def draw(results: dict) -> Drawing:
    """Speed over cores, one panel for each bandwidth, both axes logarithmic."""
    drawing = Drawing(960, 400, "Speed of several cores beside that of one")
    top, base, steps = 34, 330, len(CORES) - 1
    for panel, bandwidth in enumerate(BANDWIDTHS):
        left, right = 50 + 470 * panel, 460 + 470 * panel

        def place(cores: float, speed: float, left=left, right=right) -> tuple[float, float]:
            return left + (right - left) * log2(cores) / steps, base - (base - top) * log2(max(speed, 1)) / steps

        drawing.text(left, 20, f"{bandwidth} bytes a cycle from memory", size=12)
        for cores in CORES:
            x, y = place(cores, cores)
            drawing.line(x, top, x, base)
            drawing.line(left, y, right, y)
            drawing.text(x, base + 14, str(cores), anchor="middle", size=10, color="#57606a")
            drawing.text(left - 6, y + 4, str(cores), anchor="end", size=10, color="#57606a")
        drawing.line(*place(1, 1), *place(64, 64), "#8c959f", stroke_dasharray="4 3")
        for color, result in zip(_COLORS, results.values(), strict=False):
            limit = bandwidth * result["cycles"] / result["bytes"]
            if 1 < limit < 64:
                drawing.line(*place(limit, limit), *place(64, limit), color, stroke_dasharray="2 4", stroke_opacity=0.8)
            points = [place(cores, speed) for cores, (speed, _) in zip(CORES, result["runs"][bandwidth], strict=True)]
            drawing.polyline(points, color, stroke_width=2)
            for point, (speed, busy) in zip(points, result["runs"][bandwidth], strict=True):
                drawing.circle(*point, 4, color, f"{speed:.1f} times one core, memory busy {busy:.0%}")
        drawing.text(right, base + 30, "cores", anchor="end", size=10, color="#57606a")
    drawing.legend(50, 384, [(color, NETWORKS[name]) for color, name in zip(_COLORS, results, strict=False)])
    return drawing


def table(results: dict, bandwidth: int) -> str:
    """Speed by cores; where the memory is the limit, in bold."""
    lines = ["| network | bytes | cycles alone | limit | " + " | ".join(map(str, CORES)) + " |",
             "|---|--:|--:|--:|" + "--:|" * len(CORES)]
    for name, result in results.items():
        cells = [f"**{speed:.1f}**" if busy >= _BUSY else f"{speed:.1f}" for speed, busy in result["runs"][bandwidth]]
        limit = bandwidth * result["cycles"] / result["bytes"]
        lines.append(f"| {NETWORKS[name]} | {result['bytes']:,} | {result['cycles']:,} | {limit:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAGE = """\
# Scaling

How far do several cores get that share one main memory? This page is written by `make scaling`, from the cycle model
(`golden/systolith_golden/multicore.py`): each core is a `{config}` with its own port of 8 bytes a cycle, all start one
inference of the same network at once, and the memory serves their bursts in the order in which they are due, at a fixed
number of bytes for each cycle. Figures are times the speed of one core; **bold** where the memory is busy for {busy:.0%} of the
time or more.

![Speed over cores](figures/scaling.svg)

Dashed, grey: as many times faster as there are cores. Dotted: the limit below.

A memory as wide as the port of one core, 8 bytes a cycle:

{narrow}

Four times as wide, 32 bytes a cycle:

{wide}

## Where it stops, and why

An inference moves a fixed number of bytes (weights, commands, input, output; intermediate results stay on chip), and a
memory that does nothing else lets *bandwidth x cycles / bytes* cores work at full speed: the column *limit*. Up to about half
of it cores hardly notice each other, since loads run ahead of the array; near it they wait, because all of them start together
and ask for the same layer's weights at the same time; beyond it more cores only wait longer.

* **{best}** moves the fewest bytes for its cycles, and scales furthest.
* **The autoencoder** uses each weight once: one core takes {share:.0%} of what its port can carry, so a second core on the same
  memory gains nothing. Only a wider memory helps, or samples that share the loads of weights (`systolith run --batch`).
* A network whose intermediate results do not fit the activation buffer moves them as well, and its limit falls accordingly.

What moves the limit: weights that stay in the weight buffer between inferences, several samples in a run, or fewer bytes of
commands. A split of one network over several cores would share the weights out but exchange activations; the model has no such
program.
"""


def main() -> None:
    results = {name: measure(name) for name in NETWORKS}
    (DOCS / "figures" / "scaling.svg").write_text(f"{draw(results)}\n")
    limits = {name: result["cycles"] / result["bytes"] for name, result in results.items()}
    single = results["ad01_int8"]
    (DOCS / "scaling.md").write_text(PAGE.format(
        config=CONFIG, busy=_BUSY, narrow=table(results, BANDWIDTHS[0]), wide=table(results, BANDWIDTHS[1]),
        best=NETWORKS[max(limits, key=limits.__getitem__)], share=single["bytes"] / 8 / single["cycles"]))


if __name__ == "__main__":
    main()
