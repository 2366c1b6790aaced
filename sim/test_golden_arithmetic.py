"""The shared integer arithmetic against unlimited Python integers and published vectors."""

import math
from fractions import Fraction

import numpy as np
import pytest

from systolith_golden.arithmetic import (
    activation_range,
    add_parameters,
    divide_truncating,
    high_multiply,
    mean_multiplier,
    quantize_multiplier,
    quantize_multipliers,
    requantize,
    round_half_away,
    shift_right_rounding,
)
from systolith_golden.fixed_point import exp_negative, inverse_square_root, logistic, reciprocal, tanh

EXTREMES = [
    0,
    1,
    -1,
    2,
    -2,
    127,
    -128,
    2**15,
    -(2**15),
    2**30,
    -(2**30),
    2**30 + 128,
    2**31 - 1,
    -(2**31),
    -(2**31) + 1,
]
MULTIPLIERS = [0, 1, 2**30, 2**30 + 1, 1518500250, 2**31 - 2, 2**31 - 1]
EXPONENTS = [-31, -30, -17, -8, -2, -1, 0, 1, 2, 7, 15, 30]


def wrapped(value: int) -> int:
    """A Python integer as C would keep it in 32 bits."""
    return (value + 2**31) % 2**32 - 2**31


def nearest_away(numerator: int, shift: int) -> int:
    """numerator / 2**shift to the nearest integer, ties away from zero, by exact fractions."""
    exact = Fraction(numerator, 2**shift)
    magnitude = math.floor(abs(exact) + Fraction(1, 2))
    return -magnitude if exact < 0 else magnitude


def requantize_double(accumulator: int, multiplier: int, exponent: int) -> int:
    """Rule `double` written with exact fractions instead of shifts and masks."""
    product = wrapped(accumulator * 2 ** max(exponent, 0)) * multiplier
    nudge = 2**30 if product >= 0 else 1 - 2**30
    high = math.trunc(Fraction(product + nudge, 2**31))
    return nearest_away(high, max(-exponent, 0))


def requantize_single(accumulator: int, multiplier: int, exponent: int) -> int:
    """Rule `single` written with exact fractions: to nearest, ties up, saturated."""
    exact = Fraction(accumulator * multiplier, 2 ** (31 - exponent))
    return min(max(math.floor(exact + Fraction(1, 2)), -(2**31)), 2**31 - 1)


@pytest.mark.parametrize(
    ("rounding", "model"), [("double", requantize_double), ("single", requantize_single)]
)
def test_requantize_extremes(rounding, model):
    for multiplier in MULTIPLIERS:
        for exponent in EXPONENTS:
            got = requantize(np.array(EXTREMES), multiplier, exponent, rounding)
            want = [model(accumulator, multiplier, exponent) for accumulator in EXTREMES]
            assert got.tolist() == want, (multiplier, exponent)


@pytest.mark.parametrize(
    ("rounding", "model"), [("double", requantize_double), ("single", requantize_single)]
)
def test_requantize_random(rounding, model):
    rng = np.random.default_rng(1)
    magnitude = rng.integers(1, 32, 4000)
    accumulators = (rng.integers(-(2**31), 2**31, 4000) >> (31 - magnitude)).tolist()
    multipliers = rng.integers(2**30, 2**31, 4000).tolist()
    exponents = rng.integers(-31, 8, 4000).tolist()
    got = requantize(np.array(accumulators), np.array(multipliers), np.array(exponents), rounding)
    want = [model(*case) for case in zip(accumulators, multipliers, exponents, strict=True)]
    assert got.tolist() == want


def test_requantize_ties():
    half, quarter = quantize_multiplier(0.5), quantize_multiplier(0.25)
    # The first rounding, of the product, sends ties up; the second, of the shift, away from zero.
    assert requantize(np.array([1, -1, 3, -3, 5, -5]), *half).tolist() == [1, 0, 2, -1, 3, -2]
    assert requantize(np.array([2, -2, 6, -6, 10, -10]), *quarter).tolist() == [1, -1, 2, -2, 3, -3]
    assert requantize(np.array([1, -1, 3, -3, 5, -5]), *half, "single").tolist() == [1, 0, 2, -1, 3, -2]


def test_requantize_rounds_twice():
    # 0.4999...: the first rounding makes it a tie, the second rounds the tie up.
    multiplier, exponent = 2**30 + 1, -8
    accumulator = 2**8 - 1
    assert requantize(np.array([accumulator]), multiplier, exponent).tolist() == [
        requantize_double(accumulator, multiplier, exponent)
    ]
    rng = np.random.default_rng(2)
    accumulators = rng.integers(-(2**20), 2**20, 200000)
    factor = quantize_multiplier(0.001234)
    double, single = requantize(accumulators, *factor), requantize(accumulators, *factor, "single")
    assert 0 < np.count_nonzero(double != single) < 2000


