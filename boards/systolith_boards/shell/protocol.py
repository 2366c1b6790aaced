"""The host link: frames, requests and answers, one table for hardware and host software.

Bytes travel over a UART, 8 data bits, no parity, one stop bit. Frames are those of RFC 1662 (HDLC): a frame ends with
`FLAG`; bytes `FLAG` and `ESCAPE` inside are sent as `ESCAPE` and the byte XOR `ESCAPE_XOR`; the last four bytes
are the CRC-32 (the usual one, as in zlib) of those before, least significant byte first. A receiver that has lost its place
finds it again at the next `FLAG`. What is damaged is dropped; whoever asked asks again.

Request
    command, sequence number, address (4 bytes), operand. Integers are little-endian.
Answer
    command | `ANSWER`, the sequence number of the request, status, data.

======================  =======================  ==========================
command                 operand                  data of the answer
======================  =======================  ==========================
IDENTIFY                none                     `IDENTITY`
READ_MEMORY             bytes to read (2 bytes)  bytes of main memory
WRITE_MEMORY            bytes to write           none
READ_REGISTER           none                     value (4 bytes)
WRITE_REGISTER          value (4 bytes)          none
======================  =======================  ==========================

At most `WINDOW` requests may be unanswered. A WRITE_REGISTER with the sequence number of the one before is a repetition:
it is answered, not executed again. IDENTIFY makes the device forget that number.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "ANSWER", "Command", "ESCAPE", "ESCAPE_XOR", "FLAG", "FRAME_BYTES", "HEADER_BYTES", "Identity", "MAX_DATA",
    "PROTOCOL_VERSION", "Status", "WINDOW",
]  # fmt: skip

FLAG = 0x7E
"""Byte that ends a frame."""
ESCAPE = 0x7D
"""Byte before one that was changed."""
ESCAPE_XOR = 0x20
"""How it was changed."""
FRAME_BYTES = 1024
"""Longest frame with its CRC, without flags and escapes."""
HEADER_BYTES = 6
"""Bytes of a request before its operand."""
MAX_DATA = 1008
"""Most bytes of memory in a request or answer."""
ANSWER = 0x80
"""Set in the first byte of an answer."""
WINDOW = 2
"""Requests that may be unanswered: the device stores that many frames."""
PROTOCOL_VERSION = 1


class Command(IntEnum):
    """First byte of a request."""

    IDENTIFY = 1
    READ_MEMORY = 2
    WRITE_MEMORY = 3
    READ_REGISTER = 4
    WRITE_REGISTER = 5


class Status(IntEnum):
    """Third byte of an answer."""

    OK = 0
    BAD_COMMAND = 1   # no such command
    BAD_LENGTH = 2    # too many or too few bytes for this command
    OUT_OF_RANGE = 3  # outside main memory
    BUS_ERROR = 4     # the registers answered with an error: there is none at this address


_MAGIC = b"SYSL"
_IDENTITY = struct.Struct("<4sBBHII16s")
_HAS_ACCELERATOR = 1


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a device says about itself.

    Attributes
    ----------
    board : str
        Name of the board, at most 16 characters.
    memory_bytes : int
        Main memory, from address 0 on.
    clock_hz : int
        Clock of the accelerator.
    accelerator : bool
        Whether there is one, or the shell alone.
    version : int
        Of the protocol.
    """

    board: str
    memory_bytes: int
    clock_hz: int
    accelerator: bool
    version: int = PROTOCOL_VERSION

    def encode(self) -> bytes:
        """The data of the answer to IDENTIFY."""
        flags = _HAS_ACCELERATOR if self.accelerator else 0
        return _IDENTITY.pack(_MAGIC, self.version, flags, MAX_DATA, self.memory_bytes, self.clock_hz,
                              self.board.encode("ascii"))

    @classmethod
    def decode(cls, data: bytes) -> "Identity":
        """Read the data of an answer to IDENTIFY.

        Raises
        ------
        ValueError
            It is not one, or of another version.
        """
        if len(data) != _IDENTITY.size or data[:4] != _MAGIC:
            raise ValueError(f"Identity must be {_IDENTITY.size} bytes that begin with {_MAGIC!r}, not {data!r}")
        _, version, flags, _, memory_bytes, clock_hz, board = _IDENTITY.unpack(data)
        if version != PROTOCOL_VERSION:
            raise ValueError(f"Version of the protocol must be {PROTOCOL_VERSION}, not {version}")
        return cls(board=board.rstrip(b"\0").decode("ascii", "replace"), memory_bytes=memory_bytes, clock_hz=clock_hz,
                   accelerator=bool(flags & _HAS_ACCELERATOR), version=version)
