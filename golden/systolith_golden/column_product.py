"""Sums of a column-mode tile: what each column of the array adds up for a depthwise convolution."""

import numpy as np

from systolith_spec.column_mode import column_stream
from systolith_spec.config import AcceleratorConfig

__all__ = ["column_lanes", "column_product", "column_reach", "lanes_used", "output_positions"]


def column_lanes(config: AcceleratorConfig) -> np.ndarray:
    """Lane that each column multiplies: its own, or the last; shape (cols,)."""
    return np.minimum(np.arange(config.cols), config.depthwise_lanes - 1)


def lanes_used(config: AcceleratorConfig, weights: np.ndarray) -> np.ndarray:
    """Lanes of each tile under weights other than 0; bool, shape (tiles, rows) from (tiles, rows, cols)."""
    used = np.zeros(weights.shape[:2], bool)
    tile, column = np.nonzero(weights.any(axis=1))
    used[tile, column_lanes(config)[column]] = True
    return used


def output_positions(fields: dict[str, int]) -> np.ndarray:
    """Positions of a tile that give sums, in order: the first is entry 0; int64, shape (outputs,)."""
    if not fields["column_mode"]:
        return np.arange(fields["y_count"] * fields["x_count"])
    rows = np.arange(fields["skip_rows"], fields["y_count"])[:, None] * fields["x_count"]
    columns = np.arange(0, min(fields["valid_columns"], fields["x_count"]), fields["column_step"])
    return (rows + columns).reshape(-1)


def _offset(config: AcceleratorConfig, row: int, line: int) -> int:
    """Position that a row of the array multiplies, relative to that of the sum."""
    stream, tap = column_stream(config, row)
    return tap - stream * line


def column_reach(config: AcceleratorConfig, weights: np.ndarray, line: int) -> tuple[int, int]:
    """Lowest and highest position, relative to that of the sum, under weights other than 0.

    Parameters
    ----------
    config : AcceleratorConfig
    weights : np.ndarray
        int8, shape (tiles, rows, cols).
    line : int
        Vectors of a line, ``x_count``.
    """
    used = np.flatnonzero(weights.any(axis=(0, 2)))
    offsets = [_offset(config, int(row), line) for row in used] or [0]
    return min(offsets), max(offsets)


def column_product(config: AcceleratorConfig, vectors: np.ndarray, weights: np.ndarray, positions: np.ndarray,
                   line: int) -> np.ndarray:
    """Sums of one tile.

    Parameters
    ----------
    config : AcceleratorConfig
    vectors : np.ndarray
        int8, shape (positions of the tile, rows): row r belongs to byte lane r.
    weights : np.ndarray
        int8, shape (rows, cols).
    positions : np.ndarray
        Those that give sums; every position in reach of them lies in the tile.
    line : int
        Vectors of a line, ``x_count``.

    Returns
    -------
    np.ndarray
        int64, shape (outputs, cols).
    """
    sums = np.zeros((len(positions), config.cols), np.int64)
    values = vectors[:, column_lanes(config)].astype(np.int64)
    for row in np.flatnonzero(weights.any(axis=1)).tolist():
        sums += values[positions + _offset(config, row, line)] * weights[row].astype(np.int64)
    return sums
