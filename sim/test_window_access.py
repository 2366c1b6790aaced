"""Tests of address and lane mask."""

import random

import pytest
from amaranth.hdl import unsigned

from systolith.window_access import WindowAccess
from systolith_sim.pysim import StreamMonitor, expect, simulate, source


def random_position(generator, lanes):
    row_bytes = generator.choice([0, 1, lanes, 3 * lanes + 1, (1 << 24) - 1, generator.randrange(1 << 24)])
    byte = generator.choice([
        generator.randint(-2 * lanes - 1, 2 * lanes), row_bytes + generator.randint(-2 * lanes, 2 * lanes),
        generator.randint(-(1 << 24), 1 << 24), -lanes, 0])
    rows = generator.choice([0, 1, 7, 65535])
    row = generator.choice([-1, 0, rows - 1, rows, generator.randint(-70000, 70000)])
    return {"row": row, "row_addr": generator.randrange(1 << 24), "byte": byte, "rows": rows,
            "row_bytes": row_bytes, "context": generator.randrange(256)}


def expected(position, lanes):
    inside = 0 <= position["row"] < position["rows"]
    mask = sum((inside and 0 <= position["byte"] + lane < position["row_bytes"]) << lane for lane in range(lanes))
    return {"addr": (position["row_addr"] + position["byte"]) % (1 << 24), "mask": mask,
            "context": position["context"]}


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 8, 16])
def test_address_and_mask(lanes, stall):
    generator = random.Random(lanes)
    positions = [random_position(generator, lanes) for _ in range(400)]
    dut = WindowAccess(lanes=lanes, context_shape=unsigned(8))
    monitor = StreamMonitor(dut.o, name="accesses")
    simulate(dut, source(dut.i, positions, stall=stall, seed=1),
             expect(dut.o, [expected(position, lanes) for position in positions], stall=stall, seed=2),
             background=[monitor])
    if not stall:
        assert monitor.cycles == list(range(dut.latency, dut.latency + len(positions)))


def test_message():
    with pytest.raises(ValueError, match=r"^Window access lanes must be a positive integer, not 0$"):
        WindowAccess(lanes=0)
