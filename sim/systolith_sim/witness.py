"""TensorFlow Lite Micro in a process of its own: a network that makes it abort must not end the caller."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from systolith_compiler.graph import Graph
from systolith_golden.reference import TfliteMicro

__all__ = ["tflite_micro_outputs"]

# Its SPACE_TO_BATCH_ND pads with uninitialised values (tflite-micro issue 1646): nothing to compare with.
_BROKEN = {"SPACE_TO_BATCH_ND"}


def _run(model: Path, samples: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    runtime = TfliteMicro(model)
    return [runtime.run(sample) for sample in samples]


def tflite_micro_outputs(graph: Graph, model: Path, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]] | None:
    """Outputs of TensorFlow Lite Micro.

    Parameters
    ----------
    graph : Graph
        What `model` holds.
    model : Path
    samples : sequence of sequences of np.ndarray

    Returns
    -------
    list of list of np.ndarray, or None
        None where TensorFlow Lite Micro refuses the network, aborts on it, or is known to be wrong.
    """
    if _BROKEN & {operator.kind for operator in graph.operators}:
        return None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_run, model, [list(sample) for sample in samples]).result()
        except (RuntimeError, BrokenProcessPool):
            return None
