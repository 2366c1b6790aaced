"""Measurements behind docs/performance.md: networks, GEMM sweep, memory latency, large geometries; in predicted cycles."""

from collections.abc import Callable
from itertools import product

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph
from systolith_golden.explanation import explain
from systolith_sim.benchmarks import BENCHMARK_PRESETS, BENCHMARKS, benchmark_graph
from systolith_sim.convolution import convolution_graph
from systolith_sim.gemm import gemm_graph
from systolith_sim.prediction import predict_image
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

__all__ = ["GEMM_SIZES", "LATENCIES", "RESNET50", "measure"]

GEMM_SIZES = (8, 16, 32, 64, 128, 256, 512)
LATENCIES = (5, 20, 50, 100, 200)
_CURVES = ("pretrainedResnet_quant", "kws_ref_model", "vww_96_int8", "ad01_int8")
# Layers of ResNet-50 at 224 x 224 behind the first: (input size, input channels, output channels, kernel, stride, times).
RESNET50 = (
    (56, 64, 64, 1, 1, 1), (56, 64, 64, 3, 1, 3), (56, 64, 256, 1, 1, 4), (56, 256, 64, 1, 1, 2),
    (56, 256, 128, 1, 1, 1), (56, 128, 128, 3, 2, 1), (28, 128, 512, 1, 1, 4), (56, 256, 512, 1, 2, 1),
    (28, 512, 128, 1, 1, 3), (28, 128, 128, 3, 1, 3), (28, 512, 256, 1, 1, 1), (28, 256, 256, 3, 2, 1),
    (14, 256, 1024, 1, 1, 6), (28, 512, 1024, 1, 2, 1), (14, 1024, 256, 1, 1, 5), (14, 256, 256, 3, 1, 5),
    (14, 1024, 512, 1, 1, 1), (14, 512, 512, 3, 2, 1), (7, 512, 2048, 1, 1, 3), (14, 1024, 2048, 1, 2, 1),
    (7, 2048, 512, 1, 1, 2), (7, 512, 512, 3, 1, 2),
)  # fmt: skip


def _run(graph: Graph, config: AcceleratorConfig, latencies: tuple[int, ...] = (20,)) -> dict:
    """Predicted cycles at each latency, and at the first the multiplications, bytes and layers."""
    image = compile_graph(graph, config)
    runs = [predict_image(image, latency) for latency in latencies]
    macs = {layer.index: layer.macs for layer in image.layers}
    layers = [entry for step in image.steps if step.program is not None
              for entry in explain(config, image.commands(step), macs, latencies[0], program_offset=step.program,
                                   program_limit=image.writable)]
    return {
        "cycles": [sum(run.total for run in programs) for programs in runs],
        "macs": sum(layer.macs for layer in image.layers if not layer.host),
        "bytes": sum(run.bytes_read + run.bytes_written for run in runs[0]),
        "layers": [{"op": image.layers[entry.layer].op, "cycles": entry.cycles, "macs": entry.macs, "bound": entry.bound}
                   for entry in layers],
    }


def measure(progress: Callable[[str], None] = lambda what: None) -> dict:
    """Everything that the page shows; networks whose files are absent are left out.

    Parameters
    ----------
    progress : callable
        Called with what is being measured.
    """
    results: dict = {"benchmarks": {}, "gemm": {}, "resnet50": []}
    for name in BENCHMARKS:
        graph = benchmark_graph(name)
        for config in BENCHMARK_PRESETS if graph is not None else ():
            progress(f"{name} on {config}")
            latencies = (20, *(latency for latency in LATENCIES if latency != 20)) if name in _CURVES else (20,)
            results["benchmarks"].setdefault(name, {})[config] = _run(graph, preset(config), latencies)
    base = preset("base-16x16")
    for sizes in product(GEMM_SIZES, repeat=3):
        progress(f"GEMM {sizes[0]} x {sizes[1]} x {sizes[2]}")
        results["gemm"]["x".join(map(str, sizes))] = _run(gemm_graph(*sizes, 1), base)["cycles"][0]
    large = preset("32x32")
    for size, channels, outputs, kernel, stride, times in RESNET50:
        progress(f"{kernel}x{kernel} convolution {size}x{size}x{channels} to {outputs} on 32x32")
        run = _run(convolution_graph(size, size, channels, outputs, kernel=(kernel, kernel), stride=stride), large)
        results["resnet50"].append({"cycles": run["cycles"][0], "macs": run["macs"], "times": times})
    return results
