"""Tests of the command processor with engines that only retire."""

from collections import Counter
from dataclasses import replace

import pytest

from systolith.command_processor import CommandProcessor
from systolith_sim.axi_lite import AxiLiteHost
from systolith_sim.axi_model import AxiMemory
from systolith_sim.fake_engines import FakeEngines, random_program
from systolith_sim.pysim import simulate
from systolith_spec.commands import Engine, command_for_opcode, encode
from systolith_spec.presets import preset
from systolith_spec.registers import ID_VALUE, ErrorCode

LOAD, COMPUTE, VECTOR, STORE = (1 << engine for engine in Engine)
BASE = 0x4000
PROGRAM = 0x1C0
SIZE = 0x8000
END = encode("END")
START, CLEAR, ABORT = 1, 2, 4
DONE, FAILED = 2, 6


def small(**changes):
    return replace(preset("tiny-4x4"), name="test", **changes)


class Bench:
    """Command processor, memory, engines and host."""

    def __init__(self, config=None, *, latency=8, stall=0.2, errors=None, host_stall=0.0, **engines):
        self.config = config or small()
        self.dut = CommandProcessor(config=self.config)
        self.memory = AxiMemory(bytearray(SIZE), config=self.config, origin=BASE, latency=latency, stall=stall,
                                errors=errors, seed=3)
        self.host = AxiLiteHost(self.dut, stall=host_stall)
        self.engines = FakeEngines(self.dut.engines, **engines)
        self.traced = []

    def place(self, commands, offset=PROGRAM):
        data = b"".join(commands)
        self.memory.data[offset:offset + len(data)] = data

    async def _trace(self, ctx):
        async for _, _, retire, layers in ctx.tick().sample(self.dut.trace_retire, self.dut.trace_layer):
            for engine in Engine:
                if retire >> engine & 1:
                    self.traced.append((int(engine), layers >> 12 * engine & 0xFFF))

    async def _count_beats(self, ctx):
        read = self.dut.axi.r
        async for valid, ready in ctx.changed(read.valid, read.ready):
            ctx.set(self.dut.read_beat, valid & ready)

    def simulate(self, testbench, timeout_cycles=20000):
        background = [self.engines.engine(index, self.dut.reset) for index in range(4)]
        simulate(self.dut, testbench, timeout_cycles=timeout_cycles,
                 background=[*background, self._trace, self._count_beats, self.memory.reader(self.dut.axi)])

    async def start(self, ctx, *, limit=0, watchdog=0, offset=PROGRAM, writable=0):
        for name, value in (("BASE", BASE), ("PROGRAM", offset), ("LIMIT", limit), ("WRITABLE", writable),
                            ("WATCHDOG", watchdog), ("INTERRUPT", 1), ("CONTROL", START)):
            await self.host.write(ctx, name, value)

    async def wait(self, ctx):
        """Wait for the interrupt; return STATUS and ERROR as (code, engine, response) and ERROR_ADDRESS."""
        if not ctx.get(self.dut.irq):
            await ctx.tick().until(self.dut.irq)
        status = await self.host.read(ctx, "STATUS")
        error = await self.host.read(ctx, "ERROR")
        address = await self.host.read(ctx, "ERROR_ADDRESS")
        return status, (ErrorCode(error & 0xFF), error >> 8 & 0xF, error >> 12 & 3), address

    def check_all_done(self, commands):
        """Every command arrived once, in order and unchanged, and was traced."""
        wanted = [[] for _ in Engine]
        layers = Counter()
        for command in commands:
            engine = command_for_opcode(command[0] & 0xF).engine
            wanted[engine].append(command)
            layers[int(engine), int.from_bytes(command[:4], "little") >> 12 & 0xFFF] += 1
        assert self.engines.accepted == wanted
        assert len(self.engines.retired) == len(commands)
        assert Counter(self.traced) == layers
        assert self.engines.idle


