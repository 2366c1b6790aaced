"""Evaluates the operators with which Keras exports compute a shape at run time.

A Keras model with a free batch reshapes through SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE. Shapes are fixed
here, so the chain is a constant: it is evaluated when the file is read and leaves the graph.
"""

from dataclasses import replace

import numpy as np

from .graph import Graph, Operator

__all__ = ["fold_shape_arithmetic", "strided_slice_index"]

_INDEX_TYPES = (np.dtype(np.int32), np.dtype(np.int64))


def fold_shape_arithmetic(graph: Graph) -> Graph:
    """Replace integer tensors computable from shapes and constants by constants.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        The same tensors, some now constant, without the operators that computed them. Remaining operators
        keep their `index`. Only int32 and int64 tensors are folded, and never outputs of the graph.
    """
    tensors = list(graph.tensors)
    remaining = []
    for operator in graph.operators:
        value = _evaluate(graph, tensors, operator)
        if value is None:
            remaining.append(operator)
            continue
        tensor = tensors[operator.outputs[0]]
        value = np.array(value, tensor.dtype, order="C").reshape(tensor.shape)
        value.setflags(write=False)
        tensors[tensor.index] = replace(tensor, data=value)
    return replace(graph, tensors=tensors, operators=remaining)


def _evaluate(graph: Graph, tensors: list, operator: Operator) -> np.ndarray | None:
    """Value of an operator's output if it is an index tensor known now, else None."""
    if len(operator.outputs) != 1 or operator.outputs[0] in graph.outputs:
        return None
    output = tensors[operator.outputs[0]]
    if output.dtype not in _INDEX_TYPES or -1 in operator.inputs:
        return None
    if operator.kind == "SHAPE" and len(operator.inputs) == 1:
        value = np.array(tensors[operator.inputs[0]].shape)
        return value if value.size == output.size else None
    operands = [tensors[t].data for t in operator.inputs]
    if not operands or any(data is None for data in operands):
        return None
    if operator.kind == "PACK":
        value = np.stack(operands, axis=operator.options["axis"])
    elif operator.kind == "STRIDED_SLICE" and len(operands) == 4:
        index = strided_slice_index(operands[0].shape, *operands[1:], operator.options)
        value = None if index is None else operands[0][index]
    elif operator.kind == "CONCATENATION":
        value = np.concatenate(operands, axis=operator.options["axis"])
    else:
        value = None
    return np.asarray(value) if value is not None and np.size(value) == output.size else None


def strided_slice_index(shape, begin, end, strides, options: dict) -> tuple | None:
    """The numpy index of a STRIDED_SLICE.

    Parameters
    ----------
    shape : tuple of int
        Shape of the input.
    begin, end, strides : np.ndarray
        One entry per leading axis of the input.
    options : dict
        `begin_mask`, `end_mask`, `shrink_axis_mask`, `offset`; other masks are not implemented.

    Returns
    -------
    tuple or None
        Slices and, for shrunk axes, integers. None when a mask is used that is not implemented.
    """
    if options["ellipsis_mask"] or options["new_axis_mask"] or options["offset"]:
        return None
    index = []
    for axis, (first, last, step) in enumerate(
        zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)
    ):
        bit, size = 1 << axis, shape[axis]
        if options["shrink_axis_mask"] & bit:
            index.append(first + size if first < 0 else first)
            continue
        forward = step > 0
        start = None if options["begin_mask"] & bit else first
        stop = None if options["end_mask"] & bit else last
        if not forward and stop is not None and stop < -size:
            stop = None  # numpy would count from the end again
        index.append(slice(start, stop, step))
    return tuple(index)
