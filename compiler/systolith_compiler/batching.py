"""Several samples in one run, so that they share every load of weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .graph import Graph, UnsupportedError

__all__ = ["batched", "join_samples", "split_outputs"]

# Operators that treat each sample, the first axis, alike and on its own.
_PER_SAMPLE = frozenset({"FULLY_CONNECTED", "ADD", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "SOFTMAX", "LOGISTIC", "TANH"})


def batched(graph: Graph, batch: int) -> Graph:
    """The network for `batch` samples at once: the first axis of every activation becomes `batch`.

    Raises
    ------
    UnsupportedError
        An operator does not treat the samples alike, or an activation has no batch axis of 1.
    """
    if batch == 1:
        return graph
    for operator in graph.operators:
        if operator.kind not in _PER_SAMPLE:
            raise UnsupportedError(graph, operator, "a batch above 1 needs a network of fully connected layers and "
                                                    "elementwise operators")
        for index in (*operator.inputs, *operator.outputs):
            tensor = graph.tensors[index] if index >= 0 else None
            if tensor is not None and tensor.data is None and (len(tensor.shape) < 2 or tensor.shape[0] != 1):
                raise UnsupportedError(graph, operator, f"a batch above 1 needs activations with a first axis of 1, not "
                                                        f"{tensor.name!r} of shape {list(tensor.shape)}")
    used = {index for operator in graph.operators for index in (*operator.inputs, *operator.outputs) if index >= 0}
    tensors = [replace(tensor, shape=(batch, *tensor.shape[1:])) if tensor.index in used and tensor.data is None else tensor
               for tensor in graph.tensors]
    return replace(graph, tensors=tensors)


def join_samples(graph: Graph, samples: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Inputs of the batched network `graph` from those of its samples; missing ones repeat the last."""
    joined = []
    for position, index in enumerate(graph.inputs):
        shape = graph.tensors[index].shape
        rows = [np.reshape(sample[position], shape[1:]) for sample in samples]
        joined.append(np.stack(rows + rows[-1:] * (shape[0] - len(rows))))
    return joined


def split_outputs(outputs: Sequence[np.ndarray], count: int) -> list[list[np.ndarray]]:
    """Outputs of the first `count` samples from those of a batched network."""
    return [[output[number:number + 1] for output in outputs] for number in range(count)]
