"""The image of a compiled network in main memory: a growing run of bytes with named, aligned pieces."""

import numpy as np

__all__ = ["MemoryMap"]


class MemoryMap:
    """Appends pieces of data and reserves space; offsets are relative to the image's base."""

    def __init__(self):
        self._pieces: list[tuple[int, bytes]] = []
        self.size = 0

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

    def contents(self) -> np.ndarray:
        """The image as uint8, reserved space zero."""
        image = np.zeros(self.size, np.uint8)
        for offset, data in self._pieces:
            image[offset:offset + len(data)] = np.frombuffer(data, np.uint8)
        return image
