"""Tests of the small stream buffers."""

import pytest

from systolith.head_buffer import HeadBuffer
from systolith.skid_buffer import SkidBuffer
from systolith.stream_buffer import StreamBuffer
from systolith_sim.pysim import StreamMonitor, expect, simulate, source


@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
@pytest.mark.parametrize("buffer", [SkidBuffer, HeadBuffer, StreamBuffer])
def test_items_pass_in_order(buffer, stalls):
    dut = buffer(shape=8)
    items = list(range(100))
    monitor = StreamMonitor(dut.o, name="o")
    simulate(dut, source(dut.i, items, stall=stalls[0], seed=1), expect(dut.o, items, stall=stalls[1], seed=2),
             background=[monitor])
    if stalls == (0.0, 0.0):
        assert monitor.cycles == list(range(dut.latency, dut.latency + 100))
