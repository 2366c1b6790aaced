"""Transcendental functions in 32-bit fixed point, as TFLite's integer kernels evaluate them.

Numbers are int64 arrays holding int32 "raw" values. A format with i integer bits, Qi.(31 - i), has the value
raw / 2**(31 - i); formats are named Qi below. Products of Qa and Qb are Q(a + b) through `high_multiply`.
The polynomial, the table of exponentials and the Newton iterations are those of the gemmlowp library, whose
results TFLite is defined by; published constants are exp(-2**k) and 48/17, 32/17 in Q0 and Q2.
"""

from functools import cache

import numpy as np

from .arithmetic import INT32_MAX, INT32_MIN, divide_truncating, high_multiply, shift_right_rounding

__all__ = ["exp_negative", "inverse_square_root", "logistic", "reciprocal", "tanh"]

_ONE = INT32_MAX  # 1.0 in Q0, which has no exact one
_EXP_MINUS_EIGHTH = 1895147668  # exp(-1/8), Q0
_ONE_THIRD = 715827883  # 1/3, Q0
_EXP_TABLE = (  # exp(-2**k) in Q0 for k = -2, -1, ...
    1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242,
)  # fmt: skip
_48_OVER_17 = 1515870810  # Q2
_MINUS_32_OVER_17 = -1010580540  # Q2


def _shift_left_saturating(raw: np.ndarray, amount: int) -> np.ndarray:
    return np.clip(np.asarray(raw, np.int64) << amount, INT32_MIN, INT32_MAX)


def _exp_quarter(raw: np.ndarray) -> np.ndarray:
    """exp of a Q0 number in [-1/4, 0): a polynomial of degree four around -1/8."""
    x = raw + (1 << 28)
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4_over_4 = shift_right_rounding(high_multiply(x2, x2), 2)
    tail = shift_right_rounding(high_multiply(x4_over_4 + x3, _ONE_THIRD) + x2, 1)
    return _EXP_MINUS_EIGHTH + high_multiply(np.int64(_EXP_MINUS_EIGHTH), x + tail)


def exp_negative(raw: np.ndarray, integer_bits: int) -> np.ndarray:
    """exp of numbers <= 0.

    Parameters
    ----------
    raw : np.ndarray
        Q`integer_bits`, not positive.
    integer_bits : int
        4 or 5.

    Returns
    -------
    np.ndarray
        Q0.
    """
    raw = np.asarray(raw, np.int64)
    fraction_bits = 31 - integer_bits
    quarter = np.int64(1) << (fraction_bits - 2)
    low = (raw & (quarter - 1)) - quarter  # in [-1/4, 0)
    result = _exp_quarter(_shift_left_saturating(low, integer_bits))
    remainder = low - raw  # a multiple of 1/4, the rest of the exponent
    for k, factor in enumerate(_EXP_TABLE[: integer_bits + 2]):
        bit = np.int64(1) << (fraction_bits - 2 + k)
        result = np.where(remainder & bit, high_multiply(result, factor), result)
    return np.where(raw == 0, _ONE, result)


def _newton_reciprocal(raw: np.ndarray) -> np.ndarray:
    """2 / (1 + a) in Q2 for a Q0 number a in [0, 1]: three Newton iterations."""
    total = np.asarray(raw, np.int64) + _ONE
    half_denominator = divide_truncating(total + np.where(total >= 0, 1, -1), 2)
    x = _48_OVER_17 + high_multiply(half_denominator, _MINUS_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - high_multiply(half_denominator, x)
        x = x + _shift_left_saturating(high_multiply(x, error), 2)
    return x


def reciprocal(raw: np.ndarray, integer_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """1 / x for positive Q`integer_bits` numbers.

    Returns
    -------
    scale : np.ndarray
        Q0, in [1/2, 1].
    bits : np.ndarray
        1 / x = scale * 2**-bits; bits may be negative.
    """
    raw = np.asarray(raw, np.int64)
    headroom = 32 - np.frexp(raw.astype(np.float64))[1].astype(np.int64)  # leading zeros of a 32-bit number
    normalised = (raw << headroom) - (1 << 31)
    return _shift_left_saturating(_newton_reciprocal(normalised), 1), integer_bits - headroom


def logistic(raw: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) of Q4 numbers, in Q0."""
    raw = np.asarray(raw, np.int64)
    positive = _shift_left_saturating(_newton_reciprocal(exp_negative(-np.abs(raw), 4)), 1)
    result = np.where(raw > 0, positive, _ONE - positive)
    return np.where(raw == 0, 1 << 30, result)


def tanh(raw: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent of Q4 numbers, in Q0."""
    raw = np.asarray(raw, np.int64)
    exponential = exp_negative(-np.abs(raw), 5)  # exp(-2|x|): the same bits read with one more integer bit
    magnitude = _shift_left_saturating(_newton_reciprocal(exponential) - (1 << 29), 2)
    return np.where(raw == 0, 0, np.where(raw < 0, -magnitude, magnitude))


@cache
def inverse_square_root(value: int) -> tuple[int, int]:
    """1 / sqrt of a positive integer as (multiplier, exponent): multiplier * 2**(exponent - 31).

    The multiplier is Q0; five Newton iterations from 1 in Q3.
    """
    if value <= 1:
        return INT32_MAX, 0
    shift = 11
    while value >= 1 << 29:
        value //= 4
        shift += 1
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    shift -= pairs
    value <<= 2 * pairs
    half_input = shift_right_rounding(np.int64(value >> 1), 1)
    half_three = np.int64((1 << 28) + (1 << 27))
    x = np.int64(1 << 28)
    for _ in range(5):
        cube = _shift_left_saturating(high_multiply(high_multiply(x, x), x), 6)
        x = _shift_left_saturating(high_multiply(half_three, x) - high_multiply(half_input, cube), 3)
    result = int(high_multiply(x, np.int64(1518500250)))  # sqrt(2) / 2 in Q0
    if shift < 0:
        result <<= -shift
        shift = 0
    return result, -shift
