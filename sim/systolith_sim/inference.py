"""One call from a network and inputs to results at any level, compared, with cycles and utilisation.

Levels: `tensor` (numpy, operator by operator), `machine` (the command stream, byte for byte), `rtl` (the
generated Verilog, cycle by cycle). Each level is compared with the tensor level, and that with TensorFlow Lite
Micro where the network is a file that it can run.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from systolith_compiler.batching import batched, join_samples, split_outputs
from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph
from systolith_compiler.image import Image
from systolith_golden.explanation import LayerExplanation, explain
from systolith_golden.interpreter import run_outputs
from systolith_sim.executor import Executor, MachineTarget
from systolith_sim.network_run import SampleRun, simulate
from systolith_sim.prediction import predict_image
from systolith_sim.run_details import run_details
from systolith_sim.samples import sample_shape
from systolith_sim.witness import tflite_micro_outputs
from systolith_spec.config import AcceleratorConfig

__all__ = ["LEVELS", "InferenceReport", "LayerReport", "infer"]

LEVELS = ("rtl", "machine", "tensor")


@dataclass(frozen=True)
class LayerReport:
    """One layer: cycles count from the end of the layer before to its own end."""

    index: int
    op: str
    name: str
    cycles: int | None
    macs: int
    utilization: float | None


@dataclass(frozen=True, kw_only=True)
class InferenceReport:
    """Result of `infer`.

    Attributes
    ----------
    model, config, level : str
    samples, batch : int
        A run computes `batch` samples; what follows is of one run.
    bit_exact : bool
        All outputs of all samples equal the tensor level, and TensorFlow Lite Micro where it ran.
    bit_exact_tflite_micro : bool or None
        Whether the tensor level equals TensorFlow Lite Micro; None where that cannot run the network.
    cycles : int or None
        From the start bit to the interrupt (the largest, should the runs differ); RTL and boards only.
    predicted_cycles : int
    macs : int
        Useful multiply-accumulates.
    utilization : float or None
        macs / (cycles * rows * cols); with the predicted cycles where there are no others.
    dram_bytes_read, dram_bytes_written : int
        Bytes of AXI beats.
    host_ops : list of str
        Operators that ran on the host.
    layers : list of LayerReport
    explanation : list of LayerExplanation
        Where the predicted cycles go; empty unless asked for.
    counters : dict of str to int
        Performance counters of the first sample; RTL and boards only.
    configuration : dict
        Fields of the configuration.
    memory : dict of str to int
        Of the simulated main memory: "latency" and "stall".
    details : dict
        Timeline, traffic and memory maps, see `run_details`; empty unless asked for.
    board : dict
        Of the board that it ran on: "name", "clock_mhz", "inferences_per_second" (of the accelerator, without transfers and
        operators on the host); else empty and not part of the JSON.
    outputs : list of np.ndarray
        `outputs[i][s]` is output i of sample s, without a batch axis of 1. Not part of the JSON.
    """

    model: str
    config: str
    level: str
    samples: int
    batch: int = 1
    bit_exact: bool
    bit_exact_tflite_micro: bool | None
    cycles: int | None
    predicted_cycles: int
    macs: int
    utilization: float | None
    dram_bytes_read: int
    dram_bytes_written: int
    host_ops: list[str]
    layers: list[LayerReport]
    explanation: list[LayerExplanation] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    configuration: dict = field(default_factory=dict, repr=False)
    memory: dict[str, int] = field(default_factory=dict)
    details: dict = field(default_factory=dict, repr=False)
    board: dict = field(default_factory=dict)
    outputs: list[np.ndarray] = field(default_factory=list, repr=False)

    def to_json(self) -> dict:
        """Plain values for a JSON file."""
        values = asdict(self)
        del values["outputs"]
        if not self.board:
            del values["board"]
        for name in ("explanation", "details"):
            if not values[name]:
                del values[name]
        for entry, layer in zip(values.get("explanation", []), self.explanation, strict=True):
            entry["bound"] = layer.bound
        return values


def _utilization(macs: int, cycles: int | None, config: AcceleratorConfig) -> float | None:
    return round(macs / (cycles * config.processing_elements), 6) if cycles else None


def _explain(image: Image, memory_latency: int) -> list[LayerExplanation]:
    macs = {layer.index: layer.macs for layer in image.layers}
    return [layer for step in image.steps if step.program is not None
            for layer in explain(image.config, image.commands(step), macs, memory_latency, program_offset=step.program,
                                 program_limit=image.writable)]


def _layers(image: Image, ends: dict[int, int], total: int | None) -> list[LayerReport]:
    """Cycles of each layer from when the layers end; what follows the last end belongs to the last layer.

    A layer of the array ends with its last COMPUTE command: its results are still being requantised under the
    next layer. Layers overlap, so a layer of the vector unit may end after the one behind it: that one gets 0.
    """
    reports, last = [], 0
    final = max(ends, default=None)
    for layer in image.layers:
        cycles = None
        if layer.index in ends:
            end = total if layer.index == final and total is not None else ends[layer.index]
            cycles, last = max(0, end - last), max(end, last)
        reports.append(LayerReport(layer.index, layer.op, layer.name, cycles, layer.macs,
                                   _utilization(layer.macs, cycles, image.config)))
    return reports


def _equal(first: Sequence[Sequence[np.ndarray]], second: Sequence[Sequence[np.ndarray]]) -> bool:
    return len(first) == len(second) and all(
        len(a) == len(b) and all(np.array_equal(x.reshape(-1), y.reshape(-1)) for x, y in zip(a, b, strict=True))
        for a, b in zip(first, second, strict=True))


def infer(graph: Graph, config: AcceleratorConfig, samples: Sequence[Sequence[np.ndarray]], *, level: str = "rtl",
          model: Path | None = None, rounding: str = "double", memory_latency: int = 20, stall: int = 0, seed: int = 1,
          waves: Path | None = None, explained: bool = False, batch: int = 1,
          progress: Callable[[int], None] | None = None,
          board: Callable[..., list[SampleRun]] | None = None) -> InferenceReport:
    """Compile a network, run samples and compare the results.

    Parameters
    ----------
    graph : Graph
    config : AcceleratorConfig
    samples : sequence of sequences of np.ndarray
        For each sample one array per network input.
    level : str
        One of `LEVELS`, or "board".
    model : Path or None
        The file that `graph` was read from, for TensorFlow Lite Micro.
    rounding : str
        "double" or "single".
    memory_latency, stall, seed : int
        Of the simulated main memory: cycles to the first beat, percentage of stalled cycles, seed of the stalls.
    waves : Path or None
        Waveform file to write (RTL).
    explained : bool
        Fill `explanation` and `details` of the report.
    batch : int
        Samples of one run, which share the loads of weights.
    progress : callable or None
        Called with the number of samples done.
    board : callable or None
        For level "board": called with image, graph, inputs of each run and `progress`, returns the runs. What it measures are
        cycles and counters of whole programs; cycles of layers are predicted.

    Raises
    ------
    ModelError
        The network cannot be compiled.
    SimulationError
        The simulation failed.
    """
    whole = batched(graph, batch)
    image = compile_graph(whole, config, rounding=rounding)
    groups = [samples[start:start + batch] for start in range(0, len(samples), batch)]
    inputs = samples if batch == 1 else [join_samples(whole, group) for group in groups]
    golden = [run_outputs(graph, sample, rounding) for sample in samples]
    reference = None
    if model is not None and rounding == "double":
        reference = tflite_micro_outputs(graph, model, samples)
    predictions = predict_image(image, memory_latency)
    predicted = sum(p.total for p in predictions)
    runs: list[SampleRun] = []
    read, written = sum(p.bytes_read for p in predictions), sum(p.bytes_written for p in predictions)
    if level == "rtl":
        runs = simulate(image, whole, inputs, memory_latency=memory_latency, stall=stall, seed=seed, waves=waves,
                        progress=progress)
    elif level == "board":
        runs = board(image, whole, inputs, progress=progress)
    elif level == "machine":
        executor = Executor(image, whole, MachineTarget(image, check_hazards=True))
        results = [executor.infer_now(sample) for sample in inputs]
    else:
        results = golden
    if runs:
        results = [run.outputs for run in runs]
        read, written = (runs[0].counters[name] for name in ("BYTES_READ", "BYTES_WRITTEN"))
    if batch > 1 and level != "tensor":
        results = [result for outputs, group in zip(results, groups, strict=True)
                   for result in split_outputs(outputs, len(group))]
    cycles = max((run.cycles for run in runs), default=None)
    ends, offset = {}, 0
    for prediction in predictions:
        layer_ends = prediction.per_layer | prediction.per_layer_compute
        ends |= {layer: offset + end for layer, end in layer_ends.items()}
        offset += prediction.total
    if runs and runs[0].layer_ends:
        ends = runs[0].layer_ends
    macs = sum(layer.macs for layer in image.layers)
    matches = None if reference is None else _equal(golden, reference)
    return InferenceReport(
        model=graph.name, config=config.name, level=level, samples=len(samples), batch=batch,
        bit_exact=_equal(results, golden) and matches is not False, bit_exact_tflite_micro=matches, cycles=cycles,
        predicted_cycles=predicted, macs=macs, utilization=_utilization(macs, cycles or predicted, config),
        dram_bytes_read=read, dram_bytes_written=written, host_ops=[layer.op for layer in image.layers if layer.host],
        layers=_layers(image, ends, cycles or predicted), counters=runs[0].counters if runs else {},
        explanation=_explain(image, memory_latency) if explained else [], configuration=config.as_dict(),
        memory={"latency": memory_latency, "stall": stall}, details=run_details(image, memory_latency) if explained else {},
        outputs=[np.stack([result[i].reshape(sample_shape(graph.tensors[index])) for result in results])
                 for i, index in enumerate(graph.outputs)])