def test_requantize_per_channel():
    multipliers, exponents = quantize_multipliers(np.array([0.5, 0.25, 0.0, 3.0]))
    assert multipliers.tolist() == [2**30, 2**30, 0, 1610612736]
    assert exponents.tolist() == [0, -1, 0, 2]
    assert requantize(np.array([[100, 100, 100, 100]]), multipliers, exponents).tolist() == [[50, 25, 0, 300]]


def test_requantize_rejects_unknown_rounding():
    with pytest.raises(ValueError, match=r"^Rounding must be 'double' or 'single', not 'even'$"):
        requantize(np.array([1]), 2**30, 0, "even")


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (0.75, (1610612736, 0)),
        (1 - 2.0**-40, (2**30, 1)),  # rounds up to 2**31: halved, one more exponent
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),  # flushed
        (2.0**-32 * (1 - 2.0**-40), (2**30, -31)),  # rounds up before it is flushed
        (123.456, (2071247978, 7)),
    ],
)
def test_quantize_multiplier(real, expected):
    assert quantize_multiplier(real) == expected


@pytest.mark.parametrize("real", [-0.5, math.nan, math.inf])
def test_quantize_multiplier_rejects(real):
    with pytest.raises(ValueError, match=r"^Multiplier must be finite and not negative, not "):
        quantize_multiplier(real)


def test_quantize_multiplier_is_close():
    for real in np.exp(np.random.default_rng(3).uniform(-20, 5, 1000)).tolist():
        multiplier, exponent = quantize_multiplier(real)
        assert 2**30 <= multiplier < 2**31
        assert abs(multiplier * 2.0 ** (exponent - 31) / real - 1) <= 2.0**-31


def test_high_multiply_saturates():
    assert high_multiply(np.int64(-(2**31)), np.int64(-(2**31))) == 2**31 - 1


def test_shift_right_rounding():
    values = [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6]
    assert shift_right_rounding(np.array(values), 2).tolist() == [nearest_away(value, 2) for value in values]
    assert shift_right_rounding(np.array([7, -7]), 0).tolist() == [7, -7]


def test_divide_truncating():
    assert divide_truncating(np.array([7, -7, 8, -8, 0]), 4).tolist() == [1, -1, 2, -2, 0]


def test_round_half_away():
    assert [round_half_away(value) for value in (0.5, -0.5, 1.5, 2.4999, -2.5)] == [1, -1, 2, 2, -3]


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        ("NONE", 0.1, 5, (-128, 127)),
        ("RELU", 0.1, 5, (5, 127)),
        ("RELU", 0.1, -128, (-128, 127)),
        ("RELU6", 0.1, -28, (-28, 32)),
        ("RELU6", 0.0235294122248888, -128, (-128, 127)),
        ("RELU6", 0.01, 0, (0, 127)),
        ("RELU_N1_TO_1", 0.5, 3, (1, 5)),
    ],
)
def test_activation_range(activation, scale, zero_point, expected):
    assert activation_range(activation, scale, zero_point) == expected


def test_activation_range_rejects():
    with pytest.raises(ValueError, match=r"^Activation must be one of NONE, RELU, .*, not 'TANH'$"):
        activation_range("TANH", 0.1, 0)


def test_add_parameters():
    parameters = add_parameters(0.5, 0.25, 1.0)
    assert parameters == (20, 2**30, 0, 2**30, -1, 2**30, -19)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 49, 64, 1000])
def test_mean_multiplier(count):
    multiplier, exponent = mean_multiplier(*quantize_multiplier(0.8), count)
    assert 0 < multiplier < 2**31
    assert multiplier * 2.0 ** (exponent - 31) == pytest.approx(0.8 / count, rel=2e-9)


def test_mean_multiplier_keeps_the_shift_in_range():
    assert mean_multiplier(2**30, -30, 1000) == (2**31 // 1000, -31)


def test_transcendental_functions_approximate():
    raw = np.linspace(-(2**31) + 1, 2**31 - 1, 5001).astype(np.int64)
    real = raw / 2.0**27
    np.testing.assert_allclose(logistic(raw) / 2.0**31, 1 / (1 + np.exp(-real)), atol=1e-6)
    np.testing.assert_allclose(tanh(raw) / 2.0**31, np.tanh(real), atol=1e-6)
    negative = -np.abs(raw)
    np.testing.assert_allclose(exp_negative(negative, 5) / 2.0**31, np.exp(negative / 2.0**26), atol=1e-6)
    positive = np.arange(1, 100000, 97) << 12
    scale, bits = reciprocal(positive, 12)
    np.testing.assert_allclose(scale / 2.0**31 / 2.0**bits, 2.0**19 / positive, rtol=1e-6)
    for value in (1, 2, 3, 100, 255):
        root, exponent = inverse_square_root(value)
        assert root * 2.0 ** (exponent - 31) == pytest.approx(value**-0.5, rel=1e-5)
