"""Functions of one int8 number: LOGISTIC, TANH and RSQRT as 256-entry tables, and SOFTMAX over the last axis."""

import math

import numpy as np

from .arithmetic import high_multiply, quantize_multiplier, requantize, shift_right_rounding
from .call import Call
from .fixed_point import exp_negative, inverse_square_root, logistic, reciprocal, tanh

__all__ = ["apply_logistic", "apply_rsqrt", "apply_softmax", "apply_tanh"]

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


def apply_softmax(call: Call) -> np.ndarray:
    """SOFTMAX of int8 over the last axis, output scale 1/256 and zero point -128.

    Differences to the largest element become Q5, their exponentials Q0; the sum is Q12, its reciprocal Q0.
    """
    _require_output(call, 1 / 256, -128)
    integer_bits, sum_bits = 5, 12
    factor = min(call.options["beta"] * call.tensor(0).scale * (1 << (31 - integer_bits)), (1 << 31) - 1.0)
    if factor <= 1:
        call.reject("beta times the input's scale is too small")
    multiplier, exponent = quantize_multiplier(factor)
    radius = math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**exponent)
    values = call.value(0).astype(np.int64)
    differences = values - values.max(axis=-1, keepdims=True)
    near = differences >= -radius  # further down, the exponential counts as zero
    raw = high_multiply(np.where(near, differences, 0) << exponent, multiplier)
    exponentials = exp_negative(raw, integer_bits)
    terms = np.where(near, shift_right_rounding(exponentials, sum_bits), 0)
    scale, bits = reciprocal(terms.sum(axis=-1, keepdims=True), sum_bits)
    if np.any(bits + 31 - 8 > 31):
        call.reject("the sum of the exponentials exceeds 256")
    outputs = shift_right_rounding(high_multiply(scale, exponentials), bits + 31 - 8) - 128
    return call.shaped(np.clip(np.where(near, outputs, -128), -128, 127).astype(np.int8))
