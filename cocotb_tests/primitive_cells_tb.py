"""Coroutines of test_primitive_cells: a family's primitive beside the generic one, on the same inputs."""

import random

import cocotb
from cocotb.triggers import FallingEdge

from systolith_sim.cocotb_link import arguments, record
from systolith_sim.streams import start


def _draw(rng, width):
    """A random word, or an extreme of a signed or unsigned one."""
    return rng.choice((0, 1, 1 << width - 1, (1 << width - 1) - 1, (1 << width) - 1, rng.getrandbits(width),
                       rng.getrandbits(width)))


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def same_outputs(dut):
    """Random bytes in all fields, every cycle."""
    await start(dut)
    rng = random.Random(1)
    inputs = {name: arguments()["inputs"][name] for name in arguments()["inputs"]}
    different = seen = 0
    for cycle in range(arguments()["cycles"]):
        await FallingEdge(dut.clk)
        if cycle > arguments()["latency"]:
            seen += int(dut.generic.value) != 0
            different += dut.generic.value != dut.family.value
        for name, fields in inputs.items():
            word = 0
            for width in fields:
                word = word << width | _draw(rng, width)
            getattr(dut, name).value = word
    record(different=different, seen=seen)


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def same_reads(dut):
    """Random reads and writes; what follows a write is undefined until the next read."""
    await start(dut)
    rng = random.Random(2)
    width, enables = arguments()["width"], arguments()["enables"]
    addresses = [rng.randrange(arguments()["depth"]) for _ in range(8)] + [0, arguments()["depth"] - 1]
    written = {}
    history = [False, False, False]
    different = seen = 0
    for _ in range(arguments()["cycles"]):
        await FallingEdge(dut.clk)
        if history[-2]:
            seen += int(dut.generic.value) != 0
            different += dut.generic.value != dut.family.value
        address, read = rng.choice(addresses), rng.random() < 0.5
        # Contents before the first write are not defined: the first write of a word is a whole one.
        if address not in written:
            read = False
        write = 0 if read else (1 << enables) - 1 if address not in written else rng.randrange(1, 1 << enables)
        if not read:
            written[address] = True
        dut.addr.value, dut.en.value, dut.w_en.value, dut.w_data.value = address, 1, write, rng.getrandbits(width)
        history.append(read)
    record(different=different, seen=seen)
