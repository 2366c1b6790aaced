"""The requantizer against big-integer arithmetic written straight from the definitions."""

import random

import pytest
from amaranth import Module, Value
from amaranth.lib.wiring import Component, Out

from systolith.delay import delay
from systolith.requantizer import Requantizer
from systolith_sim.pysim import simulate
from systolith_spec.commands import Rounding

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # attributes, errors

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def wrap32(value):
    return ((value + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def truncating_divide(a, b):
    return a // b if a >= 0 else -(-a // b)


def rounded(x, q, e, rounding):
    """R(x) of the three rules, with Python's integers and C's operations."""
    if rounding == Rounding.DOUBLE:
        p = wrap32(x << max(e, 0)) * q
        h = truncating_divide(p + ((1 << 30) if p >= 0 else 1 - (1 << 30)), 1 << 31)
        r = max(-e, 0)
        return (h >> r) + ((h & ((1 << r) - 1)) > (((1 << r) - 1) >> 1) + (h < 0))
    if rounding == Rounding.SINGLE:
        return (x * q + (1 << (30 - e))) >> (31 - e)
    y = (abs(x) * q) >> (31 - e)
    return -y if x < 0 else y


def expected(item):
    x, bias = item["sum"], item["bias"]
    x = wrap32(x - bias if item["bias_follows_sign"] and x < 0 else x + bias)
    y = rounded(x, item["multiplier"], item["exponent"], item["rounding"]) + item["zero_out"]
    if y < item["minimum"]:
        return item["minimum"]
    return item["maximum"] if y > item["maximum"] else y


class Controlled(Component):
    """Requantizer whose control inputs all belong to cycle 0."""

    def __init__(self, lanes):
        self.inner = Requantizer(lanes=lanes)
        self.latency = self.inner.latency
        super().__init__(self.inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self.inner
        cycles = {"zero_out": inner.zero_cycle, "minimum": inner.clamp_cycle, "maximum": inner.clamp_cycle}
        for name, member in self.signature.members.items():
            outer, port = Value.cast(getattr(self, name)), Value.cast(getattr(inner, name))
            if member.flow == Out:
                m.d.comb += outer.eq(port)
            else:
                m.d.comb += port.eq(delay(m, outer, cycles.get(name, 0), name=name))
        return m


def run(items, lanes=1):
    """Feed rows of ``lanes`` items (sharing the first one's control), with gaps; return rows of results."""
    dut = Controlled(lanes)
    rows = [items[i : i + lanes] for i in range(0, len(items), lanes)]
    for row in rows:
        for item in row:
            for key in ("rounding", "bias_follows_sign", "zero_out", "minimum", "maximum"):
                item[key] = row[0][key]
    got = []
    sent = []
    generator = random.Random(7)

    async def drive(ctx):
        for row in rows:
            while generator.random() < 0.1:
                ctx.set(dut.valid, 0)
                await ctx.tick()
            ctx.set(dut.valid, 1)
            for key in ("rounding", "bias_follows_sign", "zero_out", "minimum", "maximum"):
                ctx.set(getattr(dut, key), int(row[0][key]))
            ctx.set(dut.sums, [item["sum"] for item in row])
            ctx.set(dut.biases, [item["bias"] for item in row])
            ctx.set(dut.multipliers, [item["multiplier"] for item in row])
            ctx.set(dut.exponents, [item["exponent"] for item in row])
            await ctx.tick()
        ctx.set(dut.valid, 0)
        await ctx.tick().repeat(dut.latency + 2)

    async def watch(ctx):
        cycle = 0
        async for *_, valid, results_valid, results in ctx.tick().sample(
            dut.valid, dut.results_valid, dut.results
        ):
            if valid:
                sent.append(cycle)
            if results_valid:
                assert sent[len(got)] + dut.latency == cycle
                got.append([results[lane] for lane in range(lanes)])
            cycle += 1

    simulate(dut, drive, background=[watch], timeout_cycles=3 * len(rows) + 100)
    assert len(got) == len(rows)
    return got


def check(items, lanes=1):
    while len(items) % lanes:
        items.append(dict(items[-1]))
    got = [value for row in run(items, lanes) for value in row]
    for item, value in zip(items, got, strict=True):
        assert value == expected(item), f"got {value}, want {expected(item)} for {item}"


def item(x, q, e, rounding, *, bias=0, bias_follows_sign=0, zero_out=0, minimum=-128, maximum=127):
    return dict(
        sum=x,
        bias=bias,
        multiplier=q,
        exponent=e,
        rounding=int(rounding),
        bias_follows_sign=bias_follows_sign,
        zero_out=zero_out,
        minimum=minimum,
        maximum=maximum,
    )


EXTREMES = (
    0,
    1,
    -1,
    2,
    -2,
    INT32_MIN,
    INT32_MIN + 1,
    INT32_MAX,
    INT32_MAX - 1,
    (1 << 30),
    -(1 << 30),
    (1 << 30) + 128,
    65535,
    65536,
    -65536,
    -65537,
)
MULTIPLIERS = (0, 1 << 30, (1 << 30) + 1, (1 << 31) - 1, 3 << 29, 0x7FFF0000, 0x4000FFFF)


@pytest.mark.parametrize("rounding", [Rounding.DOUBLE, Rounding.SINGLE])
def test_extremes_under_every_exponent(rounding):
    check([item(x, q, e, rounding) for e in range(-31, 31) for q in MULTIPLIERS for x in EXTREMES], lanes=4)


def test_truncation_under_every_right_shift():
    check(
        [
            item(x, q, e, Rounding.TRUNCATE)
            for e in range(-31, 1)
            for q in (*MULTIPLIERS, 1, 2, 3, (1 << 31) // 3 + 1)
            for x in EXTREMES
        ],
        lanes=4,
    )


@pytest.mark.parametrize("rounding", list(Rounding))
def test_ties_and_their_neighbours(rounding):
    """A multiplier of 2**30 makes results exact halves, quarters and so on of small and large numbers."""
    items = []
    for e in range(-31, 2 if rounding != Rounding.TRUNCATE else 1):
        unit = 1 << (1 - e)  # x that gives exactly 1
        for multiple in (-3, -2, -1, 0, 1, 2, 3, 100, -100):
            for fraction in (-1, 0, 1):
                for half in (0, unit // 2):
                    x = multiple * unit + half + fraction
                    if INT32_MIN <= x <= INT32_MAX:
                        items.append(item(x, 1 << 30, e, rounding))
    check(items, lanes=4)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("lanes", [1, 3])
def test_random_values_near_the_output_range(rounding, lanes):
    generator = random.Random(int(rounding) + 10 * lanes)
    items = []
    for _ in range(3000):
        e = generator.randint(-31, 0 if rounding == Rounding.TRUNCATE else 30)
        q = generator.choice([0, generator.randint(1 << 30, (1 << 31) - 1), 1 << 30])
        if rounding == Rounding.TRUNCATE:
            q = generator.randint(0, (1 << 31) - 1)
        target = generator.uniform(-300, 300)
        x = int(target * 2.0 ** (31 - e) / max(q, 1 << 24))
        x = max(INT32_MIN, min(INT32_MAX, x))
        bias = generator.choice(
            [0, generator.randint(-(1 << 20), 1 << 20), 1 << 30, -(1 << 30), INT32_MIN, INT32_MAX]
        )
        follows = generator.randint(0, 1)
        low = generator.randint(-128, 127)
        items.append(
            item(
                wrap32(x - bias),
                q,
                e,
                rounding,
                bias=bias,
                bias_follows_sign=follows,
                zero_out=generator.randint(-128, 127),
                minimum=low,
                maximum=generator.randint(low, 127),
            )
        )
    check(items, lanes)


def test_left_shift_wraps_or_saturates():
    check(
        [
            item(x, q, e, rounding)
            for rounding in (Rounding.DOUBLE, Rounding.SINGLE)
            for e in (1, 5, 8, 13, 16, 24, 30)
            for q in (0, 1 << 30, (1 << 31) - 1)
            for x in (
                3 << (29 - e) if e < 29 else 3,
                1 << (31 - e),
                -(1 << (31 - e)),
                -(1 << (31 - e)) - 1,
                (1 << (31 - e)) - 1,
                0x12345678,
                -0x12345678,
            )
        ]
    )


def test_average_pooling_is_exact():
    """ceil(2**31 / n) with n / 2 added away from zero divides every sum of n int8 cells exactly."""
    items = []
    for n in (1, 2, 3, 4, 5, 7, 9, 16, 25, 48, 49, 64, 121, 256):
        e = 0
        q = -(-(1 << 31) // n)
        if n == 1:
            continue
        for total in {
            *range(-3 * n, 3 * n + 1, max(1, n // 5)),
            -128 * n,
            127 * n,
            127 * n - 1,
            -128 * n + n // 2,
        }:
            items.append(item(total, q, e, Rounding.TRUNCATE, bias=n // 2, bias_follows_sign=1))
            assert expected(items[-1]) == truncating_divide(total + (n // 2 if total >= 0 else -(n // 2)), n)
    check(items)


def test_identity():
    check([item(x, 1 << 30, 1, Rounding.DOUBLE) for x in range(-128, 128)])


def test_constructor():
    assert Requantizer(lanes=3).lanes == 3
    with pytest.raises(ValueError, match=r"^Requantizer lanes must be at least 1, not 0$"):
        Requantizer(lanes=0)