CONFIGS = [
    small(), small(queue_commands=2), small(queue_commands=3, axi_data_width=64),
    small(axi_data_width=128, burst_beats=16), small(axi_data_width=32, burst_beats=1),
    small(axi_data_width=64, burst_beats=6),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.axi_data_width}-{c.queue_commands}-{c.burst_beats}")
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_programs(config, stall):
    bench = Bench(config, stall=stall, seed=7, in_flight=6)
    commands = random_program(60, seed=11)
    bench.place([*commands, END])

    async def testbench(ctx):
        await bench.start(ctx)
        assert await bench.host.read(ctx, "STATUS") == 1
        assert await bench.wait(ctx) == (DONE, (ErrorCode.NONE, 0, 0), 0)
        assert await bench.host.read(ctx, "COMMANDS") == len(commands)
        assert await bench.host.read(ctx, "BYTES_READ") == config.axi_bytes * len(bench.memory.read_beats)

    bench.simulate(testbench)
    bench.check_all_done(commands)


def test_runs_again_and_again():
    bench = Bench(host_stall=0.3)
    programs = [random_program(20, seed=seed) for seed in range(3)]

    async def testbench(ctx):
        for number, commands in enumerate(programs):
            bench.place([*commands, END], 0x1000 * number)
            bench.engines.forget()
            bench.traced.clear()
            await bench.start(ctx, offset=0x1000 * number)
            # A start while busy is ignored.
            await bench.host.write(ctx, "CONTROL", START)
            assert (await bench.wait(ctx))[0] == DONE
            bench.check_all_done(commands)
            cycles = await bench.host.read(ctx, "CYCLES")
            await bench.host.write(ctx, "CONTROL", CLEAR)
            assert not ctx.get(bench.dut.irq)
            assert await bench.host.read(ctx, "STATUS") == 0
            assert await bench.host.read(ctx, "CYCLES") == cycles > 20

    bench.simulate(testbench)


def test_empty_program():
    bench = Bench()
    bench.place([END])

    async def testbench(ctx):
        await bench.start(ctx)
        assert (await bench.wait(ctx))[0] == DONE
        assert await bench.host.read(ctx, "COMMANDS") == 0

    bench.simulate(testbench)


def test_cycles_and_busy_counters():
    bench = Bench(stall=0.0, longest=0, in_flight=1)
    commands = [encode("LOAD", signal=VECTOR), encode("VECTOR", wait=LOAD), encode("STORE")]
    bench.place([*commands, END])
    begin = end = None

    async def watch(ctx):
        nonlocal begin, end
        await bench.start(ctx)
        await ctx.tick().until(bench.dut.irq)
        values = {name: await bench.host.read(ctx, name) for name in (
            "CYCLES", "LOAD_BUSY", "VECTOR_BUSY", "STORE_BUSY", "COMPUTE_BUSY", "VECTOR_STALL_TOKEN",
            "STORE_STALL_TOKEN", "BYTES_WRITTEN")}
        assert values["LOAD_BUSY"] == values["VECTOR_BUSY"] == values["STORE_BUSY"] > 0
        assert values["COMPUTE_BUSY"] == values["STORE_STALL_TOKEN"] == values["BYTES_WRITTEN"] == 0
        assert 40 < values["CYCLES"] < 400

    bench.simulate(watch)


def run_failing(bench, code, engine, *, response=0, address=None, action=None, clean=True, **start):
    """Run a program that must fail, then a good one."""
    good = random_program(25, seed=5)

    async def testbench(ctx):
        await bench.start(ctx, **start)
        if action:
            await action(ctx)
        status, error, where = await bench.wait(ctx)
        assert (status, error) == (FAILED, (code, engine, response))
        if address is not None:
            assert where == address, f"{where:#x} instead of {address:#x}"
        if not clean:
            return
        bench.engines.forget()
        bench.engines.hang = set()
        bench.traced.clear()
        bench.memory.errors = {}
        bench.place([*good, END], 0x3000)
        await bench.start(ctx, offset=0x3000)
        assert await bench.wait(ctx) == (DONE, (ErrorCode.NONE, 0, 0), 0)
        bench.check_all_done(good)

    bench.simulate(testbench)


