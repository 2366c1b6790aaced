"""Requests to a board and their answers, over anything that carries bytes."""

import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Protocol

import serial

from systolith_boards.host.frames import FrameDecoder, encode_frame
from systolith_boards.shell.protocol import ANSWER, MAX_DATA, WINDOW, Command, Identity, Status

__all__ = ["Link", "LinkError", "open_link"]

_HEADER = struct.Struct("<BBI")
_ANSWER = struct.Struct("<BBB")
_TRIES = 5


class LinkError(RuntimeError):
    """The board does not answer, or refuses; the message is one line."""


class Port(Protocol):
    """What a `Link` needs of a serial port."""

    def write(self, data: bytes) -> int | None:
        """Send bytes."""

    def read(self) -> bytes:
        """Return what has been received, after a short wait if there is nothing."""


class _SerialPort:
    """A port of pyserial that returns as soon as there is something."""

    def __init__(self, port: serial.SerialBase):
        self._port = port

    def write(self, data: bytes) -> None:
        self._port.write(data)

    def read(self) -> bytes:
        return self._port.read(1) + self._port.read(self._port.in_waiting)


class _Request:
    """A request on its way."""

    def __init__(self, sequence: int, command: Command, address: int, operand: bytes):
        self.sequence = sequence
        self.command = command
        self.frame = encode_frame(_HEADER.pack(command, sequence, address) + operand)
        self.address = address
        self.tries = 0
        self.deadline = 0.0
        self.answer: bytes | None = None


class Link:
    """Connection to a board.

    A request without an answer is sent again, up to five times in all.

    Parameters
    ----------
    port : Port
    timeout : float
        Seconds to wait for an answer.
    name : str
        Of the port, for messages.

    Attributes
    ----------
    repeated : int
        Requests sent again so far.
    """

    def __init__(self, port: Port, *, timeout: float = 1.0, name: str = "the board"):
        self._port = port
        self._timeout = timeout
        self._name = name
        self._decoder = FrameDecoder()
        self._sequence = 0
        self.repeated = 0

    def identify(self) -> Identity:
        """What is at the other end.

        Raises
        ------
        LinkError
            Nothing, or something else.
        """
        answer = self._one(Command.IDENTIFY)
        try:
            return Identity.decode(answer)
        except ValueError as error:
            raise LinkError(f"{self._name} is not a board of this program: {error}") from None

    def read_register(self, offset: int) -> int:
        """Value of the register at a byte offset."""
        return self.read_registers([offset])[0]

    def read_registers(self, offsets: Iterable[int]) -> list[int]:
        """Values of the registers at some byte offsets."""
        return [int.from_bytes(answer, "little")
                for answer in self._exchange((Command.READ_REGISTER, offset, b"") for offset in offsets)]

    def write_register(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""
        self._one(Command.WRITE_REGISTER, offset, value.to_bytes(4, "little"))

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of main memory."""
        pieces = ((Command.READ_MEMORY, start, min(MAX_DATA, address + size - start).to_bytes(2, "little"))
                  for start in range(address, address + size, MAX_DATA))
        data = b"".join(self._exchange(pieces))
        if len(data) != size:
            raise LinkError(f"{self._name} sent {len(data)} bytes of memory instead of {size}")
        return data

    def write_memory(self, address: int, data: bytes) -> None:
        """Set bytes of main memory."""
        pieces = ((Command.WRITE_MEMORY, address + start, data[start:start + MAX_DATA])
                  for start in range(0, len(data), MAX_DATA))
        for _ in self._exchange(pieces):
            pass

    def _one(self, command: Command, address: int = 0, operand: bytes = b"") -> bytes:
        (answer,) = self._exchange([(command, address, operand)])
        return answer

    def _exchange(self, requests: Iterable[tuple[Command, int, bytes]]) -> Iterator[bytes]:
        """Send requests, `WINDOW` of them ahead; yield the data of their answers in order."""
        waiting: deque[_Request] = deque()
        for command, address, operand in requests:
            self._sequence = (self._sequence + 1) & 0xFF
            waiting.append(_Request(self._sequence, command, address, operand))
            self._send(waiting[-1])
            if len(waiting) == WINDOW:
                yield self._finish(waiting)
        while waiting:
            yield self._finish(waiting)

    def _finish(self, waiting: deque[_Request]) -> bytes:
        """Wait for the answer to the first of the requests; return its data."""
        while (first := waiting[0]).answer is None:
            for contents in self._decoder.feed(self._port.read()):
                self._take(waiting, contents)
            for request in waiting:
                if request.answer is None and time.monotonic() > request.deadline:
                    self.repeated += 1
                    self._send(request)
        waiting.popleft()
        return first.answer

    def _send(self, request: _Request) -> None:
        if request.tries == _TRIES:
            raise LinkError(f"No answer from {self._name} to {request.command.name}, asked {_TRIES} times: is this the "
                            "right port, and is the bitstream loaded?")
        request.tries += 1
        self._port.write(request.frame)
        request.deadline = time.monotonic() + self._timeout

    def _take(self, waiting: deque[_Request], contents: bytes) -> None:
        """Give an answer to the request it belongs to; others are late answers to what was asked twice."""
        if len(contents) < _ANSWER.size:
            return
        command, sequence, status = _ANSWER.unpack_from(contents)
        for request in waiting:
            if (command, sequence) == (request.command | ANSWER, request.sequence):
                if status != Status.OK:
                    name = Status(status).name if status in list(Status) else str(status)
                    raise LinkError(f"{self._name} answers {name} to {request.command.name} at {request.address:#x}")
                request.answer = contents[_ANSWER.size:]


def open_link(url: str, *, baud: int, timeout: float = 1.0) -> Link:
    """Open a serial port: a device name, or any URL of pyserial such as ``socket://localhost:7000``.

    Raises
    ------
    LinkError
        It cannot be opened.
    """
    try:
        port = serial.serial_for_url(url, baudrate=baud, timeout=0.02)
    except (serial.SerialException, ValueError, OSError) as error:
        raise LinkError(f"Cannot open {url}: {error}") from None
    with suppress(AttributeError, NotImplementedError, OSError, ValueError):
        port.set_low_latency_mode(True)  # else some USB adapters hold received bytes back for 16 ms
    port.reset_input_buffer()
    return Link(_SerialPort(port), timeout=timeout, name=url)
