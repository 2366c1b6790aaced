"""The host's side of the link: frames, repetitions and messages, against a model of the device."""

import random
import zlib

import pytest
from typer.testing import CliRunner

from systolith.command_processor import register_constants
from systolith_boards.host.device import device_config
from systolith_boards.host.frames import FrameDecoder, encode_frame
from systolith_boards.host.link import Link, LinkError, open_link
from systolith_boards.shell.protocol import ANSWER, ESCAPE, FLAG, FRAME_BYTES, MAX_DATA, WINDOW, Command, Identity, Status
from systolith_cli.main import app
from systolith_spec.presets import preset
from systolith_spec.registers import register


class Device:
    """A port with a board behind it, which loses or damages what it is told to.

    `damage(direction, number, frame)` returns the bytes that arrive instead of a frame, with its number.
    """

    def __init__(self, *, memory_bytes=8192, config="tiny-4x4", damage=None):
        self.memory = bytearray(memory_bytes)
        constants = register_constants(preset(config))
        self.registers = {register(name).offset: value for name, value in constants.items()}
        self.decoder = FrameDecoder()
        self.to_host = bytearray()
        self.damage = damage or (lambda direction, number, frame: frame)
        self.numbers = {"request": 0, "answer": 0}
        self.last_write = None
        self.writes = []

    def write(self, data):
        for contents in self.decoder.feed(self._arrived("request", data)):
            self.to_host += self._arrived("answer", encode_frame(self._answer(contents)))

    def read(self):
        data, self.to_host = bytes(self.to_host), bytearray()
        return data

    def _arrived(self, direction, frame):
        self.numbers[direction] += 1
        return self.damage(direction, self.numbers[direction], frame)

    def _answer(self, contents):
        command, sequence, address, operand = contents[0], contents[1], int.from_bytes(contents[2:6], "little"), contents[6:]
        status, data = Status.OK, b""
        if command == Command.IDENTIFY:
            data = Identity(board="model", memory_bytes=len(self.memory), clock_hz=1, accelerator=True).encode()
            self.last_write = None
        elif command == Command.READ_MEMORY:
            data = bytes(self.memory[address:address + int.from_bytes(operand, "little")])
        elif command == Command.WRITE_MEMORY:
            self.memory[address:address + len(operand)] = operand
        elif command == Command.READ_REGISTER and address in self.registers:
            data = self.registers[address].to_bytes(4, "little")
        elif command == Command.WRITE_REGISTER:
            if self.last_write != sequence:
                self.writes.append((address, int.from_bytes(operand, "little")))
            self.last_write = sequence
        else:
            status = Status.BUS_ERROR
        return bytes([command | ANSWER, sequence, status]) + data


@pytest.mark.parametrize("size", [1, 2, 100, FRAME_BYTES - 4])
def test_frames_round_trip(size):
    rng = random.Random(size)
    for contents in (rng.randbytes(size), bytes([FLAG]) * size, bytes([ESCAPE]) * size, bytes(size)):
        frame = encode_frame(contents)
        assert frame[0] == frame[-1] == FLAG and FLAG not in frame[1:-1]
        decoder = FrameDecoder()
        assert [got for byte in frame for got in decoder.feed(bytes([byte]))] == [contents]
        assert FrameDecoder().feed(frame * 3) == [contents] * 3


@pytest.mark.parametrize("contents", [b"", bytes(FRAME_BYTES - 3)])
def test_frames_have_limits(contents):
    with pytest.raises(ValueError, match=rf"^Contents of a frame must be 1 to {FRAME_BYTES - 4} bytes, not {len(contents)}$"):
        encode_frame(contents)


def test_frames_after_garbage():
    rng = random.Random(3)
    good = encode_frame(b"contents")
    for _ in range(300):
        garbage = rng.choice([rng.randbytes(rng.randrange(1, 40)), good[:rng.randrange(1, len(good))],
                              bytes([ESCAPE]), bytes([FLAG] * 3), rng.randbytes(3 * FRAME_BYTES)])
        assert FrameDecoder().feed(garbage + good)[-1] == b"contents"


def test_damaged_frames_are_dropped():
    good = encode_frame(b"contents")
    for position in range(1, len(good) - 1):
        for bit in range(8):
            damaged = bytearray(good)
            damaged[position] ^= 1 << bit
            assert FrameDecoder().feed(bytes(damaged)) == []
    decoder = FrameDecoder()
    overlong = bytes(FRAME_BYTES) + zlib.crc32(bytes(FRAME_BYTES)).to_bytes(4, "little")
    assert decoder.feed(bytes([FLAG]) + overlong + bytes([FLAG]) + b"ab" + bytes([ESCAPE, FLAG])) == []
    assert decoder.dropped == 2


