"""Tests of the pysim helpers themselves."""

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from systolith_sim.pysim import StreamMonitor, StreamRuleError, expect, get, put, simulate, sink, source

VECTOR = data.ArrayLayout(signed(8), 2)


class Queue(wiring.Component):
    """A FIFO of vectors, depth 4."""

    i: In(stream.Signature(VECTOR))
    o: Out(stream.Signature(VECTOR))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=16, depth=4)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload), fifo.w_en.eq(self.i.valid), self.i.ready.eq(fifo.w_rdy),
            self.o.payload.eq(fifo.r_data), self.o.valid.eq(fifo.r_rdy), fifo.r_en.eq(self.o.ready),
        ]
        return m


class Bad(wiring.Component):
    """Changes its payload, or withdraws valid, without waiting for ready."""

    o: Out(stream.Signature(8))

    def __init__(self, *, withdraw):
        self._withdraw = withdraw
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [
            self.o.payload.eq(0 if self._withdraw else count),
            self.o.valid.eq(~count[1] if self._withdraw else 1),
        ]
        return m


ITEMS = [[index, -index] for index in range(50)]


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_items_pass_in_order(stall):
    dut = Queue()
    monitor = StreamMonitor(dut.o, name="o")
    cycles = simulate(dut, source(dut.i, ITEMS, stall=stall, seed=1), expect(dut.o, ITEMS, stall=stall, seed=2),
                      background=[monitor])
    assert monitor.items == ITEMS
    if not stall:
        assert monitor.cycles == list(range(monitor.cycles[0], monitor.cycles[0] + 50))
        assert cycles == monitor.cycles[-1] + 1


def test_mismatch_names_index_got_and_want():
    dut = Queue()
    wrong = [*ITEMS[:3], [9, 9]]
    with pytest.raises(AssertionError, match=r"item 3 of 4: got \[3, -3\], want \[9, 9\]"):
        simulate(dut, source(dut.i, ITEMS[:4]), expect(dut.o, wrong))


def test_timeout_names_the_stuck_testbench():
    dut = Queue()
    with pytest.raises(TimeoutError, match=r"within 50 cycles; still running: source_testbench"):
        simulate(dut, source(dut.i, ITEMS), timeout_cycles=50)


@pytest.mark.parametrize(("withdraw", "message"), [(True, "valid withdrawn"), (False, "payload changed")])
def test_monitor_finds_broken_producer(withdraw, message):
    dut = Bad(withdraw=withdraw)
    with pytest.raises(StreamRuleError, match=message):
        simulate(dut, sink(dut.o, 40, [], stall=0.6), background=[StreamMonitor(dut.o)])


def test_reset_in_mid_stream():
    dut = Queue()
    reset = Signal()
    received = []

    async def testbench(ctx):
        await put(ctx, dut.i, ITEMS[:3])
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await put(ctx, dut.i, ITEMS[10:12])
        received.extend(await get(ctx, dut.o, 2))

    simulate(dut, testbench, background=[StreamMonitor(dut.o)], reset=reset)
    assert received == ITEMS[10:12]


def test_combinational_design_and_waves(tmp_path):
    dut = wiring.Component({"a": In(8), "b": Out(8)})
    dut.elaborate = lambda platform: _inverter(dut)

    async def testbench(ctx):
        ctx.set(dut.a, 1)
        await ctx.tick()
        assert ctx.get(dut.b) == 0xFE

    assert simulate(dut, testbench, vcd=tmp_path / "waves" / "a.vcd") == 1
    assert (tmp_path / "waves" / "a.vcd").stat().st_size > 100


def _inverter(dut):
    m = Module()
    m.d.comb += dut.b.eq(~dut.a)
    return m


def test_refuses_nonsense():
    dut = Queue()
    with pytest.raises(ValueError, match=r"^Testbenches must be at least one"):
        simulate(dut)
    with pytest.raises(ValueError, match=r"^Stall probability must be at least 0 and below 1, not 1.0$"):
        simulate(dut, source(dut.i, ITEMS, stall=1.0))
