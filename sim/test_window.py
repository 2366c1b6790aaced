"""Tests of the window walker."""

import itertools
import random

import pytest
from amaranth.hdl import Signal, unsigned

from systolith.window import Level, WindowWalker
from systolith_sim.pysim import StreamMonitor, get, put, simulate, sink, source

COMPUTE_LEVELS = (
    Level(name="block", kind="plain"),
    Level(name="ky", kind="row", count_width=8, row_step_width=8),
    Level(name="kx", kind="byte", count_width=8),
    Level(name="chunk", kind="byte", step=5),
    Level(name="y", kind="row", index=True),
    Level(name="x", kind="byte"),
)
VECTOR_LEVELS = (
    Level(name="y", kind="row"),
    Level(name="x", kind="byte"),
    Level(name="group", kind="byte", step=4, index=True),
    Level(name="ky", kind="row", count_width=8, row_step_width=8),
    Level(name="kx", kind="byte", count_width=8),
)
ORDERS = {"compute": COMPUTE_LEVELS, "vector": VECTOR_LEVELS, "single": (Level(name="x", kind="byte"),),
          "counters": (Level(name="a", kind="plain"), Level(name="b", kind="plain"))}


def expected(levels, command):
    """All positions of one command, by plain nested loops."""
    counts = [range(command[f"{level.name}_count"]) for level in levels]
    for indices in itertools.product(*counts):
        row, row_addr, byte = command["first_row"], command["base"], command["first_byte"]
        for level, index in zip(levels, indices, strict=True):
            if level.kind == "row":
                row += index * command[f"{level.name}_row_step"]
                row_addr += index * command[f"{level.name}_addr_step"]
            elif level.kind == "byte":
                byte += index * (command[f"{level.name}_byte_step"] if level.step is None else level.step)
        last = {level.name: int(index == command[f"{level.name}_count"] - 1)
                for level, index in zip(levels, indices, strict=True)}
        yield {
            "row": row, "row_addr": row_addr % (1 << 24), "byte": byte,
            "first": {level.name: int(index == 0) for level, index in zip(levels, indices, strict=True)},
            "last": last,
            "over": {level.name: int(all(list(last.values())[position:])) for position, level in enumerate(levels)},
            "index": {level.name: index for level, index in zip(levels, indices, strict=True) if level.index},
            "context": command["context"],
        }


def random_command(levels, generator, largest=4):
    command = {"base": generator.randrange(1 << 24), "first_row": generator.randint(-9, 9),
               "first_byte": generator.randint(-99, 99), "context": generator.randrange(256)}
    for level in levels:
        command[f"{level.name}_count"] = generator.randint(1, largest)
        if level.kind == "row":
            command[f"{level.name}_row_step"] = generator.randint(0, 5)
            command[f"{level.name}_addr_step"] = generator.randrange(1 << 24)
        elif level.step is None:
            command[f"{level.name}_byte_step"] = generator.randint(-20, 20)
        if level.kind == "plain" or level.step is not None:
            command.pop(f"{level.name}_byte_step", None)
    return command


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("order", ORDERS)
def test_positions_without_gaps(order, stall):
    levels = ORDERS[order]
    generator = random.Random(7)
    commands = [random_command(levels, generator, largest=1 + index % 3) for index in range(12)]
    want = [position for command in commands for position in expected(levels, command)]
    dut = WindowWalker(levels=levels, context_shape=unsigned(8))
    monitor = StreamMonitor(dut.o, name="positions")
    simulate(dut, source(dut.command, commands, stall=stall / 2, seed=1), sink(dut.o, len(want), [], stall=stall, seed=2),
             background=[monitor], timeout_cycles=10 * len(want) + 100)
    for index, (got, position) in enumerate(zip(monitor.items, want, strict=True)):
        assert got == position, f"position {index} of {len(want)}"
    if not stall:
        assert monitor.cycles == list(range(dut.latency, dut.latency + len(want)))


def test_large_counts():
    dut = WindowWalker(levels=(Level(name="x", kind="byte", count_width=8),))
    command = {"base": 5, "first_row": -1, "first_byte": -3, "x_count": 255, "x_byte_step": 100}
    got = []
    simulate(dut, source(dut.command, [command]), sink(dut.o, 255, got))
    assert [position["byte"] for position in got] == [-3 + 100 * index for index in range(255)]
    assert [position["last"]["x"] for position in got] == [0] * 254 + [1]


def test_reset_in_mid_stream():
    levels = VECTOR_LEVELS
    generator = random.Random(3)
    commands = [random_command(levels, generator, largest=3) for _ in range(2)]
    dut = WindowWalker(levels=levels, context_shape=unsigned(8))
    reset = Signal()
    received = []
    want = list(expected(levels, commands[1]))

    async def testbench(ctx):
        await put(ctx, dut.command, commands[:1])
        await get(ctx, dut.o, 2)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await put(ctx, dut.command, commands[1:])
        received.extend(await get(ctx, dut.o, len(want)))
        assert not ctx.get(dut.o.valid)

    simulate(dut, testbench, reset=reset)
    assert received == want


def test_properties_and_messages():
    dut = WindowWalker(levels=COMPUTE_LEVELS)
    assert dut.levels == COMPUTE_LEVELS
    assert [name for name, _ in dut.command_shape][:4] == ["base", "first_row", "first_byte", "block_count"]
    with pytest.raises(ValueError, match=r"^Window levels must be at least one, not none$"):
        WindowWalker(levels=())
    with pytest.raises(ValueError, match=r"^Window level names must be unique, not \['x', 'x'\]$"):
        WindowWalker(levels=[Level(name="x", kind="byte"), Level(name="x", kind="row")])
    with pytest.raises(ValueError, match=r"^Level kind must be 'row', 'byte' or 'plain', not 'column'$"):
        Level(name="x", kind="column")
    with pytest.raises(ValueError, match=r"^Level step must be None for a row level, not 3$"):
        Level(name="x", kind="row", step=3)
