"""`make nightly`: random networks on every level, until it is told to stop.

Each seed makes a network of `random_graph`: its results on the tensor level must be those of TensorFlow Lite Micro, of the
machine level and, for one in so many, of the RTL with and without stalls on the bus. Every seed is logged; one that
fails is shrunk to the fewest steps that still fail. Several machines share the work through a Dask scheduler (`--cluster`).
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures import Executor as Pool
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph, UnsupportedError
from systolith_golden.interpreter import run_outputs
from systolith_golden.reference import TfliteMicro
from systolith_sim.executor import Executor, MachineTarget
from systolith_sim.figures import PAGE, Figures, publish
from systolith_sim.network_run import simulate
from systolith_sim.random_networks import random_graph, random_inputs
from systolith_sim.tflite_writer import serialize_tflite
from systolith_sim.workers import workers
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
    micro, machine, rtl : bool
        Whether TensorFlow Lite Micro, the machine level and the RTL took part.
    operators : int
    config : str
    """

    seed: int
    error: str
    steps: int | None
    micro: bool
    machine: bool
    rtl: bool
    operators: int
    config: str


def compare(graph: Graph, config: AcceleratorConfig, seed: int, *, rtl: bool = False) -> tuple[bool, bool]:
    """Run a network on all levels; returns whether TensorFlow Lite Micro and the machine level took part.

    The machine level does not where the compiler refuses the network, as too large for the configuration.

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
        return micro, False
    machine = Executor(image, graph, MachineTarget(image, check_hazards=True))
    _assert_same(machine.infer_now(inputs), wanted, "machine level")
    if rtl:
        for stall in (0, 30):
            (run,) = simulate(image, graph, [inputs], stall=stall, seed=seed + 1)
            _assert_same(run.outputs, wanted, f"RTL with {stall} % stalls")
    return micro, True


def _assert_same(mine: list[np.ndarray], wanted: list[np.ndarray], what: str) -> None:
    for index, (a, b) in enumerate(zip(mine, wanted, strict=True)):
        if not np.array_equal(a, b):
            raise AssertionError(f"{what}: output {index} differs in {np.count_nonzero(a != b)} of {b.size} values")


def _config(seed: int) -> AcceleratorConfig:
    """Configuration that the network of a seed is compiled for."""
    return CONFIGS[seed % len(CONFIGS)]


def _error(seed: int, limit: int | None, rtl: bool) -> tuple[str, tuple[bool, bool], int]:
    """Error of a network ("" when there is none), the levels that took part as of `compare`, and operators."""
    graph = random_graph(seed, limit=limit)
    try:
        return "", compare(graph, _config(seed), seed, rtl=rtl), len(graph.operators)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", (False, False), len(graph.operators)


def shrunk(seed: int, rtl: bool) -> int | None:
    """Fewest steps of a failing network that still fail; None when only the whole one does."""
    limits = (limit for limit in range(1, 9) if random_graph(seed, limit=limit).operators)
    return next((limit for limit in limits if _error(seed, limit, rtl)[0]), None)


def check_seed(seed: int, rtl_share: int = 0) -> Verdict:
    """Check the network of a seed, on the RTL too for one in `rtl_share` seeds of its configuration."""
    rtl = rtl_share > 0 and seed // len(CONFIGS) % rtl_share == 0  # every configuration has its turn
    error, (micro, machine), operators = _error(seed, None, rtl)
    return Verdict(seed=seed, error=error, steps=shrunk(seed, rtl) if error else None, micro=micro, machine=machine,
                   rtl=rtl and machine, operators=operators, config=_config(seed).name)


def _check_all(seeds: Iterator[int], rtl_share: int, ahead: int, pool: Pool, until: float) -> list[Verdict]:
    """Check seeds until there are no more, the time is over or the user interrupts; each is logged when it is done."""
    verdicts: list[Verdict] = []
    stop = []
    before = signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    running = set()
    with open(_LOG, "a") as log:
        while True:
            while len(running) < ahead and not stop and time.monotonic() < until and (seed := next(seeds, None)) is not None:
                running.add(pool.submit(check_seed, seed, rtl_share))
            if not running:
                break
            done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for verdict in (future.result() for future in done):
                verdicts.append(verdict)
                log.write(json.dumps(asdict(verdict)) + "\n")
                log.flush()
                if verdict.error:
                    print(f"seed {verdict.seed}: {verdict.error} (fails from {verdict.steps} steps on)", flush=True)
    signal.signal(signal.SIGINT, before)
    return verdicts


def _figures(verdicts: list[Verdict]) -> Figures:
    """Table of what was compared, by configuration."""
    rows = []
    for name in dict.fromkeys(config.name for config in CONFIGS):
        of_config = [verdict for verdict in verdicts if verdict.config == name]
        rows.append([name, len(of_config), sum(v.operators for v in of_config), sum(v.micro for v in of_config),
                     sum(v.machine for v in of_config), sum(v.rtl for v in of_config), sum(bool(v.error) for v in of_config)])
    first, last = (pick((verdict.seed for verdict in verdicts), default=0) for pick in (min, max))
    failed = [verdict for verdict in verdicts if verdict.error]
    return Figures(
        name="nightly", header=["configuration", "networks", "operators", "= TensorFlow Lite Micro", "= machine level",
                                "= RTL, without and with stalls", "failures"], rows=rows,
        summary=f"{len(verdicts)} random networks, seeds {first} to {last}: {len(failed)} failures.",
        notes=[f"seed {verdict.seed}: {verdict.error}" for verdict in failed[:20]])


def main() -> int:
    """Command line; runs until interrupted, or so many seeds or minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, help="seeds; by default no end")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="networks at a time")
    parser.add_argument("--cluster", metavar="ADDRESS", help="use the workers of a Dask scheduler instead of local processes")
    parser.add_argument("--rtl", type=int, default=20, metavar="N", help="one seed in N runs on the RTL too; 0: none")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/verification.md")
    options = parser.parse_args()
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    seeds = iter(count(options.first) if options.count is None else range(options.first, options.first + options.count))
    until = time.monotonic() + 60 * options.minutes
    with workers(options.jobs, options.cluster) as pool:
        verdicts = _check_all(seeds, options.rtl, 2 * options.jobs, pool, until)
    publish(_figures(verdicts), json_path=options.json, page=PAGE if options.record else None)
    print(f"Seeds are in {_LOG}.")
    return int(any(verdict.error for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
