"""AXI read arbiter: priorities, stable requests and routing of interleaved read data."""

from amaranth.hdl import Value

from systolith.axi import AXI_ID_FETCH, AXI_ID_LOAD
from systolith.axi_read_arbiter import AxiReadArbiter
from systolith_sim.axi_model import AxiMemory
from systolith_sim.pysim import StreamMonitor, get, put, simulate
from systolith_spec.presets import preset

CONFIG = preset("small-8x8")


def test_routes_interleaved_data():
    dut = AxiReadArbiter(config=CONFIG)
    memory = AxiMemory(bytearray(range(256)) * 16, config=CONFIG, latency=4, stall=0.2, seed=1)
    monitors = [
        StreamMonitor(dut.bus.ar, name="ar"),
        StreamMonitor(dut.load.r, name="load"),
        StreamMonitor(dut.fetch.r, name="fetch"),
    ]
    requests = {
        "load": [(index * 64, index % 5) for index in range(20)],
        "fetch": [(2048 + index * 64, 7) for index in range(10)],
    }
    counts = {name: sum(length + 1 for _, length in items) for name, items in requests.items()}

    def sender(name):
        # The ids that the readers send do not matter.
        items = [{"addr": addr, "len": length, "id": 0} for addr, length in requests[name]]

        async def send(ctx):
            await put(ctx, getattr(dut, name).ar, items, stall=0.3, seed=2)

        return send

    def receiver(name, identifier):
        async def receive(ctx):
            beats = await get(ctx, getattr(dut, name).r, counts[name], stall=0.3, seed=3)
            wanted = [
                int.from_bytes(memory.data[addr + 8 * beat : addr + 8 * beat + 8], "little")
                for addr, length in requests[name]
                for beat in range(length + 1)
            ]
            assert [beat["data"] for beat in beats] == wanted
            assert {beat["id"] for beat in beats} == {identifier}

        return receive

    simulate(
        dut,
        sender("load"),
        sender("fetch"),
        receiver("load", AXI_ID_LOAD),
        receiver("fetch", AXI_ID_FETCH),
        background=[memory.reader(dut.bus), *monitors],
    )
    assert len(memory.read_beats) == sum(counts.values())


def test_fetch_goes_first():
    dut = AxiReadArbiter(config=CONFIG)

    async def testbench(ctx):
        for reader, addr in ((dut.load, 0x100), (dut.fetch, 0x200)):
            ctx.set(reader.ar.valid, 1)
            ctx.set(reader.ar.payload.addr, addr)
        assert ctx.get(dut.fetch.ar.ready) == 1
        assert ctx.get(dut.load.ar.ready) == 0
        await ctx.tick()
        ctx.set(dut.fetch.ar.valid, 0)
        assert ctx.get(dut.load.ar.ready) == 1
        await ctx.tick()
        ctx.set(dut.load.ar.valid, 0)
        # Both wait for the bus, in order.
        assert ctx.get(dut.fetch.ar.ready) == 0
        items = await get(ctx, dut.bus.ar, 2, stall=0.5)
        assert [(item["addr"], item["id"]) for item in items] == [(0x200, AXI_ID_FETCH), (0x100, AXI_ID_LOAD)]
        assert not ctx.get(dut.bus.ar.valid)
        assert not ctx.get(Value.cast(dut.bus.r.ready))

    simulate(dut, testbench)