@pytest.mark.parametrize("bad", [
    bytes([6]) + bytes(63), bytes([15]) + bytes(63), encode("LOAD", wait=LOAD), encode("STORE", signal=STORE),
    encode("PARAMS", signal=VECTOR), encode("LOAD", space=3),
], ids=["opcode-6", "opcode-15", "wait", "signal", "signal-params", "space"])
@pytest.mark.parametrize("before", [0, 17])
def test_bad_command(bad, before):
    bench = Bench()
    bench.place([*random_program(before, seed=2), bad, *random_program(4, seed=3), END])
    run_failing(bench, ErrorCode.BAD_COMMAND, 15, address=BASE + PROGRAM + 64 * before)


@pytest.mark.parametrize("response", [2, 3])
def test_read_error_of_a_command(response):
    address = BASE + PROGRAM + 64 * 9
    # One burst a command, so that the error belongs to one command.
    bench = Bench(small(axi_data_width=128, burst_beats=4), errors={address: response})
    bench.place([*random_program(20, seed=2), END])
    run_failing(bench, ErrorCode.READ_RESPONSE, 15, response=response, address=address)


def test_read_error_behind_the_end_is_ignored():
    commands = random_program(5, seed=2)
    bench = Bench(errors={BASE + 0x100 * 3: 2})
    bench.place([*commands, END], 0x100)

    async def testbench(ctx):
        await bench.start(ctx, offset=0x100)
        assert (await bench.wait(ctx))[0] == DONE

    bench.simulate(testbench)
    assert any(address >= BASE + 0x300 for address, _ in bench.memory.read_bursts)
    bench.check_all_done(commands)


@pytest.mark.parametrize(("missing", "others"), [
    *((missing, {}) for missing in (0, 1, 64, 100, 64 * 9, 64 * 10, 64 * 10 + 1)),
    (0, {"writable": SIZE}), (64, {"writable": SIZE}), (0, {"guard": 0}), (64, {"guard": 0}), (64, {"guard": SIZE}),
])
def test_limit(missing, others):
    """LIMIT, or WRITABLE with a LIMIT of ``guard``, ends the program ``missing`` bytes before its end."""
    commands = random_program(10, seed=2)
    length = 64 * 11
    limit = PROGRAM + length - missing
    bench = Bench()
    bench.place([*commands, END])
    lowest = BASE + PROGRAM + max(0, length - missing) // 64 * 64
    ranges = {"limit": others["guard"], "writable": limit} if "guard" in others else {"limit": limit, **others}
    if missing:
        run_failing(bench, ErrorCode.OUT_OF_RANGE, 15, address=lowest, **ranges, clean=False)
    else:
        async def testbench(ctx):
            await bench.start(ctx, **ranges)
            assert (await bench.wait(ctx))[0] == DONE
        bench.simulate(testbench)
    size = bench.config.axi_bytes
    assert all(address + beats * size <= BASE + limit for address, beats in bench.memory.read_bursts)


def test_program_beyond_the_limit():
    run_failing(Bench(), ErrorCode.OUT_OF_RANGE, 15, address=BASE + PROGRAM, limit=64, clean=False)


def test_ranges_are_those_of_the_start():
    """BASE, LIMIT and WRITABLE may be written during a run: they count from the next start on."""
    bench = Bench()
    commands = random_program(20, seed=4)
    bench.place([*commands, END])
    given = (BASE, SIZE, 0x1240)

    def ranges(ctx):
        return tuple(ctx.get(port) for port in (bench.dut.base, bench.dut.limit, bench.dut.writable))

    async def testbench(ctx):
        await bench.start(ctx, limit=SIZE, writable=0x1240)
        assert ranges(ctx) == given
        for name, value in (("BASE", 0x1000), ("LIMIT", 64), ("WRITABLE", 0x4FC0)):
            await bench.host.write(ctx, name, value)
            assert ranges(ctx) == given and await bench.host.read(ctx, name) == value
        assert await bench.wait(ctx) == (DONE, (ErrorCode.NONE, 0, 0), 0)
        await bench.host.write(ctx, "CONTROL", START)
        assert ranges(ctx) == (0x1000, 64, 0x4FC0)
        assert (await bench.wait(ctx))[1][0] == ErrorCode.OUT_OF_RANGE

    bench.simulate(testbench)
    bench.check_all_done(commands)


