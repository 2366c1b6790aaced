"""Activation buffer: unaligned accesses, arbitration, ordering and latency."""

import random
import warnings
from dataclasses import replace

import pytest

from systolith.rotating_ram import RotatingRam
from systolith_sim.activation_client import ClaimingActivationBuffer
from systolith_sim.pysim import simulate
from systolith_spec.presets import preset

TINY = replace(preset("tiny-4x4"), activation_bytes=1024)


def make_config(*, rows=4, banks=2, axi_data_width=32):
    return replace(TINY, rows=rows, activation_banks=banks, axi_data_width=axi_data_width, weight_bytes=8192)


class Model:
    """What the buffer must hold: writes take effect when accepted, reads see all earlier cycles."""

    def __init__(self, config):
        self.size = config.activation_bytes
        self.lanes = config.activation_word
        self.bytes = [0] * self.size

    def read(self, addr):
        return [self.bytes[(addr + lane) % self.size] for lane in range(self.lanes)]

    def write(self, addr, data, mask):
        for lane in range(self.lanes):
            if mask >> lane & 1:
                self.bytes[(addr + lane) % self.size] = data >> 8 * lane & 0xFF


def run_traffic(config, *, cycles, seed, addresses, urgent=0.0):
    """Random requests at all ports; every response is compared, lanes written in the same cycle excepted."""
    dut = ClaimingActivationBuffer(config=config)
    rng = random.Random(seed)
    model = Model(config)
    readers = [dut.store_read, dut.vector_read, dut.compute_read]
    writers = [dut.vector_write, dut.load_write]
    accepted = [0] * 5
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        waiting = [False] * 5
        expected = [[] for _ in readers]
        for cycle in range(cycles):
            for index, port in enumerate(readers + writers):
                if not waiting[index] and cycle < cycles - 20:
                    waiting[index] = rng.random() < 0.7
                    ctx.set(port.addr, addresses(rng) + (rng.randrange(8) << 20))
                    if index >= 3:
                        ctx.set(port.data, rng.getrandbits(8 * model.lanes))
                        ctx.set(port.mask, rng.getrandbits(model.lanes))
                ctx.set(port.valid, waiting[index])
            hurry = rng.random() < urgent
            ctx.set(dut.compute_urgent, hurry)
            assert ctx.get(dut.compute_read.ready) or not hurry
            written = set()
            accepts = [waiting[i] and ctx.get(p.ready) for i, p in enumerate(readers + writers)]
            for index, port in enumerate(writers, start=3):
                if accepts[index]:
                    mask = ctx.get(port.mask)
                    written |= {
                        (ctx.get(port.addr) + lane) % model.size
                        for lane in range(model.lanes)
                        if mask >> lane & 1
                    }
            for index, port in enumerate(readers):
                if accepts[index]:
                    addr = ctx.get(port.addr)
                    want = [
                        None if (addr + lane) % model.size in written else byte
                        for lane, byte in enumerate(model.read(addr))
                    ]
                    expected[index].append((cycle + dut.read_latency, want))
                due = expected[index] and expected[index][0][0] == cycle
                assert ctx.get(port.data_valid) == bool(due)
                if due:
                    got = ctx.get(port.data)
                    for lane, byte in enumerate(expected[index].pop(0)[1]):
                        assert byte is None or got >> 8 * lane & 0xFF == byte, (cycle, index, lane)
                    compared += 1
            for index, port in enumerate(writers, start=3):
                if accepts[index]:
                    model.write(ctx.get(port.addr), ctx.get(port.data), ctx.get(port.mask))
            for index, accept in enumerate(accepts):
                if accept:
                    accepted[index] += 1
                    waiting[index] = False
            await ctx.tick()
        assert not any(expected)

    simulate(dut, testbench, timeout_cycles=cycles + 10)
    assert compared == sum(accepted[:3]) > 0
    return accepted


@pytest.mark.parametrize(
    ("rows", "banks", "axi_data_width"),
    [
        (4, 2, 32),
        (4, 1, 32),
        (4, 4, 32),
        (6, 2, 32),
        (2, 2, 128),
        (16, 4, 64),
        (4, 2, 64),
    ],
)
@pytest.mark.parametrize("urgent", [0.0, 0.6])
def test_random_traffic(rows, banks, axi_data_width, urgent):
    config = make_config(rows=rows, banks=banks, axi_data_width=axi_data_width)
    accepted = run_traffic(
        config,
        cycles=500,
        seed=rows + banks,
        addresses=lambda rng: rng.randrange(config.activation_bytes),
        urgent=urgent,
    )
    assert min(accepted) > 10


@pytest.mark.parametrize("urgent", [0.0, 0.5])
def test_bank_boundaries(urgent):
    """Accesses that run from one bank into the next, and from the end to the start."""
    config = make_config(rows=8, banks=4)
    accepted = run_traffic(
        config,
        cycles=500,
        seed=5,
        addresses=lambda rng: rng.choice([0, 256, 512, 768]) + rng.randrange(-9, 10) + 1024,
        urgent=urgent,
    )
    assert min(accepted) > 20


def test_hot_word():
    """All ports on a few words: every read right behind a write of the same bytes."""
    config = make_config(rows=8, banks=2)
    run_traffic(config, cycles=600, seed=6, addresses=lambda rng: rng.randrange(24))


def test_priorities_and_independent_banks():
    config = make_config(banks=2)
    dut = ClaimingActivationBuffer(config=config)

    async def testbench(ctx):
        for port in (dut.store_read, dut.vector_read, dut.compute_read, dut.vector_write, dut.load_write):
            ctx.set(port.valid, 1)
        assert [ctx.get(port.ready) for port in (dut.store_read, dut.vector_read, dut.compute_read)] == [
            1,
            0,
            0,
        ]
        assert [ctx.get(port.ready) for port in (dut.vector_write, dut.load_write)] == [1, 0]
        ctx.set(dut.vector_read.addr, 512)
        ctx.set(dut.load_write.addr, 512)
        assert [ctx.get(port.ready) for port in (dut.store_read, dut.vector_read, dut.compute_read)] == [
            1,
            1,
            0,
        ]
        assert [ctx.get(port.ready) for port in (dut.vector_write, dut.load_write)] == [1, 1]
        ctx.set(dut.compute_urgent, 1)
        assert [ctx.get(port.ready) for port in (dut.store_read, dut.vector_read, dut.compute_read)] == [
            0,
            1,
            1,
        ]
        ctx.set(dut.compute_urgent, 0)
        ctx.set(dut.store_read.valid, 0)
        assert ctx.get(dut.compute_read.ready) == 1

    simulate(dut, testbench)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lanes": 3, "lane_width": 8, "rows": 4}, "Rotating RAM lanes must be a power of two, not 3"),
        ({"lanes": 4, "lane_width": 8, "rows": 6}, "Rotating RAM rows must be a power of two, not 6"),
        ({"lanes": 4, "lane_width": 8, "rows": 1}, "Rotating RAM rows must be at least 2, not 1"),
    ],
)
def test_rotating_ram_validates(arguments, message):
    def rejection():
        try:
            RotatingRam(**arguments)
        except ValueError as error:
            return str(error)
        return None

    # Amaranth warns of components that are never elaborated, as this one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert rejection() == message
