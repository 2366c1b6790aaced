"""Coroutines of test_faults: what goes wrong around the accelerator, and that it stays inside it.

After every fault: the run ends, code, engine and address of the error are right where they are known, no byte
outside the program's range or below what it may write has changed, and the next run of the good program gives every byte
it should.
"""

import base64
import random
import zlib

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, SimTimeoutError, with_timeout

from systolith_sim.axi_memory import MemoryAccess
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.register_driver import RegisterDriver
from systolith_spec.commands import COMMAND_BYTES, COMMANDS, Engine, Opcode
from systolith_spec.registers import REGISTERS, ErrorCode, register

_PERIOD_NS = 10
_START, _CLEAR, _ABORT = 1, 2, 4
_PROCESSOR = 15
_DONE, _FAILED = 2, 6
_GUARD = b"\xa5"


def _unpack(text):
    return zlib.decompress(base64.b64decode(text))


class Bench:
    """Accelerator, memory with faults, and a host."""

    def __init__(self, dut):
        self.dut = dut
        self.given = arguments()
        self.base, self.limit = self.given["base"], self.given["limit"]
        self.writable, self.watchdog = self.given["writable"], self.given["watchdog"]
        self.image, self.wanted = _unpack(self.given["memory"]), _unpack(self.given["wanted"])
        self.memory = MemoryAccess(dut.memory, data_width=self.given["data_width"])
        self.host = RegisterDriver(dut)
        self.random = random.Random(cocotb.RANDOM_SEED)

    async def start(self):
        """Clock, reset, and guard bytes around the image."""
        Clock(self.dut.clk, _PERIOD_NS, unit="ns", impl="gpi").start()
        await self.reset()
        self.memory.write(0, _GUARD * self.given["size"])
        await self.restore()

    async def reset(self, cycles=4):
        """Reset accelerator and memory, whatever they are doing."""
        self.dut.rst.value = 1
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready"):
            getattr(self.dut, f"s_axil_{name}").value = 0
        await self.pause(cycles)
        self.dut.rst.value = 0
        await self.pause(2)

    async def pause(self, cycles):
        """Some clock cycles."""
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def restore(self):
        """Bring the image back."""
        self.only_read = bytearray(self.image[:self.writable])
        self.memory.write(self.base, self.image)
        await RisingEdge(self.dut.clk)

    async def replace(self, index, command):
        """Put something else in the place of a command, or of the beginning of it."""
        offset = index * COMMAND_BYTES
        self.only_read[offset:offset + len(command)] = command
        self.memory.write(self.base + offset, command)
        await RisingEdge(self.dut.clk)

    async def read(self, name):
        """Value of a register."""
        return await self.host.read(register(name).offset)

    async def write(self, name, value):
        """Write a register."""
        await self.host.write(register(name).offset, value)

    async def begin(self, program=0):
        """Start a program."""
        for name, value in (("BASE", self.base), ("PROGRAM", program), ("LIMIT", self.limit),
                            ("WRITABLE", self.writable), ("WATCHDOG", self.watchdog), ("INTERRUPT", 1)):
            await self.write(name, value)
        await self.write("CONTROL", _START)

    async def end(self, what):
        """Wait for the interrupt; returns (STATUS, code, engine, response, address)."""
        if not self.dut.irq.value:
            try:
                # A run may go on as long as something retires; then the watchdog counts, once more while it drains.
                await with_timeout(RisingEdge(self.dut.irq), 20 * self.watchdog * _PERIOD_NS, "ns")
            except SimTimeoutError:
                raise AssertionError(f"hangs: {what}") from None
        status, error, address = await self.read("STATUS"), await self.read("ERROR"), await self.read("ERROR_ADDRESS")
        return status, error & 0xFF, error >> 8 & 0xF, error >> 12, address

    async def good_run(self, what):
        """The good program gives exactly what it should."""
        await self.restore()
        await self.begin()
        ended = await self.end(f"good program after {what}")
        assert ended[0] == _DONE, f"good program after {what}: {ended}"
        self.compare(f"after {what}")

    def compare(self, what):
        """Image as wanted, guard bytes as they were."""
        got = self.memory.read(self.base, len(self.wanted))
        wrong = [index for index in range(len(got)) if got[index] != self.wanted[index]]
        assert not wrong, f"{what}: {len(wrong)} bytes differ, first at {wrong[0]:#x}"
        self.guards(what)

    def guards(self, what):
        """No byte outside the range of the program has changed, nor one that it only reads."""
        assert self.memory.read(self.base, self.writable) == self.only_read, f"{what}: write below {self.writable:#x}"
        end = self.base + self.limit
        for begin, count in ((0, self.base), (end, self.given["size"] - end)):
            assert self.memory.read(begin, count) == _GUARD * count, f"{what}: write outside the range of the program"


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def error_responses(dut):
    """SLVERR and DECERR on every kind of access."""
    bench = Bench(dut)
    await bench.start()
    await bench.good_run("reset")
    reported = []
    for name, (begin, count, engine) in bench.given["regions"].items():
        for response, kind in ((2, "slverr"), (3, "decerr")):
            first = bench.base + begin
            getattr(dut.memory, f"{kind}_base").value = first
            getattr(dut.memory, f"{kind}_size").value = count
            await bench.begin()
            ended = await bench.end(f"{kind} on {name}")
            getattr(dut.memory, f"{kind}_size").value = 0
            code = ErrorCode.WRITE_RESPONSE if engine == Engine.STORE else ErrorCode.READ_RESPONSE
            assert ended[:4] == (_FAILED, code, engine, response), f"{kind} on {name}: {ended}"
            # The burst may begin ahead of the bytes that fail.
            assert first - 256 < ended[4] < first + count, f"{kind} on {name}: {ended[4]:#x}"
            bench.guards(f"{kind} on {name}")
            await bench.good_run(f"{kind} on {name}")
            reported.append(f"{kind} on {name}")
    record(cases=reported)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def memory_that_never_answers(dut):
    """Each channel falls silent at some moment: the watchdog ends the run, and a memory that wakes up is no harm."""
    bench = Bench(dut)
    await bench.start()
    stopped = 0
    for silent in (1, 2, 4, 8, 15):
        for delay in bench.given["delays"]:
            what = f"silence {silent:#x} from cycle {delay} on"
            await bench.begin()
            await bench.pause(delay)
            dut.memory.silent.value = silent
            status, code, engine, _, _ = await bench.end(what)
            if status != _DONE:
                stopped += 1
                assert (status, code, engine) == (_FAILED, ErrorCode.WATCHDOG, _PROCESSOR), f"{what}: {code}, {engine}"
            if silent != 4:
                # Whatever was under way cannot be completed: the next run does not begin, and says so.
                await bench.begin()
                status, code, _, _, _ = await bench.end(what)
                assert status == _DONE or code == ErrorCode.WATCHDOG
            dut.memory.silent.value = 0
            bench.guards(what)
            await bench.good_run(what)
    record(stopped=stopped)


