"""Write docs/performance.md and its figures: `make performance`. With --keep, from the last measurements."""

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
from rich.console import Console
from rich.status import Status

from systolith_sim.performance import GEMM_SIZES, LATENCIES, measure
from systolith_spec.presets import preset

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA = DOCS / "performance.json"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "figures"

# Published or estimated cycles of others at the same number of multipliers, by benchmark and preset.
U55 = {  # Vela 5.2.0 estimates, Ethos_U55_High_End_Embedded, Shared_Sram: NPU cycles of U55-256 and U55-64
    "pretrainedResnet_quant": {"base-16x16": 107_389, "small-8x8": 357_367},
    "kws_ref_model": {"base-16x16": 57_329, "small-8x8": 139_134},
    "vww_96_int8": {"base-16x16": 128_825, "small-8x8": 358_266},
    "ad01_int8": {"base-16x16": 41_404, "small-8x8": 41_565},
}
NVDLA = {  # nv_small, 64 multipliers, RTL simulation
    "gemm 64x64x64": {"small-8x8": 7_099}, "gemm 256x256x256": {"small-8x8": 278_833},
    "gemm 1x256x256": {"small-8x8": 8_646}, "conv 3x3 16x16x64 to 64": {"small-8x8": 151_858},
}  # fmt: skip
TITLES = {
    "pretrainedResnet_quant": "ResNet-8", "kws_ref_model": "DS-CNN", "vww_96_int8": "MobileNetV1 0.25",
    "ad01_int8": "autoencoder", "str_ww_ref_model": "streaming wake word", "lenet5_mnist_int8_b1": "LeNet-5",
}  # fmt: skip
COLORS = {"MAC": "#4c8a5b", "weight bytes": "#3f6fa8", "activation bytes": "#8a63b0", "vector unit": "#c98a1b",
          "fill/drain": "#a83f3f"}  # fmt: skip


def use_figures():
    """Matplotlib with the look of the other figures; deterministic SVG."""
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "systolith", "font.size": 9, "axes.spines.top": False,
                                "axes.spines.right": False})  # fmt: skip
    import matplotlib.pyplot as plt

    return plt


def save(plt, figure, name: str) -> None:
    """Write an SVG without a date."""
    figure.savefig(FIGURES / name, format="svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def utilization(run: dict, config: str) -> float:
    """Share of multipliers x cycles that is useful."""
    return run["macs"] / (run["cycles"][0] * preset(config).processing_elements)


def draw_layers(plt, benchmarks: dict) -> None:
    """Utilisation per layer of four networks; a bar is as wide as the layer takes cycles."""
    names = [name for name in ("pretrainedResnet_quant", "vww_96_int8", "kws_ref_model", "ad01_int8") if name in benchmarks]
    figure, axes = plt.subplots(len(names), 1, figsize=(8, 1.9 * len(names)))
    for axis, name in zip(np.atleast_1d(axes), names, strict=True):
        start = 0
        for layer in benchmarks[name]["base-16x16"]["layers"]:
            share = layer["macs"] / max(1, 256 * layer["cycles"])
            axis.bar(start, 100 * share, layer["cycles"], align="edge", color=COLORS[layer["bound"]], edgecolor="white",
                     linewidth=0.4)
            start += layer["cycles"]
        axis.set(title=TITLES[name], ylim=(0, 100), xlim=(0, start), ylabel="% of 256 MAC")
    np.atleast_1d(axes)[-1].set_xlabel("cycle")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in COLORS.values()]
    figure.legend(handles, COLORS, ncols=5, loc="lower center", bbox_to_anchor=(0.5, -0.04), frameon=False)
    figure.tight_layout()
    save(plt, figure, "layers.svg")