def test_memory_and_registers():
    device = Device()
    link = Link(device)
    assert link.identify().board == "model"
    data = random.Random(4).randbytes(3 * MAX_DATA + 7)
    link.write_memory(11, data)
    assert device.memory[11:11 + len(data)] == data
    assert link.read_memory(11, len(data)) == data
    assert link.read_memory(0, 0) == b""
    link.write_register(8, 1)
    link.write_register(8, 1)
    assert device.writes == [(8, 1)] * 2
    assert device_config(link).name == "tiny-4x4"
    assert link.repeated == 0


@pytest.mark.parametrize("direction", ["request", "answer"])
@pytest.mark.parametrize("kind", ["lost", "damaged", "twice"])
def test_repetitions(direction, kind):
    """Whatever is lost is asked for again; nothing is written twice to a register, nothing is mixed up."""
    def damage(which, number, frame):
        if which != direction or number % 3:
            return frame
        return {"lost": b"", "damaged": b"garbage" + frame[:7] + b"\0" + frame[8:], "twice": frame + frame}[kind]

    device = Device(damage=damage)
    link = Link(device, timeout=0.01)
    data = random.Random(5).randbytes(6 * MAX_DATA)
    link.write_memory(0, data)
    assert link.read_memory(0, len(data)) == data
    for value in range(6):
        link.write_register(4, value)
    assert device.writes == [(4, value) for value in range(6)]
    assert (link.repeated > 0) == (kind != "twice")


def test_window():
    """No more requests than the device has room for are under way."""
    class Counting(Device):
        most = 0

        def write(self, data):
            super().write(data)
            self.most = max(self.most, self.numbers["request"] - self.taken)

        taken = 0

        def read(self):
            data = super().read()
            self.taken += len(FrameDecoder().feed(data))
            return data

    device = Counting()
    Link(device).write_memory(0, bytes(7 * MAX_DATA))
    assert device.most == WINDOW


def test_no_answer():
    device = Device(damage=lambda direction, number, frame: b"")
    with pytest.raises(LinkError, match=r"^No answer from COM9 to IDENTIFY, asked 5 times: is this the right port, .*\?$"):
        Link(device, timeout=0.001, name="COM9").identify()
    assert device.numbers["request"] == 5


def test_refused():
    with pytest.raises(LinkError, match=r"^the board answers BUS_ERROR to READ_REGISTER at 0xffc$"):
        Link(Device()).read_register(0xFFC)


def test_something_else_answers():
    device = Device()
    device._answer = lambda contents: bytes([contents[0] | ANSWER, contents[1], 0]) + b"HELLO"
    with pytest.raises(LinkError, match=r"^the board is not a board of this program: Identity must be 32 bytes"):
        Link(device).identify()


def test_other_version():
    device = Device()
    device.registers[register("VERSION").offset] = 5
    with pytest.raises(LinkError, match=r"^The accelerator on the board has version 0x5 of registers and commands"):
        device_config(Link(device))


def test_no_preset():
    device = Device()
    device.registers[register("CONFIG_WEIGHT").offset] = 12345
    with pytest.raises(LinkError, match=r"^The accelerator on the board \(4x4\) is none of the presets"):
        device_config(Link(device))


def test_identity_round_trips():
    identity = Identity(board="sixteen-letters-", memory_bytes=1 << 20, clock_hz=75_000_000, accelerator=False)
    assert Identity.decode(identity.encode()) == identity
    with pytest.raises(ValueError, match=r"^Version of the protocol must be 1, not 2$"):
        Identity.decode(b"SYSL\2" + identity.encode()[5:])


@pytest.mark.parametrize(("target", "text"), [
    ("serial:/nowhere/at/all", "Cannot open /nowhere/at/all"),
    ("serial:nonsense://", "Cannot open nonsense://"),
    ("usb:1", "Target must be serial: and a port"),
    ("serial:", "Target must be serial: and a port"),
])
def test_bad_targets(target, text, tmp_path):
    demo = __file__.replace("sim/test_host_link.py", "scripts/demo/lenet5.tflite")
    result = CliRunner().invoke(app, ["run", demo, "--target", target])
    assert result.exit_code == 2 and text in result.stderr, result.output
    assert len(result.stderr.strip().splitlines()) == 1


def test_pyserial_urls():
    """`loop://` returns what is sent: a request is no answer."""
    with pytest.raises(LinkError, match="No answer from loop://"):
        open_link("loop://", baud=9600, timeout=0.01).identify()
