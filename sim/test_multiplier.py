"""Tests of the registered multiplier, in its generic and its ECP5 form."""

import random

import pytest
from amaranth.hdl import signed, unsigned

import systolith.multiplier
from systolith.multiplier import Ecp5Multiplier, Multiplier, multiplier
from systolith_sim.ecp5_models import ecp5_instance
from systolith_sim.pysim import simulate

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # attributes, errors


def extremes(shape):
    """Return the smallest, the largest and the smallest non-zero operands of a shape."""
    if shape.signed:
        return [-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1, -1, 0, min(1, shape.width - 1)]
    return [0, (1 << shape.width) - 1, 1]


@pytest.fixture
def cell_models(monkeypatch):
    """Put behavioural models in the place of ECP5 cells."""
    monkeypatch.setattr(systolith.multiplier, "Instance", ecp5_instance)


@pytest.mark.parametrize("style", ["generic", "ecp5"])
@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        (signed(8), signed(8)),
        (unsigned(8), signed(8)),
        (unsigned(5), unsigned(9)),
        (signed(18), signed(18)),
        (unsigned(17), signed(1)),
        (unsigned(17), unsigned(17)),
    ],
    ids=str,
)
@pytest.mark.parametrize("latency", [2, 3, 5])
def test_products_and_latency(cell_models, style, a_shape, b_shape, latency):
    dut = multiplier(style=style, a_shape=a_shape, b_shape=b_shape, latency=latency)
    assert dut.latency == latency
    rng = random.Random(1)
    operands = [(a, b) for a in extremes(a_shape) for b in extremes(b_shape)]
    low_a, low_b = min(extremes(a_shape)), min(extremes(b_shape))
    operands += [
        (low_a + rng.getrandbits(a_shape.width), low_b + rng.getrandbits(b_shape.width)) for _ in range(100)
    ]
    seen = []

    async def testbench(ctx):
        for a, b in operands + [(0, 0)] * latency:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            seen.append(ctx.get(dut.p))
            await ctx.tick()

    simulate(dut, testbench)
    assert seen == [0] * latency + [a * b for a, b in operands]


@pytest.mark.parametrize("style", ["generic", "ecp5"])
def test_attributes(style):
    dut = multiplier(style=style, a_shape=signed(8), b_shape=unsigned(4))
    assert isinstance(dut, Multiplier)
    assert isinstance(dut, Ecp5Multiplier) == (style == "ecp5")
    assert (dut.a_shape, dut.b_shape, dut.p_shape) == (signed(8), unsigned(4), signed(12))
    assert dut.latency == 2


def test_interfaces_agree():
    shapes = {"a_shape": signed(8), "b_shape": signed(8)}
    assert multiplier(style="ecp5", **shapes).signature == multiplier(style="generic", **shapes).signature


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (
            ValueError,
            {"style": "virtex"},
            r"^Multiplier style must be one of generic, ecp5, ice40, gowin, nexus, not 'virtex'$",
        ),
        (ValueError, {"latency": 1}, r"^Multiplier latency must be at least 2, not 1$"),
        (TypeError, {"latency": 2.5}, r"^Multiplier latency must be an integer, not 2.5$"),
        (
            ValueError,
            {"a_shape": unsigned(0)},
            r"^Multiplier a_shape must be at least 1 bit wide, not unsigned",
        ),
        (
            ValueError,
            {"style": "ecp5", "b_shape": unsigned(18)},
            r"^Ecp5Multiplier b_shape must be at most signed\(18\) or unsigned\(17\), not unsigned\(18\)$",
        ),
        (
            ValueError,
            {"style": "ecp5", "a_shape": signed(19)},
            r"^Ecp5Multiplier a_shape must be at most signed\(18\) or unsigned\(17\), not signed\(19\)$",
        ),
    ],
)
def test_errors(kind, arguments, message):
    with pytest.raises(kind, match=message):
        multiplier(**{"a_shape": signed(8), "b_shape": signed(8), **arguments})
