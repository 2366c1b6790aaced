"""Coroutines of test_streams."""

import cocotb
import numpy as np
from amaranth.hdl import signed
from amaranth.lib.data import ArrayLayout
from cocotb.triggers import RisingEdge

from systolith_sim.cocotb_link import record
from systolith_sim.pysim import StreamRuleError
from systolith_sim.streams import StreamMonitor, StreamSink, StreamSource, start

VECTOR = ArrayLayout(signed(8), 2)


@cocotb.test(timeout_time=100, timeout_unit="us")
@cocotb.parametrize(("stall", [0.0, 0.6]))
async def passes_items_in_order(dut, stall):
    items = np.random.default_rng(cocotb.RANDOM_SEED).integers(-128, 128, (60, 2)).tolist()
    source = StreamSource(dut, "i", shape=VECTOR, stall=stall)
    sink = StreamSink(dut, "o", shape=VECTOR, stall=stall)
    monitor = StreamMonitor(dut, "o")
    await start(dut)
    sending = cocotb.start_soon(source.send(items))
    assert await sink.receive(len(items)) == items
    await sending
    await RisingEdge(dut.clk)
    assert monitor.count == len(items)
    record(count=monitor.count)


@cocotb.test(timeout_time=100, timeout_unit="us", expect_error=StreamRuleError)
async def monitor_finds_a_broken_producer(dut):
    source = StreamSource(dut, "i")
    StreamMonitor(dut, "i")
    await start(dut)
    await source.send([1, 2, 3, 4])           # the queue is full now
    source.valid.value = 1
    for payload in range(10):
        source.payload.value = payload
        await RisingEdge(dut.clk)
