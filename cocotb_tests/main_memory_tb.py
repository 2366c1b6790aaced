"""Coroutines of test_main_memory."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiBurstType, AxiBus, AxiMaster, AxiResp

from systolith_sim.cocotb_link import arguments, record


class Bench:
    """The memory, a bus model and a model of its contents."""

    def __init__(self, dut):
        self.dut = dut
        self.size, self.bytes = arguments()["size"], arguments()["bytes"]
        self.random = random.Random(cocotb.RANDOM_SEED)
        self.bus = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        for log in (self.bus.write_if.log, self.bus.read_if.log):
            log.setLevel("WARNING")
        self.contents = bytearray(self.size)
        for name in ("addr", "write", "w_data", "read"):
            getattr(dut, f"host_{name}").value = 0

    async def start(self):
        self.dut.rst.value = 1
        Clock(self.dut.clk, 10, unit="ns").start()
        for _ in range(4):
            await RisingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def stall(self):
        def pauses():
            while True:
                yield self.random.random() < 0.4

        write, read = self.bus.write_if, self.bus.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(pauses())

    async def host(self, *, write, address, data=0):
        """Access a byte as the host does; returns the byte read."""
        await FallingEdge(self.dut.clk)
        self.dut.host_addr.value, self.dut.host_w_data.value = address, data
        self.dut.host_write.value, self.dut.host_read.value = int(write), int(not write)
        await FallingEdge(self.dut.clk)
        self.dut.host_write.value = self.dut.host_read.value = 0
        while not write and not int(self.dut.host_r_valid.value):
            await FallingEdge(self.dut.clk)
        return int(self.dut.host_r_data.value)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def bursts_and_bytes(dut):
    """Bursts of any length and alignment on the lower half, bytes of the host on the upper half, at once."""
    bench = Bench(dut)
    await bench.start()
    bench.stall()
    half = bench.size // 2

    async def bytes_of_the_host():
        generator = random.Random(7)
        for _ in range(300):
            address = half + generator.randrange(half)
            bench.contents[address] = generator.randrange(256)
            await bench.host(write=True, address=address, data=bench.contents[address])
            address = half + generator.randrange(40) if generator.random() < 0.3 else address
            assert await bench.host(write=False, address=address) == bench.contents[address]

    host = cocotb.start_soon(bytes_of_the_host())
    for _ in range(60):
        length = bench.random.choice([1, 2, 3, bench.bytes, 5 * bench.bytes + 1, 300])
        address = bench.random.randrange(half - length)
        data = bench.random.randbytes(length)
        bench.contents[address:address + length] = data
        assert (await bench.bus.write(address, data)).resp == AxiResp.OKAY
        first = max(0, address - 9)
        answer = await bench.bus.read(first, min(length + 20, half - first))
        assert answer.resp == AxiResp.OKAY
        assert bytes(answer.data) == bytes(bench.contents[first:first + len(answer.data)])
    await host
    for start in range(0, bench.size, 1024):
        assert bytes((await bench.bus.read(start, 1024)).data) == bytes(bench.contents[start:start + 1024])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def errors(dut):
    """DECERR outside, SLVERR for bursts of another form; neither changes anything."""
    bench = Bench(dut)
    await bench.start()
    await bench.bus.write(0, bytes(range(100, 164)))
    await bench.bus.write(bench.size - 64, bytes(range(64)))
    for address in (bench.size, bench.size + 4096, 1 << 31):
        assert (await bench.bus.write(address, bytes(64))).resp == AxiResp.DECERR
        assert (await bench.bus.read(address, 64)).resp == AxiResp.DECERR
    assert (await bench.bus.write(0, bytes([1] * 64), burst=AxiBurstType.FIXED)).resp == AxiResp.SLVERR
    assert (await bench.bus.read(0, 64, burst=AxiBurstType.FIXED)).resp == AxiResp.SLVERR
    assert (await bench.bus.write(0, bytes([1] * 4), size=0)).resp == AxiResp.SLVERR
    assert (await bench.bus.read(0, 4, size=0)).resp == AxiResp.SLVERR
    assert bytes((await bench.bus.read(0, 64)).data) == bytes(range(100, 164))
    assert bytes((await bench.bus.read(bench.size - 64, 64)).data) == bytes(range(64))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def speed(dut):
    """Latency, and cycles between beats beyond one each."""
    bench = Bench(dut)
    await bench.start()
    reading = cocotb.start_soon(bench.bus.read(0, 32 * bench.bytes))
    now, accepted, beats = 0, None, []
    while len(beats) < 32:
        await RisingEdge(dut.clk)
        now += 1
        if accepted is None and int(dut.s_axi_arvalid.value) and int(dut.s_axi_arready.value):
            accepted = now
        if int(dut.s_axi_rvalid.value) and int(dut.s_axi_rready.value):
            beats.append(now)
    await reading
    record(latency=beats[0] - accepted, gaps=beats[-1] - beats[0] - 31)