def draw_roofline(plt, benchmarks: dict) -> None:
    """Useful multiplications per cycle over multiplications per byte of main memory, base-16x16."""
    figure, axis = plt.subplots(figsize=(6.5, 4))
    intensity = np.logspace(-1, 3, 100)
    axis.loglog(intensity, np.minimum(256, 16 * intensity), color="#66727f")
    for name, runs in benchmarks.items():
        run = runs["base-16x16"]
        x, y = run["macs"] / run["bytes"], run["macs"] / run["cycles"][0]
        axis.plot(x, y, "o", color="#3f6fa8" if name in TITLES else "#c98a1b", markersize=4)
        axis.annotate(TITLES.get(name, name), (x, y), xytext=(4, -8), textcoords="offset points", fontsize=6)
    axis.set(xlabel="multiplications per byte of main memory", ylabel="multiplications per cycle", ylim=(4, 400))
    save(plt, figure, "roofline.svg")


def draw_gemm(plt, gemm: dict) -> None:
    """Utilisation of A (M, K) x B (K, N) on base-16x16, one square for each M."""
    figure, axes = plt.subplots(2, 4, figsize=(9, 5))
    labels = [str(size) for size in GEMM_SIZES]
    for axis, m in zip(axes.flat, GEMM_SIZES, strict=False):
        share = [[100 * m * k * n / (256 * gemm[f"{m}x{k}x{n}"]) for n in GEMM_SIZES] for k in GEMM_SIZES]
        axis.imshow(share, vmin=0, vmax=100, cmap="viridis", origin="lower")
        for (row, column), value in np.ndenumerate(np.array(share)):
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=5.5,
                      color="white" if value < 60 else "black")
        axis.set(title=f"M = {m}", xticks=range(len(labels)), yticks=range(len(labels)), xticklabels=labels,
                 yticklabels=labels, xlabel="N", ylabel="K")
        axis.tick_params(labelsize=6)
    axes.flat[-1].axis("off")
    figure.tight_layout()
    save(plt, figure, "gemm.svg")


def draw_latency(plt, benchmarks: dict) -> None:
    """Cycles over memory latency, relative to those at 20."""
    figure, axis = plt.subplots(figsize=(6, 3))
    for name, runs in benchmarks.items():
        if len(cycles := runs["base-16x16"]["cycles"]) > 1:
            points = sorted(zip((20, *(latency for latency in LATENCIES if latency != 20)), cycles, strict=True))
            axis.plot([x for x, _ in points], [y / cycles[0] for _, y in points], "o-", label=TITLES[name], markersize=3)
    axis.set(xlabel="memory latency, cycles", ylabel="cycles / cycles at 20")
    axis.legend(frameon=False)
    save(plt, figure, "latency.svg")


def benchmark_table(benchmarks: dict) -> list[str]:
    """Rows of cycles, utilisation and the others' cycles."""
    lines = ["| benchmark | base-16x16 | useful | small-8x8 | useful | others: 256, 64 multipliers |",
             "|---|--:|--:|--:|--:|---|"]
    for name, runs in benchmarks.items():
        cells = [TITLES.get(name, name)]
        for config in ("base-16x16", "small-8x8"):
            cells += [f"{runs[config]['cycles'][0]:,}", f"{100 * utilization(runs[config], config):.1f} %"]
        others = []
        if name in U55:
            others.append(f"Ethos-U55: {U55[name]['base-16x16']:,}, {U55[name]['small-8x8']:,}")
        if name in NVDLA:
            others.append(f"NVDLA: {NVDLA[name]['small-8x8']:,} (64)")
        lines.append("| " + " | ".join([*cells, "; ".join(others)]) + " |")
    return lines


def latency_table(benchmarks: dict) -> list[str]:
    """Rows of cycles by memory latency."""
    order = (20, *(latency for latency in LATENCIES if latency != 20))
    lines = ["| network, base-16x16 | " + " | ".join(map(str, sorted(order))) + " |", "|---|" + "--:|" * len(order)]
    for name, runs in benchmarks.items():
        if len(cycles := runs["base-16x16"]["cycles"]) > 1:
            row = [f"{count:,}" for _, count in sorted(zip(order, cycles, strict=True))]
            lines.append(f"| {TITLES[name]} | " + " | ".join(row) + " |")
    return lines


