"""Coroutines of test_store_engine: STORE commands against the AxiRam of cocotbext-axi."""

import cocotb

from load_engine_tb import MEMORY_BYTES, Bench
from systolith_sim.cocotb_link import record
from systolith_sim.transfers import random_transfer, transfer


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def stores_random_transfers(dut, stall):
    """Every byte of memory is compared, also those that no command writes."""
    bench = Bench(dut, stall=stall)
    await bench.start()
    load = transfer(memory=37, length=bench.config.activation_bytes)
    await bench.execute(load=[load])
    buffer = bytearray(bench.config.activation_bytes)
    bench.run_load(buffer, load)
    for _ in range(4):
        commands = [random_transfer(bench.config, bench.random) for _ in range(8)]
        await bench.execute(store=commands)
        for fields in commands:
            bench.run_store(buffer, fields)
        assert bench.ram.read(0, MEMORY_BYTES) == bench.contents
    record(retired=bench.retired["store"], commands=bench.monitors[1].count)


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def stores_inside_its_range(dut):
    """From the first writable byte up to the limit, and nothing outside; without a limit as well."""
    bench = Bench(dut, stall=0.2)
    await bench.start()
    load = transfer(length=bench.config.activation_bytes)
    await bench.execute(load=[load])
    buffer = bytearray(bench.config.activation_bytes)
    bench.run_load(buffer, load)
    refused = 0
    for writable, limit in ((0x123, 0x456), (0x123, 0), (0x200, 0x201), (0, 0x456)):
        dut.writable.value, dut.limit.value = writable, limit
        end = limit or 0x1000
        back = min(7, end - writable - 1)
        good = [transfer(memory=writable, length=end - writable), transfer(memory=end - 1, buffer=7, length=1),
                transfer(memory=writable + back, buffer=9, length=1, count_1=back + 1, buffer_step_1=1,
                         memory_step_1=2**32 - 1)]
        await bench.execute(store=2 * good)
        for fields in good:
            bench.run_store(buffer, fields)
        bad = [transfer(memory=writable - 1, length=length) for length in (1, end - writable)] if writable else []
        bad += [transfer(memory=end, length=1), transfer(memory=end - 1, length=2)] if limit else []
        bad += [transfer(memory=writable, length=0), transfer(memory=2**32 - 1, length=2)]
        for fields in bad:
            await bench.refuse(fields)
        refused += len(bad)
        assert bench.ram.read(0, MEMORY_BYTES) == bench.contents
    record(retired=bench.retired["store"] + refused, commands=bench.monitors[1].count)


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def loads_while_storing(dut):
    """Both engines at once, on different halves of the buffer and of the memory."""
    bench = Bench(dut, stall=0.2)
    await bench.start()
    half = bench.config.activation_bytes // 2
    first = [transfer(length=half), transfer(buffer=half, memory=5, length=half)]
    await bench.execute(load=first)
    buffer = bytearray(2 * half)
    for fields in first:
        bench.run_load(buffer, fields)
    loads = [
        transfer(memory=3 * index, buffer=half + 100 * index, length=100) for index in range(half // 100)
    ]
    stores = [
        transfer(memory=0x8000 + 111 * index, buffer=100 * index, length=100) for index in range(half // 100)
    ]
    await bench.execute(load=loads, store=stores)
    for fields in loads:
        bench.run_load(buffer, fields)
    for fields in stores:
        bench.run_store(buffer, fields)
    assert await bench.peek() == buffer
    assert bench.ram.read(0, MEMORY_BYTES) == bench.contents
    record(retired=bench.retired["store"], commands=bench.monitors[1].count)
