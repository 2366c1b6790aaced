"""The integer arithmetic that all operators share, exactly as TensorFlow Lite Micro computes it.

Real-valued factors M (ratios of scales) become a 31-bit multiplier and a power of two. Accumulators are 32-bit
and wrap; products are 64-bit; every right shift rounds. Two rounding rules are implemented:

``double`` (TensorFlow Lite Micro, all operators)
    high = (acc * 2**max(e, 0) * qm + 2**30) >> 31, to nearest, ties up; then high is shifted right by
    max(-e, 0), to nearest, ties away from zero. (TFLite writes the first step as a division toward zero with
    2**30 or, for a negative product, 1 - 2**30 added; the two are the same function.)
``single`` (one rounding; close to what desktop runtimes give)
    (acc * qm + 2**(30 - e)) >> (31 - e), to nearest, ties up.
"""

import math
from typing import NamedTuple

import numpy as np

__all__ = [
    "ACTIVATION_BOUNDS",
    "AddParameters",
    "activation_range",
    "add_parameters",
    "divide_truncating",
    "high_multiply",
    "mean_multiplier",
    "quantize_multiplier",
    "quantize_multipliers",
    "requantize",
    "round_half_away",
    "shift_right_rounding",
    "wrap_int32",
]

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1

# Real bounds of the fused activations; None is the end of the integer range.
ACTIVATION_BOUNDS = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def round_half_away(value: float) -> int:
    """Nearest integer, ties away from zero (C's `round`), of a number below 2**52."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Express a real factor as an integer multiplier and an exponent: real ~ qm * 2**(e - 31).

    Parameters
    ----------
    real : float
        Non-negative factor, computed in double precision.

    Returns
    -------
    qm : int
        0, or 2**30 <= qm < 2**31.
    e : int
        At least -31; smaller factors become (0, 0), as TFLite flushes them.
    """
    if not (math.isfinite(real) and real >= 0):
        raise ValueError(f"Multiplier must be finite and not negative, not {real!r}")
    if real == 0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    multiplier = round_half_away(fraction * (1 << 31))
    if multiplier == 1 << 31:
        multiplier //= 2
        exponent += 1
    if exponent < -31:
        return 0, 0
    return multiplier, exponent


