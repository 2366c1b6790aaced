"""Functions of one int8 number: LOGISTIC, TANH and RSQRT as 256-entry tables, and SOFTMAX over the last axis."""

import math

import numpy as np

from .arithmetic import high_multiply, quantize_multiplier, requantize, shift_right_rounding
from .call import Call
from .fixed_point import exp_negative, inverse_square_root, logistic, reciprocal, tanh

__all__ = [
    "apply_logistic", "apply_rsqrt", "apply_softmax", "apply_tanh", "softmax_exponentials", "softmax_scale",
]

_CODES = np.arange(-128, 128, dtype=np.int64)


def _look_up(call: Call, table: np.ndarray) -> np.ndarray:
    """Apply a table indexed by the stored value plus 128."""
    return call.shaped(np.clip(table, -128, 127).astype(np.int8)[call.value(0).astype(np.int64) + 128])


def _require_output(call: Call, scale: float, zero_point: int) -> None:
    call.require_int8(0)
    if call.output.scale != scale or call.output.zero_point != zero_point:
        call.reject(
            f"its output must have scale {scale} and zero point {zero_point}, "
            f"not {call.output.scale} and {call.output.zero_point}"
        )


def _sigmoid_table(call: Call, function, fraction_bits: int, offset: int) -> np.ndarray:
    """Table of a function on [-16, 16), saturating where the input leaves that range."""
    centred = _CODES - call.tensor(0).zero_point
    multiplier, exponent = quantize_multiplier(call.tensor(0).scale * (1 << 27))
    radius = math.floor(15 * 2.0**27 / 2.0**exponent)
    raw = requantize(centred, multiplier, exponent)
    table = shift_right_rounding(function(raw), 31 - fraction_bits) + offset
    return np.where(centred <= -radius, -128, np.where(centred >= radius, 127, table))


def apply_logistic(call: Call) -> np.ndarray:
    """LOGISTIC of int8, output scale 1/256 and zero point -128."""
    _require_output(call, 1 / 256, -128)
    return _look_up(call, _sigmoid_table(call, logistic, 8, -128))


def apply_tanh(call: Call) -> np.ndarray:
    """TANH of int8, output scale 1/128 and zero point 0."""
    _require_output(call, 1 / 128, 0)
    return _look_up(call, _sigmoid_table(call, tanh, 7, 0))


def apply_rsqrt(call: Call) -> np.ndarray:
    """RSQRT of int8; zero gives the largest output, negative numbers are rejected."""
    call.require_int8(0)
    if np.any(call.offset_value(0) < 0):
        call.reject("an input is negative")
    guard = 20  # the inverse root is kept with this many fraction bits
    scale = call.tensor(0).scale
    multiplier, exponent = quantize_multiplier(1.0 / (math.sqrt(scale) * call.output.scale))
    table = np.full(256, 127, np.int64)
    for index, code in enumerate(_CODES.tolist()):
        value = code - call.tensor(0).zero_point
        if value > 0:
            root, root_exponent = inverse_square_root(value)
            data = requantize(np.int64(1), root, root_exponent + guard)
            table[index] = requantize(data, multiplier, exponent - guard) + call.output.zero_point
    return _look_up(call, table)


def softmax_exponentials(scale: float, beta: float) -> np.ndarray | None:
    """exp(-beta * scale * d) for distances d = 0 to 255 from the largest element.

    The distance becomes Q5, its exponential Q0; from a certain distance on it counts as zero.

    Returns
    -------
    np.ndarray or None
        int64 in Q0.31, shape (256,); None if beta times scale is too small.
    """
    integer_bits = 5
    factor = min(beta * scale * (1 << (31 - integer_bits)), (1 << 31) - 1.0)
    if factor <= 1:
        return None
    multiplier, exponent = quantize_multiplier(factor)
    radius = math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**exponent)
    distances = np.arange(256, dtype=np.int64)
    near = distances <= radius
    raw = high_multiply(np.where(near, -distances, 0) << exponent, multiplier)
    return np.where(near, exp_negative(raw, integer_bits), 0)


def softmax_scale(exponentials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reciprocal of the sum over the last axis, as (multiplier, exponent) of a requantisation to Q8.

    The exponentials are rounded to Q12 before they are added.
    """
    sum_bits = 12
    scale, bits = reciprocal(shift_right_rounding(exponentials, sum_bits).sum(axis=-1, keepdims=True), sum_bits)
    return scale, -(bits + 31 - 8)


def apply_softmax(call: Call) -> np.ndarray:
    """SOFTMAX of int8 over the last axis, output scale 1/256 and zero point -128."""
    _require_output(call, 1 / 256, -128)
    table = softmax_exponentials(call.tensor(0).scale, call.options["beta"])
    if table is None:
        call.reject("beta times the input's scale is too small")
    values = call.value(0).astype(np.int64)
    exponentials = table[values.max(axis=-1, keepdims=True) - values]
    scale, exponent = softmax_scale(exponentials)
    if np.any(exponent < -31):
        call.reject("the sum of the exponentials exceeds 256")
    outputs = shift_right_rounding(high_multiply(scale, exponentials), -exponent) - 128
    return call.shaped(np.clip(outputs, -128, 127).astype(np.int8))
