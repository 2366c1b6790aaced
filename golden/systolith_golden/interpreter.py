"""Runs a whole network on numpy arrays: the tensor level of the golden models."""

from collections.abc import Sequence

import numpy as np

from systolith_compiler.graph import Graph, ModelError, UnsupportedError

from .call import Call
from .operators import OPERATORS

__all__ = ["check_supported", "run", "run_outputs"]


def check_supported(graph: Graph) -> None:
    """Raise UnsupportedError for the first operator whose kind is not implemented."""
    for operator in graph.operators:
        if operator.kind not in OPERATORS:
            raise UnsupportedError(graph, operator, "this operator is not implemented")


def run(graph: Graph, inputs: Sequence[np.ndarray], rounding: str = "double") -> dict[int, np.ndarray]:
    """Run one inference.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of np.ndarray
        One array per graph input, of exactly its shape and type.
    rounding : str
        "double" is TensorFlow Lite Micro's rule, "single" rounds once; see `arithmetic`.

    Returns
    -------
    dict of int to np.ndarray
        Every activation tensor by its index: the inputs and all that operators computed.

    Raises
    ------
    UnsupportedError
        An operator, type or option is not implemented.
    ModelError
        An operator's tensors do not fit together.
    ValueError
        The inputs have the wrong number, shape or type.
    """
    if len(inputs) != len(graph.inputs):
        raise ValueError(f"Inputs must be {len(graph.inputs)} arrays, not {len(inputs)}")
    values: dict[int, np.ndarray] = {}
    for index, array in zip(graph.inputs, inputs, strict=True):
        tensor = graph.tensors[index]
        array = np.asarray(array)
        if array.shape != tensor.shape or array.dtype != tensor.dtype:
            raise ValueError(
                f"Input {tensor.name!r} must be {tensor.dtype} of shape {tensor.shape}, "
                f"not {array.dtype} of shape {array.shape}"
            )
        values[index] = array
    check_supported(graph)
    for operator in graph.operators:
        call = Call(graph, operator, values, rounding)
        try:
            values[operator.outputs[0]] = np.asarray(OPERATORS[operator.kind](call), order="C")
        except (ValueError, IndexError, ArithmeticError, TypeError, MemoryError) as error:
            raise ModelError(
                f"Operator {operator.index} ({operator.kind}) is inconsistent: {error}"
            ) from error
    return values


def run_outputs(graph: Graph, inputs: Sequence[np.ndarray], rounding: str = "double") -> list[np.ndarray]:
    """Run one inference and return the graph's outputs in order."""
    values = run(graph, inputs, rounding)
    return [values[index] if index in values else graph.tensors[index].data for index in graph.outputs]
