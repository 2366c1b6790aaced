"""Coroutines of test_register_file: random accesses with an independent AXI4-Lite master."""

import itertools
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from systolith_sim.cocotb_link import record
from systolith_spec.registers import ID_VALUE, REGISTERS

_BY_OFFSET = {entry.offset: entry for entry in REGISTERS}


def _pauses(seed, probability):
    generator = random.Random(seed)
    return (generator.random() < probability for _ in itertools.count())


async def _start(dut, stall=0.0):
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
    for side in (host.write_if, host.read_if):
        side.log.setLevel("WARNING")
    if stall:
        channels = (host.write_if.aw_channel, host.write_if.w_channel, host.write_if.b_channel,
                    host.read_if.ar_channel, host.read_if.r_channel)
        for seed, channel in enumerate(channels):
            channel.set_pause_generator(_pauses(cocotb.RANDOM_SEED + seed, stall))
    for entry in REGISTERS:
        handle = getattr(dut, f"value_{entry.name.lower()}", None)
        if entry.access == "ro" and handle is not None:
            handle.value = entry.offset * 0x01010101 & 0xFFFFFFFF
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start()
    for _ in range(4):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    return host


def _mask(entry):
    return sum((1 << field.width) - 1 << field.lsb for field in entry.fields) or 0xFFFFFFFF


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(("stall", [0.0, 0.6]))
async def random_accesses(dut, stall):
    host = await _start(dut, stall)
    generator = random.Random(cocotb.RANDOM_SEED)
    held = {entry.offset: entry.reset for entry in REGISTERS if entry.access == "rw"}
    offsets = [*_BY_OFFSET, 0x2C, 0x7C, 0x400, 0xFFC]
    count = 0
    for _ in range(300):
        offset = generator.choice(offsets)
        entry = _BY_OFFSET.get(offset)
        if generator.random() < 0.5:
            # Any run of bytes within the word: the master turns it into strobes.
            first = generator.randrange(4)
            data = generator.randbytes(generator.randint(1, 4 - first))
            answer = await host.write(offset + first, data)
            if offset in held:
                word = bytearray(held[offset].to_bytes(4, "little"))
                word[first:first + len(data)] = data
                held[offset] = int.from_bytes(word, "little") & _mask(entry)
        else:
            answer = await host.read(offset, 4)
            got = int.from_bytes(answer.data, "little")
            if entry is None or entry.access == "wo":
                want = 0
            elif entry.name == "ID":
                want = ID_VALUE
            else:
                want = held[offset] if entry.access == "rw" else offset * 0x01010101 & 0xFFFFFFFF
            assert got == want, f"offset {offset:#x}: {got:#x} instead of {want:#x}"
        assert answer.resp == (AxiResp.OKAY if entry else AxiResp.SLVERR), f"offset {offset:#x}"
        count += 1
    record(count=count)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def strobes_last_one_cycle(dut):
    host = await _start(dut)
    cycles = 0

    async def watch():
        nonlocal cycles
        while True:
            await RisingEdge(dut.clk)
            cycles += int(dut.value_control.value) == 5

    watcher = cocotb.start_soon(watch())
    await host.write_dword(0x008, 0xFFFFFFF5)
    for _ in range(5):
        await RisingEdge(dut.clk)
    watcher.cancel()
    record(cycles=cycles)
