"""Packs weights into tiles and requantisation into parameter records, in the order in which they are used."""

from dataclasses import dataclass

import numpy as np

from .layers import MatrixLayer, Requantization

__all__ = ["KernelSlice", "pack_parameters", "pack_weights", "record_bytes"]



@dataclass(frozen=True)
class KernelSlice:
    """Part of a reduction that one COMPUTE command covers.

    Attributes
    ----------
    rows : tuple of int
        Kernel rows, first and one past the last.
    channels : tuple of int
        Input channels, first and one past the last.
    packed : bool
        A kernel row is one contiguous run of kernel width x channels bytes (all channels).
    """

    rows: tuple[int, int]
    channels: tuple[int, int]
    packed: bool

    def walk(self, kernel_width: int, array_rows: int) -> tuple[int, int, int]:
        """(kernel rows, kernel columns walked, chunks) of the window walk."""
        depth = self.channels[1] - self.channels[0]
        columns, run = (1, kernel_width * depth) if self.packed else (kernel_width, depth)
        return self.rows[1] - self.rows[0], columns, -(-run // array_rows)

    def tiles(self, kernel_width: int, array_rows: int) -> int:
        """Weight tiles per block of output channels."""
        rows, columns, chunks = self.walk(kernel_width, array_rows)
        return rows * columns * chunks


def pack_weights(layer: MatrixLayer, part: KernelSlice, outputs: tuple[int, int], rows: int, cols: int) -> bytes:
    """Weight tiles of output channels `outputs`, block by block, kernel row, kernel column, chunk.

    Parameters
    ----------
    layer : MatrixLayer
        Its weights are (output channels, kernel height, kernel width, input channels).
    part : KernelSlice
    outputs : tuple of int
        First and one past the last output channel; the last block is filled up with zeros.
    rows, cols : int
        Array geometry.

    Returns
    -------
    bytes
        blocks x tiles x rows x cols int8.
    """
    blocks = -(-(outputs[1] - outputs[0]) // cols)
    height, columns, chunks = part.walk(layer.weights.shape[2], rows)
    if layer.depthwise:
        weights = _diagonal(layer, part, outputs)
    else:
        weights = layer.weights[outputs[0]:outputs[1], part.rows[0]:part.rows[1], :, part.channels[0]:part.channels[1]]
    runs = weights.reshape(weights.shape[0], height, columns, -1)
    padded = np.zeros((blocks * cols, height, columns, chunks * rows), np.int8)
    padded[:runs.shape[0], :, :, :runs.shape[3]] = runs
    tiles = padded.reshape(blocks, cols, height, columns, chunks, rows).transpose(0, 2, 3, 4, 5, 1)
    return np.ascontiguousarray(tiles).tobytes()


def _diagonal(layer: MatrixLayer, part: KernelSlice, outputs: tuple[int, int]) -> np.ndarray:
    """Depthwise weights as a dense product: output channel o has one non-zero input channel."""
    multiplier = layer.weights.shape[0] // layer.source.channels
    taken = layer.weights[outputs[0]:outputs[1], part.rows[0]:part.rows[1], :, 0]
    dense = np.zeros((*taken.shape, part.channels[1] - part.channels[0]), np.int8)
    index = np.arange(*outputs)
    dense[index - outputs[0], :, :, index // multiplier - part.channels[0]] = taken
    return dense


def pack_parameters(requantization: Requantization, outputs: tuple[int, int]) -> bytes:
    """Parameter records of output channels: biases, then (unless uniform) multiplier and exponent pairs.

    Returns
    -------
    bytes
        int32 little endian; the biases are padded to an even number of words.
    """
    part = slice(*outputs)
    words = [int(value) & 0xFFFFFFFF for value in requantization.bias[part]]
    words += [0] * (len(words) % 2)
    if len(requantization.multiplier) > 1:
        for multiplier, exponent in zip(requantization.multiplier[part], requantization.exponent[part], strict=True):
            words += [int(multiplier), int(exponent) & 0xFF]
    return np.array(words, "<u4").tobytes()


def record_bytes(requantization: Requantization, outputs: tuple[int, int]) -> int:
    """Bytes of the parameter records of output channels."""
    channels = outputs[1] - outputs[0]
    return 4 * (channels + channels % 2 + (2 * channels if len(requantization.multiplier) > 1 else 0))
