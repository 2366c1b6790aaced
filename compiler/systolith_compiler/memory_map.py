"""The image of a compiled network in main memory: what programs only read, and behind it what they write."""

from collections.abc import Callable

import numpy as np

__all__ = ["WRITTEN", "MemoryMap"]

WRITTEN = 1 << 31
"""Offsets from here on are in the part that programs write, until `MemoryMap.locate` gives them a place in the image."""


class MemoryMap:
    """Appends pieces of data, and reserves space in both parts; offsets are relative to the image's base.

    How much programs only read is known when the last of them is there. Until then, the space that they write begins at
    `WRITTEN`; its place in the image is a multiple of `alignment`, so that alignments up to this are those of the image.

    Parameters
    ----------
    alignment : int
        Power of two of at least 64.

    Attributes
    ----------
    size, written : int
        Bytes of each part.
    """

    def __init__(self, alignment: int):
        self._pieces: list[tuple[int, bytes | Callable[[], bytes]]] = []
        self._alignment = alignment
        self.size = 0
        self.written = 0

    def trial(self) -> "MemoryMap":
        """A map that goes on behind this one; what is added to it does not appear here."""
        other = MemoryMap(self._alignment)
        other.size, other.written = self.size, self.written
        return other

    @property
    def writable(self) -> int:
        """Offset of the first byte that programs may write: right behind the last one that they only read."""
        return _up(self.size, 64)

    def locate(self, offset: int) -> int:
        """Offset in the image, as it is now."""
        return offset if offset < WRITTEN else _up(self.size, self._alignment) + offset - WRITTEN

    def reserve(self, size: int, alignment: int = 64) -> int:
        """Reserve bytes that programs only read; returns their offset."""
        offset = _up(self.size, alignment)
        self.size = offset + size
        return offset

    def reserve_written(self, size: int) -> int:
        """Reserve bytes that programs write; returns their offset, which is not below `WRITTEN`."""
        offset = _up(self.written, 64)
        self.written = offset + size
        return WRITTEN + offset

    def add(self, data: bytes, alignment: int = 64) -> int:
        """Append data; returns its offset."""
        offset = self.reserve(len(data), alignment)
        self._pieces.append((offset, data))
        return offset

    def add_lazily(self, size: int, data: Callable[[], bytes], alignment: int = 64) -> int:
        """Append at most `size` bytes that are made when the image is; returns their offset."""
        offset = self.reserve(size, alignment)
        self._pieces.append((offset, data))
        return offset

    def contents(self) -> np.ndarray:
        """The image as uint8, reserved space zero."""
        image = np.zeros(self.locate(WRITTEN + self.written), np.uint8)
        for offset, piece in self._pieces:
            data = piece() if callable(piece) else piece
            image[offset:offset + len(data)] = np.frombuffer(data, np.uint8)
        return image


def _up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
