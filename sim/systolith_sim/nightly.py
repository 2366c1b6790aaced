"""`make nightly`: random networks on every level, until it is told to stop.

Each seed makes a network of `random_graph`: its results on the tensor level must be those of TensorFlow Lite Micro, of the
machine level and, for one in so many, of the RTL with and without stalls on the bus. Every seed is logged; one that
fails is shrunk to the fewest steps that still fail. Several machines share the work with different `--first`.
"""

import argparse
import json
import os
import signal
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph, UnsupportedError
from systolith_golden.interpreter import run_outputs
from systolith_golden.reference import TfliteMicro
from systolith_sim.executor import Executor, MachineTarget
from systolith_sim.network_run import simulate
from systolith_sim.random_networks import random_graph, random_inputs
from systolith_sim.tflite_writer import serialize_tflite
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

__all__ = ["CONFIGS", "Verdict", "check_seed", "compare", "shrunk"]

_LOG = Path(__file__).resolve().parents[2] / "build" / "nightly.jsonl"
CONFIGS: tuple[AcceleratorConfig, ...] = (
    preset("tiny-4x4"), preset("small-8x8"),
    AcceleratorConfig(name="odd-5x6", rows=5, cols=6, activation_bytes=4096, weight_bytes=2048, parameter_bytes=1024,
                      accumulator_depth=32, vector_lanes=3, parameter_groups=4, axi_data_width=64, queue_commands=4,
                      depthwise_streams=2, line_depth=16),
)
# What TensorFlow Lite Micro does not have, or does with uninitialised values (its issue 1646).
_NOT_COMPARED = {"SPACE_TO_BATCH_ND", "RELU_N1_TO_1"}


@dataclass(frozen=True)
class Verdict:
    """What became of a seed.

    Attributes
    ----------
    seed : int
    error : str
        Empty when all levels agree.
    steps : int or None
        Of a failing network: the fewest that still fail.
    micro, rtl : bool
        Whether TensorFlow Lite Micro and the RTL took part.
    operators : int
    """

    seed: int
    error: str
    steps: int | None
    micro: bool
    rtl: bool
    operators: int


def compare(graph: Graph, config: AcceleratorConfig, seed: int, *, rtl: bool = False) -> bool:
    """Run a network on all levels; returns whether TensorFlow Lite Micro took part.

    Raises
    ------
    AssertionError
        Two levels differ.
    """
    inputs = random_inputs(graph, seed)
    wanted = run_outputs(graph, inputs)
    micro = not _NOT_COMPARED & {operator.kind for operator in graph.operators}
    if micro:
        _assert_same(TfliteMicro(serialize_tflite(graph)).run(inputs), wanted, "TensorFlow Lite Micro")
    try:
        image = compile_graph(graph, config)
    except UnsupportedError:
        return micro
    _assert_same(Executor(image, graph, MachineTarget(image, check_hazards=True)).infer_now(inputs), wanted, "machine level")
    if rtl:
        for stall in (0, 30):
            (run,) = simulate(image, graph, [inputs], stall=stall, seed=seed + 1)
            _assert_same(run.outputs, wanted, f"RTL with {stall} % stalls")
    return micro


def _assert_same(mine: list[np.ndarray], wanted: list[np.ndarray], what: str) -> None:
    for index, (a, b) in enumerate(zip(mine, wanted, strict=True)):
        if not np.array_equal(a, b):
            raise AssertionError(f"{what}: output {index} differs in {np.count_nonzero(a != b)} of {b.size} values")


def _error(seed: int, limit: int | None, rtl: bool) -> tuple[str, bool, int]:
    """Error of a network ("" when there is none), whether TensorFlow Lite Micro took part, and operators."""
    graph = random_graph(seed, limit=limit)
    try:
        return "", compare(graph, CONFIGS[seed % len(CONFIGS)], seed, rtl=rtl), len(graph.operators)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", False, len(graph.operators)


def shrunk(seed: int, rtl: bool) -> int | None:
    """Fewest steps of a failing network that still fail; None when only the whole one does."""
    limits = (limit for limit in range(1, 9) if random_graph(seed, limit=limit).operators)
    return next((limit for limit in limits if _error(seed, limit, rtl)[0]), None)


def check_seed(seed: int, rtl_share: int = 0) -> Verdict:
    """Check the network of a seed, on the RTL too for one seed in `rtl_share`."""
    rtl = rtl_share > 0 and seed % rtl_share == 0
    error, micro, operators = _error(seed, None, rtl)
    return Verdict(seed, error, shrunk(seed, rtl) if error else None, micro, rtl, operators)


def main() -> int:
    """Command line; runs until interrupted, or so many seeds or minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, help="seeds; by default no end")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--rtl", type=int, default=20, metavar="N", help="one seed in N runs on the RTL too; 0: none")
    options = parser.parse_args()
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    seeds = iter(count(options.first) if options.count is None else range(options.first, options.first + options.count))
    until = time.monotonic() + 60 * options.minutes
    verdicts: list[Verdict] = []
    stop = []
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    with ProcessPoolExecutor(options.jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool, \
            open(_LOG, "a") as log:
        running = set()
        while True:
            while len(running) < 2 * options.jobs and not stop and time.monotonic() < until:
                if (seed := next(seeds, None)) is None:
                    break
                running.add(pool.submit(check_seed, seed, options.rtl))
            if not running:
                break
            done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                verdicts.append(future.result())
                log.write(json.dumps(asdict(verdicts[-1])) + "\n")
                log.flush()
                if verdicts[-1].error:
                    last = verdicts[-1]
                    print(f"seed {last.seed}: {last.error} (fails from {last.steps} steps on)", flush=True)
    failed = sum(bool(verdict.error) for verdict in verdicts)
    print(f"{len(verdicts)} networks, {sum(v.micro for v in verdicts)} of them on TensorFlow Lite Micro, "
          f"{sum(v.rtl for v in verdicts)} on the RTL: {failed} failures. Seeds are in {_LOG}.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