PAGE_TEXT = """\
# Performance

All figures of this page are written by `make performance`: cycles from the start bit to the interrupt, all memory traffic
included, as the cycle model predicts them for a memory latency of 20 cycles. `systolith run MODEL --config base-16x16`,
`systolith gemm 64 64 64` and `systolith conv 16 16 64 64 --kernel 3` simulate the RTL and print both figures;
`sim/test_cycles.py` and `cocotb_tests/test_networks.py` compare them.

## Networks, products and layers

{benchmarks}

*Useful*: multiplications of the network / (cycles x multipliers).

Like for like?

* **Ethos-U55**: estimates of Arm's Vela 5.2.0 for the same files (NPU cycles, `Ethos_U55_High_End_Embedded`, `Shared_Sram`,
  256 and 64 multipliers), a compiler's estimate of a hard macro with compressed weights, without the CPU.
* **NVDLA** nv_small: simulation of its RTL, 64 multipliers, 64-bit AXI, memory latency 20, from the first enable to the
  interrupt. Like for like.
* **Gemmini** publishes 51 % of a 16x16 array for ResNet-50 (pull request 90 of ucb-bar/gemmini), with a CPU and caches.
* **OpenGeMM** publishes 81.9 to 99.3 % for the products of CNNs and transformers (arXiv 2411.09543), with operands in its
  scratchpad; here A, B and C are in main memory.
* **hps_accel** of CFU-Playground needs 19.2 million cycles for the convolutions of its own model (pull request 396), which
  nothing else runs.

![Utilisation per layer](figures/layers.svg)

A bar is as wide as its layer takes cycles; its colour names the resource that sets the pace. `systolith run MODEL --explain`
prints the same, with the losses.

![Roofline](figures/roofline.svg)

What keeps two of them from more:

* **gemm 1x256x256**: the read channel carries a beat in every cycle from the first command to the last weight. To the weights
  come 64 bytes of command for each of about 25 commands, and at the end the way of the last piece through array, vector unit
  and STORE (about 140 cycles). Each halving of the last piece costs two commands more than it saves.
* **MobileNetV1**: the last 1x1 layers have nine vectors for each tile, so the bus sets their pace: their weights do not fit the
  weight buffer ahead of time. Stride-2 depthwise layers read four vectors for each that they give.

## Matrix products

Useful share of 256 multipliers in %; A is M x K, B is K x N, all in main memory. With few rows the 16 bytes per cycle of the
bus are the limit, with small products the latency.

![GEMM](figures/gemm.svg)

## Memory latency

{latency}

![Latency](figures/latency.svg)

Results never depend on it: `cocotb_tests/test_networks.py` runs networks with random stalls.

## A large array

The convolutions of ResNet-50 at 224 x 224 behind the first, random weights, one sample, each with input and output in main
memory, on `32x32`: {cycles:,} cycles, {share:.1f} % of 1024 multipliers ({worst:.0f} to {best:.0f} % by layer). The last stage
is limited by its weights, 16 bytes a cycle. A 3x3 layer of the stage with 14 x 14 pixels on the RTL
(`systolith conv 14 14 256 256 --kernel 3 --config 32x32`; most of its half hour builds the simulator): 119 thousand cycles,
94.8 %, bit-exact, as predicted.
"""


def page(results: dict) -> str:
    """Text of the page."""
    layers = results["resnet50"]
    shares = [100 * layer["macs"] / (1024 * layer["cycles"]) for layer in layers]
    cycles = sum(layer["cycles"] * layer["times"] for layer in layers)
    macs = sum(layer["macs"] * layer["times"] for layer in layers)
    return PAGE_TEXT.format(
        benchmarks="\n".join(benchmark_table(results["benchmarks"])),
        latency="\n".join(latency_table(results["benchmarks"])),
        cycles=cycles, share=100 * macs / (1024 * cycles), worst=min(shares), best=max(shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="draw from the measurements in docs/performance.json")
    if parser.parse_args().keep:
        results = json.loads(DATA.read_text())
    else:
        with Status("measuring", console=Console()) as status:
            results = measure(lambda what: status.update(f"measuring {what}"))
        DATA.write_text(json.dumps(results) + "\n")
    plt = use_figures()
    draw_layers(plt, results["benchmarks"])
    draw_roofline(plt, results["benchmarks"])
    draw_gemm(plt, results["gemm"])
    draw_latency(plt, results["benchmarks"])
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
