"""The window walk of COMPUTE and VECTOR commands: which bytes of the activation buffer it visits."""

from functools import cached_property

import numpy as np

__all__ = ["ADDRESS_MODULUS", "WindowWalk"]

ADDRESS_MODULUS = 1 << 24


class WindowWalk:
    """Coordinates and addresses of one command's walk over a slab.

    Parameters
    ----------
    fields : dict of str to int
        Decoded command.
    starts : np.ndarray
        Byte offsets of the runs under one (ky, kx) position: chunk * rows for COMPUTE, 0 for VECTOR. Shape
        (S,).
    lanes : int
        Bytes of a run, L.

    The walk has the axes (y, x, ky, kx, start, lane).
    """

    def __init__(self, fields: dict[str, int], starts: np.ndarray, lanes: int):
        self.fields = fields
        self.shape = (
            fields["y_count"],
            fields["x_count"],
            fields["ky_count"],
            fields["kx_count"],
            len(starts),
            lanes,
        )
        y = np.arange(self.shape[0])[:, None]
        ky = np.arange(self.shape[2])[None, :]
        x = np.arange(self.shape[1])[:, None, None, None]
        kx = np.arange(self.shape[3])[None, :, None, None]
        row = fields["first_row"] + y * fields["y_row_step"] + ky * fields["ky_row_step"]
        self.row_inside = (row >= 0) & (row < fields["rows"])
        self.row_address = fields["base"] + y * fields["y_addr_step"] + ky * fields["ky_addr_step"]
        self.byte = (
            fields["first_byte"]
            + x * fields["x_byte_step"]
            + kx * fields["kx_byte_step"]
            + starts[None, None, :, None]
            + np.arange(lanes)[None, None, None, :]
        )
        self.byte_inside = (self.byte >= 0) & (self.byte < fields["row_bytes"])

    @cached_property
    def padded(self) -> bool:
        """Whether any byte lies outside the slab."""
        return not (self.row_inside.all() and self.byte_inside.all())

    @cached_property
    def addresses(self) -> np.ndarray:
        """Buffer address of every byte, outside the slab too; shape of the walk."""
        total = self.row_address[:, None, :, None, None, None] + self.byte[None, :, None]
        return total & (ADDRESS_MODULUS - 1)

    @cached_property
    def inside(self) -> np.ndarray:
        """Which bytes lie inside the slab; shape of the walk."""
        return self.row_inside[:, None, :, None, None, None] & self.byte_inside[None, :, None]

    def gather(self, memory: np.ndarray) -> np.ndarray:
        """Bytes of the walk, `pad` outside the slab.

        Parameters
        ----------
        memory : np.ndarray
            int8 contents of the buffer, a power of two, with one spare element behind its end. Addresses are
            truncated to the size of the buffer.
        """
        size = len(memory) - 1
        addresses = self.addresses & (size - 1)
        if not self.padded:
            return memory[addresses]
        memory[size] = self.fields["pad"]
        return memory[np.where(self.inside, addresses, size)]

    def touched(self, used: np.ndarray | None = None) -> np.ndarray:
        """Sorted addresses that are read inside the slab.

        Parameters
        ----------
        used : np.ndarray, optional
            Shape (kx, start, lane): lanes that matter.

        Returns
        -------
        np.ndarray
            Shape (rows, bytes) or empty.
        """
        rows = np.unique(self.row_address[self.row_inside])
        mask = self.byte_inside if used is None else self.byte_inside & used
        values = self.byte[mask]
        if not len(rows) or not len(values):
            return np.zeros((0, 0), np.int64)
        # Distinct bytes without sorting: the range of bytes is small.
        low = int(values.min())
        seen = np.zeros(int(values.max()) - low + 1, bool)
        seen[values - low] = True
        columns = np.flatnonzero(seen) + low
        return (rows[:, None] + columns[None, :]) & (ADDRESS_MODULUS - 1)
