"""Tests of an engine's command queue; the tests of the command processor use it with real tokens."""

import random
from dataclasses import replace

import pytest

from systolith.engine_queue import EngineQueue
from systolith_sim.pysim import StreamMonitor, expect, put, simulate, source
from systolith_spec.commands import COMMAND_BYTES, encode
from systolith_spec.presets import preset


def small(**changes):
    return replace(preset("tiny-4x4"), name="test", **changes)


def cut(config, commands):
    size = config.axi_bytes
    return [int.from_bytes(command[i:i + size], "little") for command in commands for i in range(0, COMMAND_BYTES, size)]


def words(commands):
    return [int.from_bytes(command, "little") for command in commands]


def random_commands(count, seed=0):
    rng = random.Random(seed)
    return [encode("LOAD", layer=index, signal=rng.randrange(8) << 1)[:4] + rng.randbytes(60) for index in range(count)]


@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("depth", [2, 3, 8])
@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_commands_pass_in_order_and_give_their_tokens(width, depth, stall):
    config = small(axi_data_width=width, queue_commands=depth)
    dut = EngineQueue(config=config)
    commands = random_commands(12)
    given, traced, expected = [], [], []
    rng = random.Random(1)

    async def retire(ctx):
        """Retire each command some cycles after its acceptance."""
        due, cycle, count = [], 0, 0
        while count < len(commands) or due:
            now = bool(due) and due[0] <= cycle
            ctx.set(dut.retire, now)
            if now:
                due.pop(0)
            _, _, accepted_valid, accepted_ready, give, trace, layer = await ctx.tick().sample(
                dut.command.valid, dut.command.ready, dut.give, dut.trace_retire, dut.trace_layer)
            cycle += 1
            if now:
                given.append(give)
            else:
                assert give == 0
            if trace:
                traced.append(layer)
            if accepted_valid and accepted_ready:
                due.append(max([cycle + rng.randrange(9), *due[-1:]]))
                count += 1
        ctx.set(dut.retire, 0)
        _, _, trace, layer = await ctx.tick().sample(dut.trace_retire, dut.trace_layer)
        traced.append(layer)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.empty)
        expected.extend(command[1] & 0xF for command in commands)

    simulate(dut, source(dut.beats, cut(config, commands), stall=stall, seed=2),
             expect(dut.command, words(commands), stall=stall, seed=3), retire,
             background=[StreamMonitor(dut.command, name="command")])
    assert given == expected
    assert traced == list(range(12))


def test_waits_for_all_tokens_and_takes_them_at_once():
    config = small()
    dut = EngineQueue(config=config)
    command = encode("LOAD", wait=0b1010)

    async def testbench(ctx):
        await put(ctx, dut.beats, cut(config, [command]))
        await ctx.tick().repeat(8)
        for available in (0b0000, 0b0010, 0b1000, 0b0101):
            ctx.set(dut.available, available)
            for _ in range(3):
                await ctx.tick()
                assert ctx.get(dut.stall_token)
                assert not ctx.get(dut.command.valid)
                assert not ctx.get(dut.empty)
                assert ctx.get(dut.take) == 0
        ctx.set(dut.available, 0b1011)
        assert (ctx.get(dut.take), ctx.get(dut.wait)) == (1, 0b1010)
        await ctx.tick()
        assert (ctx.get(dut.take), ctx.get(dut.wait)) == (0, 0b1010)
        assert ctx.get(dut.command.valid)
        assert not ctx.get(dut.stall_token)

    simulate(dut, testbench)


def test_holds_its_commands_and_then_refuses():
    config = small(queue_commands=4)
    dut = EngineQueue(config=config)
    beats = COMMAND_BYTES // config.axi_bytes
    held = 0

    async def testbench(ctx):
        nonlocal held
        ctx.set(dut.beats.valid, 1)
        for _ in range(10 * beats):
            _, _, ready = await ctx.tick().sample(dut.beats.ready)
            held += ready

    simulate(dut, testbench)
    # Four in the queue and the one that is offered.
    assert held == 5 * beats


@pytest.mark.parametrize("width", [32, 64, 128])
def test_offers_a_command_every_few_cycles(width):
    config = small(axi_data_width=width)
    dut = EngineQueue(config=config)
    commands = random_commands(8)
    monitor = StreamMonitor(dut.command, name="command")

    async def offer(ctx):
        await put(ctx, dut.beats, cut(config, commands))

    simulate(dut, offer, expect(dut.command, words(commands)), background=[monitor])
    gaps = {late - early for early, late in zip(monitor.cycles, monitor.cycles[1:], strict=False)}
    assert max(gaps) <= COMMAND_BYTES // config.axi_bytes + 4


def test_limits_the_commands_in_flight():
    config = small()
    dut = EngineQueue(config=config, inflight_depth=2)
    commands = random_commands(4)

    async def testbench(ctx):
        ctx.set(dut.command.ready, 1)
        accepted = 0
        for _ in range(200):
            _, _, valid = await ctx.tick().sample(dut.command.valid)
            accepted += valid
        assert accepted == 2
        ctx.set(dut.retire, 1)
        await ctx.tick()
        ctx.set(dut.retire, 0)
        await ctx.tick().until(dut.command.valid)

    simulate(dut, source(dut.beats, cut(config, commands)), testbench)


@pytest.mark.parametrize("depth", [0, 1, 3, "4"])
def test_refuses_bad_depths(depth):
    with pytest.raises(ValueError, match=rf"^In-flight depth must be a power of two of at least 2, not {depth!r}$"):
        EngineQueue(config=small(), inflight_depth=depth)