@cocotb.test(timeout_time=2, timeout_unit="sec")
async def corrupted_commands(dut):
    """Every field of every command with other values, and random bits anywhere in the program."""
    bench = Bench(dut)
    await bench.start()
    count = bench.given["commands"]
    original = {index: bench.image[index * COMMAND_BYTES:(index + 1) * COMMAND_BYTES] for index in range(count)}
    cases = []
    for index, text in original.items():
        word = int.from_bytes(text, "little")
        command = next(entry for entry in COMMANDS if entry.opcode == word & 0xF)
        for field in command.fields:
            place, mask = 32 * field.word + field.lsb, (1 << field.width) - 1
            for value in {0, mask, mask >> 1, bench.random.getrandbits(field.width)}:
                cases.append((f"{command.name} {index}.{field.name} = {value:#x}", index,
                              word & ~(mask << place) | value << place))
    for _ in range(bench.given["random"]):
        index = bench.random.randrange(count)
        flips = sum(1 << bench.random.randrange(8 * COMMAND_BYTES) for _ in range(bench.random.choice((1, 1, 2, 8))))
        cases.append((f"command {index} xor {flips:#x}", index, int.from_bytes(original[index], "little") ^ flips))
    bench.random.shuffle(cases)
    cases = cases[:bench.given["most"]]
    ends = {}
    for number, (what, index, word) in enumerate(cases):
        await bench.replace(index, (word % (1 << 512)).to_bytes(COMMAND_BYTES, "little"))
        await bench.begin()
        status, code, engine, _, address = await bench.end(what)
        assert status in (_DONE, _FAILED), what
        assert (status == _FAILED) == (code != ErrorCode.NONE), what
        if word & 0xF not in set(Opcode):
            assert (code, engine, address) == (ErrorCode.BAD_COMMAND, _PROCESSOR, bench.base + index * COMMAND_BYTES), what
        ends[ErrorCode(code).name] = ends.get(ErrorCode(code).name, 0) + 1
        bench.guards(what)
        if number % 8 == 0:
            await bench.good_run(what)
        else:
            # What it has written may be anywhere in its range.
            await bench.restore()
    await bench.good_run("corrupted commands")
    record(cases=len(cases), ends=ends)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def damaged_stores(dut):
    """A STORE with another address, or whose second run goes back, ends the program before what it only reads."""
    bench = Bench(dut)
    await bench.start()
    for case in bench.given["cases"]:
        what = f"STORE {case['fields']}"
        await bench.replace(case["index"], bytes.fromhex(case["command"]))
        await bench.begin()
        ended = await bench.end(what)
        assert ended == (_FAILED, ErrorCode.OUT_OF_RANGE, Engine.STORE, 0, bench.base + case["bad"]), f"{what}: {ended}"
        bench.guards(what)
        await bench.good_run(what)
    record(cases=len(bench.given["cases"]))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def token_starvation(dut):
    """Each token that the program needs is withheld once."""
    bench = Bench(dut)
    await bench.start()
    starved = 0
    for index in range(bench.given["commands"]):
        header = int.from_bytes(bench.image[index * COMMAND_BYTES:][:4], "little")
        for bit in range(8, 12):
            if header >> bit & 1:
                await bench.replace(index, (header & ~(1 << bit)).to_bytes(4, "little"))
                await bench.begin()
                status, code, engine, _, _ = await bench.end(f"token {bit - 8} of command {index}")
                assert (status, code, engine) == (_FAILED, ErrorCode.WATCHDOG, _PROCESSOR)
                await bench.good_run(f"token {bit - 8} of command {index}")
                starved += 1
    record(starved=starved)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def resets(dut):
    """A reset in any cycle of a run: afterwards everything is as after the first one."""
    bench = Bench(dut)
    await bench.start()
    initial = {entry.name: await bench.host.read(entry.offset) for entry in REGISTERS}
    for delay in bench.given["delays"]:
        await bench.begin()
        await bench.pause(delay)
        await bench.reset(cycles=1 + bench.random.randrange(3))
        assert not dut.irq.value
        assert {entry.name: await bench.host.read(entry.offset) for entry in REGISTERS} == initial
        await bench.good_run(f"a reset {delay} cycles after the start")
    record(resets=len(bench.given["delays"]))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def host_in_mid_run(dut):
    """Starts while busy, and reads and writes of every register during a run, change nothing of it."""
    bench = Bench(dut)
    await bench.start()
    accesses = 0
    for _ in range(bench.given["runs"]):
        await bench.restore()
        await bench.begin()
        while not dut.irq.value:
            entry = bench.random.choice(REGISTERS)
            choice = bench.random.randrange(3)
            if choice == 0:
                await bench.write("CONTROL", bench.random.choice((0, _START)))
            elif choice == 1 and entry.name not in ("CONTROL", "WATCHDOG", "INTERRUPT"):
                await bench.host.write(entry.offset, bench.random.getrandbits(32))
            else:
                await bench.host.read(entry.offset)
            accesses += 1
            await FallingEdge(dut.clk)
        status = await bench.read("STATUS")
        # A start just behind the end of the run is a new one; with other registers it may fail, but it ends.
        if status != _DONE:
            await bench.write("CONTROL", _ABORT)
            await bench.end("abort")
        else:
            bench.compare("register accesses in mid-run")
        await bench.good_run("register accesses in mid-run")
    record(accesses=accesses)
