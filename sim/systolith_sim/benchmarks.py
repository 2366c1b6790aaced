"""Benchmarks: networks, matrix products and single layers, in cycles that the cycle model predicts.

`docs/benchmarks.json` holds the cycles of each on each preset; `make benchmarks` writes it anew, and a test compares.
"""

import json
from pathlib import Path

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.convolution import convolution_graph
from systolith_sim.gemm import gemm_graph
from systolith_sim.models import model_path
from systolith_sim.prediction import predict_image
from systolith_spec.presets import preset

__all__ = ["BENCHMARKS", "BENCHMARKS_FILE", "BENCHMARK_PRESETS", "benchmark_cycles", "benchmark_graph", "recorded",
           "write_benchmarks"]

BENCHMARKS_FILE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.json"
BENCHMARK_PRESETS = ("base-16x16", "small-8x8")
_LATENCY = 20
_NETWORKS = ("pretrainedResnet_quant", "kws_ref_model", "vww_96_int8", "ad01_int8", "str_ww_ref_model",
             "lenet5_mnist_int8_b1")
_PRODUCTS = ((64, 64, 64), (128, 128, 128), (256, 256, 256), (1, 256, 256))
_LAYERS = {
    "conv 3x3 16x16x64 to 64": (16, 16, 64, 64),
    "conv 1x1 24x24x32 to 32": (24, 24, 32, 32, {"kernel": (1, 1)}),
    "conv 3x3 96x96x3 to 8, stride 2": (96, 96, 3, 8, {"stride": 2}),
    "depthwise 3x3 24x24x32": (24, 24, 32, 32, {"depthwise": True}),
    "depthwise 3x3 24x24x32, stride 2": (24, 24, 32, 32, {"depthwise": True, "stride": 2}),
}
BENCHMARKS = (*_NETWORKS, *(f"gemm {m}x{k}x{n}" for m, k, n in _PRODUCTS), *_LAYERS)


def benchmark_graph(name: str) -> Graph | None:
    """The network of a benchmark; None when its file is absent."""
    if name in _NETWORKS:
        path = model_path(name)
        return None if path is None else read_tflite(path)
    if name in _LAYERS:
        *sizes, options = (*_LAYERS[name], {})[:5]
        return convolution_graph(*sizes, **options)
    return gemm_graph(*map(int, name.removeprefix("gemm ").split("x")), 1)


def benchmark_cycles(graph: Graph, config: str) -> int:
    """Predicted cycles of a network on a preset, all programs, memory latency 20."""
    image = compile_graph(graph, preset(config))
    return sum(run.total for run in predict_image(image, _LATENCY))


def recorded() -> dict[str, dict[str, int]]:
    """Contents of the benchmark file: cycles by benchmark and preset."""
    return json.loads(BENCHMARKS_FILE.read_text()) if BENCHMARKS_FILE.is_file() else {}


def write_benchmarks() -> None:
    """Write the benchmark file; networks that are absent keep their entries."""
    entries = recorded()
    for name in BENCHMARKS:
        graph = benchmark_graph(name)
        if graph is not None:
            entries[name] = {config: benchmark_cycles(graph, config) for config in BENCHMARK_PRESETS}
    BENCHMARKS_FILE.write_text(json.dumps({name: entries[name] for name in BENCHMARKS if name in entries}, indent=2) + "\n")


if __name__ == "__main__":
    write_benchmarks()
