"""The operators of the tensor-level golden model, by TFLite's names, and how much work each one is."""

from collections.abc import Callable

import numpy as np

from systolith_compiler.graph import Graph, Operator

from . import convolution, elementwise, movement, pooling, tables
from .call import Call

__all__ = ["OPERATORS", "macs"]

OPERATORS: dict[str, Callable[[Call], np.ndarray]] = {
    "CONV_2D": convolution.convolve,
    "DEPTHWISE_CONV_2D": convolution.convolve_depthwise,
    "FULLY_CONNECTED": convolution.fully_connect,
    "ADD": elementwise.add,
    "SUB": elementwise.subtract,
    "MUL": elementwise.multiply,
    "SQUARED_DIFFERENCE": elementwise.square_difference,
    "RELU": elementwise.relu,
    "RELU6": elementwise.relu6,
    "RELU_N1_TO_1": elementwise.relu_n1_to_1,
    "QUANTIZE": elementwise.quantize,
    "DEQUANTIZE": elementwise.dequantize,
    "MAX_POOL_2D": pooling.pool_maximum,
    "AVERAGE_POOL_2D": pooling.pool_average,
    "MEAN": pooling.reduce_mean,
    "PAD": movement.pad,
    "PADV2": movement.pad,
    "RESHAPE": movement.reshape,
    "SQUEEZE": movement.reshape,
    "EXPAND_DIMS": movement.reshape,
    "TRANSPOSE": movement.transpose,
    "CONCATENATION": movement.concatenate,
    "STRIDED_SLICE": movement.slice_strided,
    "GATHER": movement.gather,
    "SPACE_TO_BATCH_ND": movement.space_to_batch,
    "BATCH_TO_SPACE_ND": movement.batch_to_space,
    "SOFTMAX": tables.apply_softmax,
    "LOGISTIC": tables.apply_logistic,
    "TANH": tables.apply_tanh,
    "RSQRT": tables.apply_rsqrt,
}


def macs(graph: Graph, operator: Operator) -> int:
    """Multiply-accumulate operations of one operator, padding included; 0 for all but products with weights."""
    match operator.kind:
        case "CONV_2D":
            weights = graph.tensors[operator.inputs[1]].shape
            return graph.output_tensor(operator).size * weights[1] * weights[2] * weights[3]
        case "DEPTHWISE_CONV_2D":
            weights = graph.tensors[operator.inputs[1]].shape
            return graph.output_tensor(operator).size * weights[1] * weights[2]
        case "FULLY_CONNECTED":
            return graph.output_tensor(operator).size * graph.tensors[operator.inputs[1]].shape[1]
        case _:
            return 0
