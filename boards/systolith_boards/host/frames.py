"""Frames of the host link, in Python; see `systolith_boards.shell.protocol`."""

import re
import zlib

from systolith_boards.shell.protocol import ESCAPE, ESCAPE_XOR, FLAG, FRAME_BYTES

__all__ = ["FrameDecoder", "encode_frame"]

_CRC_BYTES = 4
_SPECIAL = re.compile(bytes([ord("["), FLAG, ESCAPE, ord("]")]))
_ESCAPED = re.compile(re.escape(bytes([ESCAPE])) + b"(.)", re.DOTALL)


def _changed(byte: int) -> int:
    return byte ^ ESCAPE_XOR


def encode_frame(contents: bytes) -> bytes:
    """Return the bytes that carry a frame with these contents, flags included.

    Raises
    ------
    ValueError
        If there are no contents, or more than fit.
    """
    if not 0 < len(contents) <= FRAME_BYTES - _CRC_BYTES:
        raise ValueError(f"Contents of a frame must be 1 to {FRAME_BYTES - _CRC_BYTES} bytes, not {len(contents)}")
    whole = contents + zlib.crc32(contents).to_bytes(_CRC_BYTES, "little")
    escaped = _SPECIAL.sub(lambda match: bytes([ESCAPE, _changed(match[0][0])]), whole)
    return bytes([FLAG]) + escaped + bytes([FLAG])


class FrameDecoder:
    """Finds frames in received bytes, whatever is between them.

    Attributes
    ----------
    dropped : int
        Damaged frames so far.
    """

    def __init__(self):
        self._kept = bytearray()
        self.dropped = 0

    def feed(self, received: bytes) -> list[bytes]:
        """Take received bytes; return the contents of the frames that they complete."""
        self._kept += received
        *pieces, rest = bytes(self._kept).split(bytes([FLAG]))
        self._kept = bytearray(rest[:2 * FRAME_BYTES + 1])  # longer than any frame: certainly damaged, need not be kept
        return [contents for piece in pieces if piece and (contents := self._decode(piece)) is not None]

    def _decode(self, piece: bytes) -> bytes | None:
        whole = _ESCAPED.sub(lambda match: bytes([_changed(match[1][0])]), piece)
        contents, crc = whole[:-_CRC_BYTES], whole[-_CRC_BYTES:]
        damaged = piece.endswith(bytes([ESCAPE])) or len(whole) > FRAME_BYTES or not contents
        if damaged or zlib.crc32(contents).to_bytes(_CRC_BYTES, "little") != crc:
            self.dropped += 1
            return None
        return contents