def test_watchdog():
    bench = Bench(hang={Engine.COMPUTE})
    bench.place([encode("LOAD"), encode("COMPUTE", signal=STORE), encode("STORE", wait=COMPUTE), END])
    run_failing(bench, ErrorCode.WATCHDOG, 15, watchdog=200)


def test_missing_token_ends_in_the_watchdog():
    bench = Bench()
    bench.place([encode("LOAD", wait=STORE), encode("VECTOR"), END])
    run_failing(bench, ErrorCode.WATCHDOG, 15, watchdog=300)


@pytest.mark.parametrize("delay", [0, 3, 10, 30, 100, 300])
def test_abort(delay):
    bench = Bench(latency=30)
    bench.place([*random_program(60, seed=4), END])

    async def abort(ctx):
        await ctx.tick().repeat(delay + 1)
        await bench.host.write(ctx, "CONTROL", ABORT)

    run_failing(bench, ErrorCode.NONE, 15, action=abort)


def test_abort_while_idle_is_ignored():
    bench = Bench()
    bench.place([END])

    async def testbench(ctx):
        await bench.host.write(ctx, "CONTROL", ABORT)
        assert await bench.host.read(ctx, "STATUS") == 0
        await bench.start(ctx)
        assert (await bench.wait(ctx))[0] == DONE

    bench.simulate(testbench)


@pytest.mark.parametrize("engine", [Engine.LOAD, Engine.STORE])
def test_dma_errors(engine):
    bench = Bench()
    bench.place([*random_program(60, seed=4), END])
    port = bench.dut.load_error if engine == Engine.LOAD else bench.dut.store_error

    async def fail(ctx):
        await ctx.tick().repeat(100)
        code = ErrorCode.READ_RESPONSE if engine == Engine.LOAD else ErrorCode.WRITE_RESPONSE
        ctx.set(port, {"valid": 1, "code": int(code), "address": 0xABCD1230, "response": 3})
        await ctx.tick()
        ctx.set(port, {"valid": 0, "code": 0, "address": 0, "response": 0})
        # Not the first error any more.
        ctx.set(bench.dut.store_error, {"valid": 1, "code": 2, "address": 0x10, "response": 2})
        await ctx.tick()
        ctx.set(bench.dut.store_error, {"valid": 0, "code": 0, "address": 0, "response": 0})

    code = ErrorCode.READ_RESPONSE if engine == Engine.LOAD else ErrorCode.WRITE_RESPONSE
    run_failing(bench, code, int(engine), response=3, address=0xABCD1230, action=fail)


def test_gives_up_draining_and_recovers():
    """A LOAD engine that stays busy after an abort neither hangs the run nor spoils the next one."""
    bench = Bench(hang={Engine.COMPUTE})
    bench.place([encode("LOAD"), encode("COMPUTE"), END])
    bench.place([encode("STORE"), END], 0x800)
    stuck = bench.dut.engines[Engine.LOAD].busy

    async def testbench(ctx):
        await bench.start(ctx, watchdog=150)
        await ctx.tick().until(bench.dut.abort == 0)
        for _ in range(2000):
            # Overrides what the fake engine drives.
            ctx.set(stuck, 1)
            await ctx.tick()
            if ctx.get(bench.dut.irq):
                break
        else:
            raise AssertionError("waits for the engine without end")
        status, error, _ = await bench.wait(ctx)
        assert (status, error[0]) == (FAILED, ErrorCode.WATCHDOG)
        assert ctx.get(bench.dut.abort)
        await bench.start(ctx, watchdog=5000, offset=0x800)
        assert (await bench.wait(ctx))[0] == DONE

    bench.simulate(testbench)


def test_constants():
    bench = Bench(small(rows=5, cols=6, vector_lanes=3, pooling=True, residual_add=False))

    async def testbench(ctx):
        assert await bench.host.read(ctx, "ID") == ID_VALUE
        assert await bench.host.read(ctx, "CONFIG_ROWS") == 5
        assert await bench.host.read(ctx, "CONFIG_COLS") == 6
        assert await bench.host.read(ctx, "CONFIG_LANES") == 3
        assert await bench.host.read(ctx, "CONFIG_FEATURES") == 1 << 8 | 1 << 3 | 1 << 2 | 1 << 1

    bench.simulate(testbench)
