"""Tests of the skid buffer."""

import pytest

from systolith.skid_buffer import SkidBuffer
from systolith_sim.pysim import StreamMonitor, expect, simulate, source


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_items_pass_in_order(stalls):
    dut = SkidBuffer(shape=8)
    items = list(range(100))
    monitor = StreamMonitor(dut.o, name="o")
    simulate(dut, source(dut.i, items, stall=stalls[0], seed=1), expect(dut.o, items, stall=stalls[1], seed=2),
             background=[monitor])
    if stalls == (0.0, 0.0):
        assert monitor.cycles == list(range(dut.latency, dut.latency + 100))
