"""Operators on corresponding elements: ADD, SUB, MUL, SQUARED_DIFFERENCE, RELU and friends, QUANTIZE, DEQUANTIZE."""

import numpy as np

from .arithmetic import (
    activation_range,
    add_parameters,
    quantize_multiplier,
    requantize,
    wrap_int32,
)
from .call import Call

__all__ = [
    "add",
    "dequantize",
    "multiply",
    "quantize",
    "relu",
    "relu6",
    "relu_n1_to_1",
    "square_difference",
    "subtract",
]


def _add_signed(call: Call, sign: int) -> np.ndarray:
    call.require_int8(0, 1)
    parameters = add_parameters(call.tensor(0).scale, call.tensor(1).scale, call.output.scale)
    first = requantize(
        call.offset_value(0).astype(np.int64) << parameters.left_shift,
        parameters.multiplier_1,
        parameters.exponent_1,
        call.rounding,
    )
    second = requantize(
        call.offset_value(1).astype(np.int64) << parameters.left_shift,
        parameters.multiplier_2,
        parameters.exponent_2,
        call.rounding,
    )
    total = first + sign * second
    return call.finish(requantize(total, parameters.multiplier_out, parameters.exponent_out, call.rounding))


def add(call: Call) -> np.ndarray:
    """ADD of two tensors; shapes broadcast as in numpy."""
    return _add_signed(call, 1)


def subtract(call: Call) -> np.ndarray:
    """SUB of two tensors; shapes broadcast as in numpy."""
    return _add_signed(call, -1)


def multiply(call: Call) -> np.ndarray:
    """MUL of two tensors; shapes broadcast as in numpy."""
    call.require_int8(0, 1)
    multiplier, exponent = quantize_multiplier(
        call.tensor(0).scale * call.tensor(1).scale / call.output.scale
    )
    products = call.offset_value(0).astype(np.int64) * call.offset_value(1)
    return call.finish(requantize(products, multiplier, exponent, call.rounding))


def square_difference(call: Call) -> np.ndarray:
    """SQUARED_DIFFERENCE of two tensors; shapes broadcast as in numpy."""
    call.require_int8(0, 1)
    left_shift = 7  # the square of a difference of two 16-bit numbers fits 32 bits
    scales = call.tensor(0).scale, call.tensor(1).scale
    twice_max = 2.0 * max(scales)
    rescaled = [
        requantize(
            call.offset_value(i).astype(np.int64) << left_shift,
            *quantize_multiplier(scales[i] / twice_max),
            call.rounding,
        )
        for i in (0, 1)
    ]
    squares = wrap_int32((rescaled[0] - rescaled[1]) ** 2)
    factor = twice_max * twice_max / ((1 << 2 * left_shift) * call.output.scale)
    return call.finish(requantize(squares, *quantize_multiplier(factor), call.rounding))


def _rescale(call: Call) -> np.ndarray:
    """The input in the output's quantisation, without zero point."""
    factor = quantize_multiplier(call.tensor(0).scale / call.output.scale)
    return requantize(call.offset_value(0), *factor, call.rounding)


def relu(call: Call) -> np.ndarray:
    """RELU as an operator of its own: rescale, then clamp."""
    call.require_int8(0)
    return call.finish(_rescale(call), "RELU")


def relu6(call: Call) -> np.ndarray:
    """RELU6 as an operator of its own: TFLite Micro clamps in the input's quantisation and does not rescale."""
    call.require_int8(0)
    low, high = activation_range("RELU6", call.tensor(0).scale, call.tensor(0).zero_point)
    return call.shaped(np.clip(call.value(0), low, high))


def relu_n1_to_1(call: Call) -> np.ndarray:
    """RELU_N1_TO_1 as an operator of its own: rescale, then clamp (TFLite Micro lacks it; LiteRT's rule)."""
    call.require_int8(0)
    return call.finish(_rescale(call), "RELU_N1_TO_1")


_INTEGERS = (np.int8, np.uint8)


def quantize(call: Call) -> np.ndarray:
    """QUANTIZE: float32 to int8, or between 8-bit integers of different scales."""
    source, output = call.tensor(0), call.output
    if output.dtype not in _INTEGERS or output.quantization is None:
        call.reject(
            f"the output is {output.type_name or output.dtype}, only quantised 8-bit integers are implemented"
        )
    if source.dtype in _INTEGERS and source.quantization is not None:
        return call.finish(_rescale(call), "NONE")
    if source.dtype != np.float32:
        call.reject(
            f"the input is {source.type_name or source.dtype}, only FLOAT32 and 8-bit integers are implemented"
        )
    scaled = (call.value(0) / np.float32(output.scale)).astype(np.float64)
    return call.finish(np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int64), "NONE")


def dequantize(call: Call) -> np.ndarray:
    """DEQUANTIZE: int8 to float32."""
    source, output = call.tensor(0), call.output
    if source.dtype not in _INTEGERS or source.quantization is None or output.dtype != np.float32:
        call.reject("only quantised 8-bit integers to FLOAT32 is implemented")
    return call.shaped((source.scale * call.offset_value(0)).astype(np.float32))
