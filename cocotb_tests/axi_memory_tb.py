"""Coroutines of test_axi_memory."""

import logging
import random

import cocotb
from cocotb.triggers import RisingEdge, SimTimeoutError, Timer, with_timeout
from cocotbext.axi import AxiBus, AxiMaster, AxiResp

from systolith_sim.axi_memory import MemoryAccess
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.streams import start

INPUTS = [
    f"{channel}{name}" for channel in ("aw", "ar") for name in ("valid", "addr", "len", "size", "burst", "id")
]
INPUTS += ["wvalid", "wdata", "wstrb", "wlast", "bready", "rready"]


def settings(dut, *, latency=20, stall=0):
    """Set latencies and stalls, which live as long as the process."""
    dut.read_latency.value = latency
    dut.write_latency.value = latency + 1
    for channel in ("ar", "r", "aw", "w", "b"):
        getattr(dut, f"stall_{channel}").value = stall


async def master(dut):
    """A cocotbext-axi manager on the memory, after reset."""
    logging.getLogger(f"cocotb.{dut._name}.s_axi").setLevel(logging.WARNING)
    manager = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    await start(dut)
    return manager


class Raw:
    """Drives the ports of the memory by hand."""

    def __init__(self, dut):
        self.dut = dut
        self.bytes_log2 = (len(dut.s_axi_wdata) // 8).bit_length() - 1
        for name in INPUTS:
            self.port(name).value = 0
        for channel in ("aw", "ar"):
            self.port(f"{channel}size").value = self.bytes_log2
            self.port(f"{channel}burst").value = 1

    @property
    def cycle(self):
        return round(cocotb.simtime.get_sim_time("ns") / 10)

    def port(self, name):
        return getattr(self.dut, f"s_axi_{name}")

    async def send(self, channel, **values):
        """One transfer; returns the cycle of the handshake."""
        for name, value in values.items():
            self.port(f"{channel}{name}").value = value
        self.port(f"{channel}valid").value = 1
        await RisingEdge(self.dut.clk)
        while not self.port(f"{channel}ready").value:
            await RisingEdge(self.dut.clk)
        self.port(f"{channel}valid").value = 0
        return self.cycle

    async def receive(self, channel, count):
        """Cycles of ``count`` transfers, with ready always high."""
        cycles = []
        self.port(f"{channel}ready").value = 1
        while len(cycles) < count:
            await RisingEdge(self.dut.clk)
            if self.port(f"{channel}valid").value:
                cycles.append(self.cycle)
        return cycles


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize((("latency", "stall"), [(2, 0), (20, 0), (5, 30), (20, 70)]))
async def keeps_what_is_written(dut, latency, stall):
    settings(dut, latency=latency, stall=stall)
    manager = await master(dut)
    generator = random.Random(cocotb.RANDOM_SEED)
    lanes = 4
    size = 4096 * 2
    models = [bytearray(size) for _ in range(lanes)]

    async def work(lane):
        # Each lane has its own memory area, so that the order of transfers between lanes does not matter.
        for _ in range(5):
            length = generator.choice([1, 3, 16, 100, 700, 1500])
            offset = generator.randrange(size - length)
            data = generator.randbytes(length)
            models[lane][offset : offset + length] = data
            response = await manager.write(lane * size + offset, data)
            assert response.resp == AxiResp.OKAY
            length = generator.choice([1, 40, 2000])
            offset = generator.randrange(size - length)
            response = await manager.read(lane * size + offset, length)
            assert response.resp == AxiResp.OKAY
            want = bytes(models[lane][offset : offset + length])
            assert response.data == want, (
                f"lane {lane}, offset {offset:#x}: got {response.data.hex()}, want {want.hex()}"
            )

    await manager.write(0, bytes(lanes * size))
    tasks = [cocotb.start_soon(work(lane)) for lane in range(lanes)]
    for task in tasks:
        await task
    access = MemoryAccess(dut, data_width=arguments()["data_width"])
    for lane, model in enumerate(models):
        assert access.read(lane * size + 5, 999) == bytes(model[5:1004])
    record(reads=int(dut.read_beats.value), writes=int(dut.write_beats.value))


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(("latency", [2, 3, 20]))
async def reads_at_full_speed(dut, latency):
    settings(dut, latency=latency)
    raw = Raw(dut)
    await start(dut)
    lengths = [16, 1, 1, 7, 256, 2, 16, 16]
    receiving = cocotb.start_soon(raw.receive("r", sum(lengths)))
    asked = [
        await raw.send("ar", addr=0x1000 * index, len=length - 1) for index, length in enumerate(lengths)
    ]
    cycles = await receiving
    assert asked == list(range(asked[0], asked[0] + len(lengths)))
    assert cycles[0] - asked[0] == latency
    assert cycles == list(range(cycles[0], cycles[0] + sum(lengths))), "bubble between beats"


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(("latency", [2, 3, 20]))
async def writes_at_full_speed(dut, latency):
    settings(dut, latency=latency)
    raw = Raw(dut)
    await start(dut)
    lengths = [16, 1, 1, 7, 256, 2, 16, 16]
    receiving = cocotb.start_soon(raw.receive("b", len(lengths)))
    for index, length in enumerate(lengths):
        await raw.send("aw", addr=0x1000 * index, len=length - 1)
    taken = []
    for length in lengths:
        for beat in range(length):
            taken.append(await raw.send("w", data=beat, strb=0xF, last=int(beat == length - 1)))
    assert taken == list(range(taken[0], taken[0] + sum(lengths))), "bubble between beats"
    answers = await receiving
    assert answers[0] - taken[lengths[0] - 1] == latency + 1
    assert answers[-1] - taken[-1] == latency + 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reports_errors(dut):
    manager = await master(dut)
    access = MemoryAccess(dut, data_width=arguments()["data_width"])
    for address, want in [
        (0x0, AxiResp.OKAY),
        (0x2000, AxiResp.SLVERR),
        (0x3000, AxiResp.DECERR),
        (0x1FF0, AxiResp.SLVERR),
        (0x2100, AxiResp.OKAY),
        (1 << 20, AxiResp.DECERR),
        (0xFFFF_FF00, AxiResp.DECERR),
    ]:
        response = await manager.read(address, 64)
        assert response.resp == want, f"read {address:#x}: {response.resp}"
        response = await manager.write(address, b"\x55" * 64)
        assert response.resp == want, f"write {address:#x}: {response.resp}"
    assert access.read(0x1FF0, 0x20) == b"\x55" * 16 + b"\x21\x43\x65\x87" * 4, "an error must not write"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def shows_its_contents(dut):
    access = MemoryAccess(dut, data_width=arguments()["data_width"])
    await Timer(1, "ns")
    for address, text in arguments()["contents"]:
        data = bytes.fromhex(text)
        assert access.read(address, len(data)) == data
    access.write(0x3003, b"0123456789abcde")
    access.write(0x3012, b"f0123456789")  # shares a word with the write before
    assert access.read(0x3003, 26) == b"0123456789abcdef0123456789", "in no simulated time"
    await Timer(1, "ns")
    manager = await master(dut)
    response = await manager.read(0x3000, 32)
    assert response.data == bytes(3) + b"0123456789abcdef0123456789" + bytes(3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(("bit", [0, 1, 2, 3]))
async def never_answers_when_silent(dut, bit):
    settings(dut)
    raw = Raw(dut)
    dut.silent.value = 1 << bit
    await start(dut)

    async def read():
        await raw.send("ar", addr=0, len=0)
        await raw.receive("r", 1)

    async def write():
        await raw.send("aw", addr=0, len=0)
        await raw.send("w", data=0, last=1)
        await raw.receive("b", 1)

    try:
        await with_timeout(cocotb.start_soon(read() if bit in (0, 2) else write()), 5, "us")
    except SimTimeoutError:
        await RisingEdge(dut.clk)  # the timeout ends at some point around an edge
        await with_timeout(
            cocotb.start_soon(write() if bit in (0, 2) else read()), 5, "us"
        )  # the others answer
    else:
        raise AssertionError("a silent channel must not answer")
    finally:
        dut.silent.value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(("kind", ["good", "cross", "burst", "size", "last", "payload", "valid"]))
async def misbehaves(dut, kind):
    settings(dut)
    raw = Raw(dut)
    await start(dut)
    full = 1 << raw.bytes_log2
    if kind == "cross":
        await raw.send("ar", addr=0x1000 - 2 * full, len=2)
    elif kind == "burst":
        await raw.send("aw", addr=0, len=2, burst=2)
    elif kind == "size":
        await raw.send("ar", addr=0, len=0, size=raw.bytes_log2 - 1)
    elif kind == "last":
        await raw.send("aw", addr=0, len=2)
        await raw.send("w", data=0, strb=0, last=0)
        await raw.send("w", data=0, strb=0, last=1)
    elif kind in ("payload", "valid"):
        raw.port("wvalid").value = 1
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        raw.port("wvalid" if kind == "valid" else "wdata").value = int(kind == "payload")
    elif kind == "good":
        await raw.send("ar", addr=0x1000 - 2 * full, len=1)
    await Timer(100, "ns")


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def testbench_runs_alone(dut):
    for handle in dut:
        if handle._name.startswith("s_axil_") and not handle._name.endswith(tuple(arguments()["outputs"])):
            handle.value = 0
    await start(dut)
    before = cocotb.simtime.get_sim_time("ns")
    await RisingEdge(dut.irq)
    record(
        cycles=(cocotb.simtime.get_sim_time("ns") - before) / 10,
        sum=int(dut.sum.value),
        errors=int(dut.errors.value),
        beats=int(dut.read_beats.value),
    )
