"""The image of a compiled network in main memory: a growing run of bytes with named, aligned pieces."""

from collections.abc import Callable

import numpy as np

__all__ = ["MemoryMap"]


class MemoryMap:
    """Appends pieces of data and reserves space; offsets are relative to the image's base."""

    def __init__(self):
        self._pieces: list[tuple[int, bytes | Callable[[], bytes]]] = []
        self.size = 0

    def trial(self) -> "MemoryMap":
        """A map that goes on behind this one; what is added to it does not appear here."""
        other = MemoryMap()
        other.size = self.size
        return other

    def reserve(self, size: int, alignment: int = 64) -> int:
        """Reserve bytes; returns their offset."""
        offset = -(-self.size // alignment) * alignment
        self.size = offset + size
        return offset

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
        image = np.zeros(self.size, np.uint8)
        for offset, piece in self._pieces:
            data = piece() if callable(piece) else piece
            image[offset:offset + len(data)] = np.frombuffer(data, np.uint8)
        return image
