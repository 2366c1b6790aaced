"""The operand scaler against TFLite's definition in Python integers."""

import random

import pytest

from systolith.operand_scaler import OperandScaler
from systolith_sim.pysim import simulate

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # attributes, errors


def scaled(operand, q, e):
    p = (operand << 20) * q
    p += (1 << 30) if p >= 0 else 1 - (1 << 30)
    h = p >> 31 if p >= 0 else -(-p >> 31)
    r = -e
    return (h >> r) + ((h & ((1 << r) - 1)) > (((1 << r) - 1) >> 1) + (h < 0))


@pytest.mark.parametrize("lanes", [1, 4])
def test_every_operand_under_many_multipliers(lanes):
    dut = OperandScaler(lanes=lanes)
    generator = random.Random(lanes)
    scales = [
        (q, e)
        for e in range(-31, 1)
        for q in (1 << 30, (1 << 31) - 1, generator.randint(1 << 30, (1 << 31) - 1))
    ]
    scales += [(0, 0), ((1 << 30), -19)]
    rows = []
    for q, e in scales:
        values = [-255, -254, -128, -1, 0, 1, 127, 254, 255] + [
            generator.randint(-255, 255) for _ in range(7)
        ]
        rows += [(values[i : i + lanes], q, e) for i in range(0, 16, lanes)]
    expected = [[scaled(value, q, e) for value in values] for values, q, e in rows]
    got = []

    async def testbench(ctx):
        for cycle in range(len(rows) + dut.latency):
            if cycle < len(rows):
                values, q, e = rows[cycle]
                ctx.set(dut.operands, values)
                ctx.set(dut.multiplier, q)
                ctx.set(dut.right, -e)
            if cycle >= dut.latency:
                results = ctx.get(dut.results)
                got.append([results[lane] for lane in range(lanes)])
            await ctx.tick()

    simulate(dut, testbench, timeout_cycles=len(rows) + 100)
    assert got == expected


def test_identity():
    assert all(scaled(value, 1 << 30, -19) == value for value in range(-255, 256))


def test_constructor():
    with pytest.raises(ValueError, match=r"^Operand scaler lanes must be at least 1, not 0$"):
        OperandScaler(lanes=0)