def quantize_multipliers(reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`quantize_multiplier` for a vector: int64 multipliers and int64 exponents."""
    pairs = [quantize_multiplier(float(real)) for real in np.atleast_1d(reals)]
    return np.array([qm for qm, _ in pairs], np.int64), np.array([e for _, e in pairs], np.int64)


def wrap_int32(values: np.ndarray) -> np.ndarray:
    """Keep the low 32 bits as a signed number, in int64 (what a C int32 holds after overflow)."""
    return np.asarray(values, np.int64).astype(np.int32).astype(np.int64)


def high_multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rounded high half of a doubled product: a * b / 2**31.

    Parameters
    ----------
    a, b : np.ndarray
        Integers in int32 range; they broadcast.

    Returns
    -------
    np.ndarray
        int64 in int32 range: (a * b + 2**30) >> 31, to nearest, ties up. The one overflowing case, both
        operands -2**31, saturates.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.minimum((product + (1 << 30)) >> 31, INT32_MAX)


def shift_right_rounding(values: np.ndarray, amount: np.ndarray | int) -> np.ndarray:
    """Divide by 2**amount, to nearest, ties away from zero.

    Parameters
    ----------
    values : np.ndarray
        Integers.
    amount : np.ndarray or int
        0 to 31; broadcasts.
    """
    values = np.asarray(values, np.int64)
    mask = (np.int64(1) << np.asarray(amount, np.int64)) - 1
    threshold = (mask >> 1) + (values < 0)
    return (values >> amount) + ((values & mask) > threshold)


def requantize(
    accumulators: np.ndarray,
    multiplier: np.ndarray | int,
    exponent: np.ndarray | int,
    rounding: str = "double",
) -> np.ndarray:
    """Scale accumulators by qm * 2**(e - 31) and round.

    Parameters
    ----------
    accumulators : np.ndarray
        Integers in int32 range, channels last.
    multiplier, exponent : np.ndarray or int
        From `quantize_multiplier`; one each, or one per channel (they broadcast against the last axis).
    rounding : str
        "double" or "single"; see the module's description.

    Returns
    -------
    np.ndarray
        int64 in int32 range, without the output's zero point. With "double", a left shift (positive exponent)
        wraps at 32 bits before the multiplication, as in C; with "single" the result saturates.
    """
    accumulators = np.asarray(accumulators, np.int64)
    multiplier = np.asarray(multiplier, np.int64)
    exponent = np.asarray(exponent, np.int64)
    if rounding == "double":
        shifted = (
            wrap_int32(accumulators << np.maximum(exponent, 0)) if np.any(exponent > 0) else accumulators
        )
        return shift_right_rounding(high_multiply(shifted, multiplier), np.maximum(-exponent, 0))
    if rounding == "single":
        product = accumulators * multiplier + (np.int64(1) << (30 - exponent))
        return np.clip(product >> (31 - exponent), INT32_MIN, INT32_MAX)
    raise ValueError(f"Rounding must be 'double' or 'single', not {rounding!r}")


def divide_truncating(numerators: np.ndarray, denominators: np.ndarray | int) -> np.ndarray:
    """Integer division toward zero by a positive number, as in C."""
    numerators = np.asarray(numerators, np.int64)
    return np.sign(numerators) * (np.abs(numerators) // denominators)


def activation_range(
    activation: str, scale: float, zero_point: int, dtype: np.dtype | type = np.int8
) -> tuple[int, int]:
    """Bounds that a fused activation puts on a quantised output.

    Parameters
    ----------
    activation : str
        A key of `ACTIVATION_BOUNDS`.
    scale, zero_point : float, int
        Quantisation of the output. The bound is divided by the scale in float32, as TFLite does.
    dtype : np.dtype
        Integer type of the output.

    Returns
    -------
    low, high : int
        Inclusive.

    Raises
    ------
    ValueError
        The activation is none of those.
    """
    if activation not in ACTIVATION_BOUNDS:
        raise ValueError(f"Activation must be one of {', '.join(ACTIVATION_BOUNDS)}, not {activation!r}")
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    lower, upper = ACTIVATION_BOUNDS[activation]
    if lower is not None:
        low = max(low, zero_point + round_half_away(float(np.float32(lower) / np.float32(scale))))
    if upper is not None:
        high = min(high, zero_point + round_half_away(float(np.float32(upper) / np.float32(scale))))
    return low, high


class AddParameters(NamedTuple):
    """How a quantised addition rescales its operands and its sum.

    Each operand, without its zero point, is shifted left by `left_shift` and requantised; the sum is
    requantised to the output.
    """

    left_shift: int
    multiplier_1: int
    exponent_1: int
    multiplier_2: int
    exponent_2: int
    multiplier_out: int
    exponent_out: int


def add_parameters(scale_1: float, scale_2: float, scale_out: float) -> AddParameters:
    """Rescaling factors of ADD and SUB on int8 tensors with the given scales."""
    left_shift = 20  # 255 << 20 stays below 2**28, so the sum of two fits easily
    twice_max = 2.0 * max(scale_1, scale_2)
    return AddParameters(
        left_shift,
        *quantize_multiplier(scale_1 / twice_max),
        *quantize_multiplier(scale_2 / twice_max),
        *quantize_multiplier(twice_max / ((1 << left_shift) * scale_out)),
    )


def mean_multiplier(multiplier: int, exponent: int, count: int) -> tuple[int, int]:
    """Fold the division by the number of averaged elements into a requantisation.

    Parameters
    ----------
    multiplier, exponent : int
        Of the ratio of input to output scale.
    count : int
        Number of elements that each output averages, at least 1.

    Returns
    -------
    multiplier, exponent : int
        To be applied to the sum of (element - zero point).
    """
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return (multiplier << shift) // count, exponent - shift
