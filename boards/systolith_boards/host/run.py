"""Runs networks on a board: one call from image and inputs to outputs and cycles."""

from collections.abc import Callable, Sequence

import numpy as np

from systolith_boards.host.device import BoardTarget
from systolith_boards.host.link import Link
from systolith_compiler.graph import Graph
from systolith_compiler.image import Image
from systolith_sim.executor import Executor
from systolith_sim.network_run import SampleRun

__all__ = ["run_on_board"]


def run_on_board(link: Link, image: Image, graph: Graph, samples: Sequence[Sequence[np.ndarray]], *,
                 progress: Callable[[int], None] | None = None) -> list[SampleRun]:
    """Run inferences on a board; see `systolith_sim.network_run.simulate`. Nothing is known of single layers.

    Raises
    ------
    LinkError
        The board does not answer, or does not fit the image.
    RunError
        A program failed.
    """
    target = BoardTarget(link, image)
    executor = Executor(image, graph, target)
    runs = []
    for sample in samples:
        target.begin()
        outputs = executor.infer_now(sample)
        runs.append(SampleRun(outputs, target.counters["CYCLES"], dict(target.counters), {}))
        if progress:
            progress(len(runs))
    return runs
