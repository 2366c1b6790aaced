"""Runs networks on the accelerator's RTL: one call from image and inputs to outputs and cycles."""

import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from systolith.accelerator import Accelerator
from systolith.axi import AXI_ID_WIDTH
from systolith_compiler.graph import Graph
from systolith_compiler.image import Image
from systolith_sim.axi_memory import (
    AXI_MEMORY_PUBLIC,
    AXI_MEMORY_SOURCE,
    axi_testbench_wrapper,
    memory_plusargs,
    write_memory_file,
)
from systolith_sim.cocotb_run import run
from systolith_sim.cover_points import record_points
from systolith_sim.job import Job
from systolith_sim.prediction import predict_image
from systolith_sim.verilog import to_verilog
from systolith_sim.waves import prepare
from systolith_spec.config import AcceleratorConfig

__all__ = ["SampleRun", "simulate"]

_TRACE_SOURCE = Path(__file__).with_name("retire_trace.sv")
_TRACE = "  retire_trace trace (.clk(clk), .rst(rst), .trace_retire(trace_retire), .trace_layer(trace_layer));\n"


@dataclass(frozen=True, eq=False)
class SampleRun:
    """One inference on the RTL.

    Attributes
    ----------
    outputs : list of np.ndarray
    cycles : int
        From the start bit to the interrupt, summed over the programs of the inference.
    counters : dict of str to int
        Performance counters by register name.
    layer_ends : dict of int to int
        Cycle, from the start, in which each layer ended: its last COMPUTE command retired, or its last VECTOR
        command if it has no other.
    """

    outputs: list[np.ndarray]
    cycles: int
    counters: dict[str, int] = field(repr=False)
    layer_ends: dict[int, int] = field(repr=False)


@cache
def _verilog(config: AcceleratorConfig) -> str:
    # Simulators lack the DSP cells of FPGA families; plain multipliers take as many cycles.
    return to_verilog(Accelerator(config=replace(config, multiplier_style="generic", dsp_sums=False)), "systolith")


def _memory_log2(image: Image) -> int:
    """Size of the simulated memory: 16 MiB, so that most networks share a build, or what the image needs."""
    return max(24, (image.memory.size - 1).bit_length())


def simulate(image: Image, graph: Graph, samples: Sequence[Sequence[np.ndarray]], *, memory_latency: int = 20,
             stall: int = 0, seed: int = 1, waves: Path | None = None, simulator: str | None = None,
             timeout_seconds: float = 3600.0, progress: Callable[[int], None] | None = None) -> list[SampleRun]:
    """Run inferences on the cycle-accurate RTL.

    Parameters
    ----------
    image : Image
    graph : Graph
        The network that the image was compiled from.
    samples : sequence of sequences of np.ndarray
        Inputs of each inference.
    memory_latency : int
        Cycles from a read address to its first beat.
    stall : int
        Percentage of cycles in which each AXI channel stalls.
    seed : int
        Of the stalls.
    waves : Path or None
        Waveform file to write; a view for GTKWave goes beside it, see `systolith_sim.waves`.
    simulator : str or None
    timeout_seconds : float
        Wall-clock limit.
    progress : callable or None
        Called with the number of inferences done, from another thread.

    Returns
    -------
    list of SampleRun

    Raises
    ------
    SimulationError
        The simulation failed, or the accelerator reported an error.
    """
    config = image.config
    record_points(graph, image, stall=bool(stall))
    predicted = sum(run.total for run in predict_image(image, memory_latency))
    size_log2 = _memory_log2(image)
    wrapper = axi_testbench_wrapper(
        "systolith", data_width=config.axi_data_width, id_width=AXI_ID_WIDTH, memory_size_log2=size_log2,
        extra_outputs=(("trace_retire", 4), ("trace_layer", 48))).replace("endmodule", _TRACE + "endmodule")
    with tempfile.TemporaryDirectory(prefix="systolith-") as name:
        folder = Path(name)
        Job(image, graph, [list(sample) for sample in samples], limit_cycles=20 * predicted + 100_000).save(folder)
        write_memory_file(folder / "memory.hex", image.memory.tobytes(), data_width=config.axi_data_width)
        with _Watch(folder, progress):
            results = run(
                _verilog(config), top="testbench", test_module="systolith_sim.network_tb", simulator=simulator,
                extra_sources=[AXI_MEMORY_SOURCE, _TRACE_SOURCE, wrapper],
                extra_public=(*AXI_MEMORY_PUBLIC, "retire_trace.compute", "retire_trace.vector", "retire_trace.now"),
                plusargs=[f"+memory={folder / 'memory.hex'}", f"+seed={seed}",
                          *memory_plusargs(read_latency=memory_latency, write_latency=memory_latency, stall=stall)],
                arguments={"job": str(folder)}, optimise="2", waves=waves, timeout_seconds=timeout_seconds)
        if waves is not None:
            prepare(Path(waves), image, len(samples))
        runs = []
        for number, entry in enumerate(results.records):
            with np.load(folder / f"outputs_{number}.npz") as stored:
                outputs = [stored[f"arr_{i}"] for i in range(len(stored.files))]
            runs.append(SampleRun(outputs, entry["counters"]["CYCLES"], entry["counters"],
                                  {int(layer): cycle for layer, cycle in entry["layer_ends"].items()}))
        return runs


class _Watch:
    """Reports the output files that appear in a folder."""

    def __init__(self, folder: Path, progress: Callable[[int], None] | None):
        self._folder, self._progress = folder, progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self):
        if self._progress:
            self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._progress:
            self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(0.3):
            self._progress(len(list(self._folder.glob("outputs_*.npz"))))
