"""The shell of a board: UART, frames, host bridge, main memory; no accelerator needed."""

import random

import pytest
from amaranth.sim import Simulator

from systolith_boards.host.frames import FrameDecoder, encode_frame
from systolith_boards.shell.protocol import ESCAPE, FLAG, FRAME_BYTES, MAX_DATA, WINDOW, Command, Identity, Status
from systolith_boards.shell.shell import Shell
from systolith_spec.presets import preset

MEMORY = 4096
DIVISOR = 4


class Wire:
    """The UART pins of a simulated shell."""

    def __init__(self, dut):
        self.dut = dut
        self.frames = []
        self.done = False

    async def send(self, ctx, data, stop=1):
        for byte in data:
            for bit in (0, *(byte >> i & 1 for i in range(8)), stop):
                ctx.set(self.dut.rx, bit)
                await ctx.tick().repeat(DIVISOR)
            ctx.set(self.dut.rx, 1)

    async def listen(self, ctx):
        decoder = FrameDecoder()
        await ctx.tick().repeat(2)
        while not self.done:
            await ctx.tick()
            if ctx.get(self.dut.tx):
                continue
            await ctx.tick().repeat(DIVISOR + DIVISOR // 2 - 1)
            byte = 0
            for i in range(8):
                byte |= ctx.get(self.dut.tx) << i
                await ctx.tick().repeat(DIVISOR)
            assert ctx.get(self.dut.tx) == 1, "stop bit"
            self.frames += decoder.feed(bytes([byte]))

    async def answer(self, ctx, cycles=3000):
        """Next frame; None if there is none after so many idle cycles."""
        left = cycles
        while left and not self.frames:
            left = left - 1 if ctx.get(self.dut.tx) else cycles
            await ctx.tick()
        return self.frames.pop(0) if self.frames else None


def request(command, sequence, address=0, operand=b""):
    return bytes([command, sequence]) + address.to_bytes(4, "little") + operand


def answer(command, sequence, status=Status.OK, data=b""):
    return bytes([command | 0x80, sequence, status]) + data


def simulate(scenario):
    """Run `scenario(ask, send)` on a shell without accelerator.

    `ask(...)` sends a request and returns the answer, `send(bytes)` sends anything and returns the answer, if any.
    """
    dut = Shell(config=preset("tiny-4x4"), board="test", memory_bytes=MEMORY, clock_hz=DIVISOR * 1_000_000, baud=1_000_000,
                accelerator=False)
    wire = Wire(dut)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def bench(ctx):
        async def send(data, **options):
            await wire.send(ctx, data, **options)
            return await wire.answer(ctx)

        async def ask(*arguments):
            return await send(encode_frame(request(*arguments)))

        await ctx.tick().repeat(10)
        await scenario(ask, send)
        assert not wire.frames, "an answer to nothing"
        wire.done = True

    simulator.add_testbench(bench)
    simulator.add_testbench(wire.listen)
    simulator.run()
    assert wire.done


def test_identify():
    async def scenario(ask, send):
        got = await ask(Command.IDENTIFY, 7)
        assert got[:3] == answer(Command.IDENTIFY, 7)
        assert Identity.decode(got[3:]) == Identity(board="test", memory_bytes=MEMORY, clock_hz=DIVISOR * 1_000_000,
                                                    accelerator=False)

    simulate(scenario)


def test_memory():
    rng = random.Random(1)
    model = bytearray(MEMORY)

    async def scenario(ask, send):
        for sequence, size in enumerate((1, 2, 3, 5, 17, 64, 250)):
            address = rng.randrange(MEMORY - size)
            data = bytes([FLAG, ESCAPE, 0, FLAG ^ 0x20] * size)[:size] if size % 2 else rng.randbytes(size)
            model[address:address + size] = data
            assert await ask(Command.WRITE_MEMORY, sequence, address, data) == answer(Command.WRITE_MEMORY, sequence)
            address = max(0, address - rng.randrange(8))
            size = min(size + 9, MEMORY - address)
            got = await ask(Command.READ_MEMORY, sequence, address, size.to_bytes(2, "little"))
            assert got == answer(Command.READ_MEMORY, sequence, data=bytes(model[address:address + size]))

    simulate(scenario)


@pytest.mark.parametrize(("command", "address", "operand", "status"), [
    (9, 0, b"", Status.BAD_COMMAND),
    (9, 0, b"operand", Status.BAD_COMMAND),
    (Command.IDENTIFY, 0, b"x", Status.BAD_LENGTH),
    (Command.READ_REGISTER, 0, b"x", Status.BAD_LENGTH),
    (Command.READ_REGISTER, 0, b"", Status.BUS_ERROR),
    (Command.WRITE_REGISTER, 0, b"abc", Status.BAD_LENGTH),
    (Command.WRITE_REGISTER, 0, b"abcde", Status.BAD_LENGTH),
    (Command.WRITE_REGISTER, 0, b"abcd", Status.BUS_ERROR),
    (Command.WRITE_MEMORY, 0, b"", Status.BAD_LENGTH),
    (Command.WRITE_MEMORY, MEMORY - 2, b"abc", Status.OUT_OF_RANGE),
    (Command.WRITE_MEMORY, 0xFFFFFFFF, b"abc", Status.OUT_OF_RANGE),
    (Command.READ_MEMORY, 0, b"\1", Status.BAD_LENGTH),
    (Command.READ_MEMORY, 0, b"\0\0", Status.BAD_LENGTH),
    (Command.READ_MEMORY, 0, (MAX_DATA + 1).to_bytes(2, "little"), Status.BAD_LENGTH),
    (Command.READ_MEMORY, MEMORY - 7, b"\10\0", Status.OUT_OF_RANGE),
    (Command.READ_MEMORY, 0xFFFFFFFF, b"\10\0", Status.OUT_OF_RANGE),
])
def test_refused(command, address, operand, status):
    """An answer that says why; the next request is carried out."""
    async def scenario(ask, send):
        assert await ask(command, 3, address, operand) == answer(command, 3, status)
        assert await ask(Command.READ_MEMORY, 4, 0, b"\1\0") == answer(Command.READ_MEMORY, 4, data=b"\0")

    simulate(scenario)


def test_resynchronises():
    """Garbage, damage, truncation, wrong stop bits and overlong frames are dropped; the frame behind them is not."""
    rng = random.Random(2)
    good = encode_frame(request(Command.WRITE_MEMORY, 1, 5, b"abc"))
    flipped = bytearray(good)
    flipped[9] ^= 1
    wrong = request(Command.WRITE_MEMORY, 1, 5, b"abc")

    async def scenario(ask, send):
        for number, garbage in enumerate((
                rng.randbytes(50), bytes(flipped), good[:-4], good[:7], bytes([FLAG]) * 3, bytes([ESCAPE, FLAG]),
                bytes([FLAG]) + wrong + bytes(4) + bytes([FLAG]), encode_frame(b"short"),
                bytes([FLAG]) + rng.randbytes(FRAME_BYTES + 10).replace(b"~", b"-"))):
            assert await send(garbage) is None, number
            expected = answer(Command.READ_MEMORY, number, data=bytes(3))
            assert await ask(Command.READ_MEMORY, number, 5, b"\3\0") == expected, number
        assert await send(good[:5], stop=0) is None
        assert await send(good) == answer(Command.WRITE_MEMORY, 1)
        assert await ask(Command.READ_MEMORY, 2, 5, b"\3\0") == answer(Command.READ_MEMORY, 2, data=b"abc")

    simulate(scenario)


def test_window():
    """Requests sent ahead are answered in order, also when the first answer takes long."""
    read = [encode_frame(request(Command.READ_MEMORY, 1, 0, b"\100\0")),
            encode_frame(request(Command.WRITE_MEMORY, 2, 9, bytes(100))),
            encode_frame(request(Command.IDENTIFY, 3))]

    async def scenario(ask, send):
        first = await send(b"".join(read[:WINDOW]))
        assert first == answer(Command.READ_MEMORY, 1, data=bytes(64))
        assert await send(b"") == answer(Command.WRITE_MEMORY, 2)
        assert (await send(read[2]))[:3] == answer(Command.IDENTIFY, 3)

    simulate(scenario)


@pytest.mark.parametrize("baud", [300_000_000, 30_000_000, 3_000_001 * 9])
def test_baud_must_fit(baud):
    with pytest.raises(ValueError, match=r"^Baud rate must be at most a quarter of the clock of 100000000 Hz .*, not \d+$"):
        Shell(config=preset("tiny-4x4"), board="x", memory_bytes=4096, clock_hz=100_000_000, baud=baud)
