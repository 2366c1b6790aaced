"""Tests of the stream drivers for cocotb."""

from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from systolith_sim.cocotb_run import run


class Queue(wiring.Component):
    """A FIFO of vectors, depth 4."""

    i: In(stream.Signature(ArrayLayout(signed(8), 2)))
    o: Out(stream.Signature(ArrayLayout(signed(8), 2)))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=16, depth=4)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload), fifo.w_en.eq(self.i.valid), self.i.ready.eq(fifo.w_rdy),
            self.o.payload.eq(fifo.r_data), self.o.valid.eq(fifo.r_rdy), fifo.r_en.eq(self.o.ready),
        ]
        return m


def test_streams(simulator, waves):
    results = run(Queue(), top="queue", test_module="streams_tb", simulator=simulator, waves=waves)
    assert results.num_tests == 3
    assert [values["count"] for values in results.records] == [60, 60]
