"""How a depthwise kernel is cut into passes of column mode, and the weight tile of each.

A pass multiplies up to ``depthwise_streams`` kernel rows by up to ``depthwise_taps`` kernel columns. With stride s,
kernel rows whose distance is a multiple of s share passes: fed every s-th input row, such rows are neighbours and
every row fed gives an output row. Columns are treated likewise (``phases``), or all columns are fed and only every s-th
gives an output, whichever costs less. A dilated kernel is one with gaps.
"""

from dataclasses import dataclass

import numpy as np

from systolith_spec.column_mode import column_row
from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import tile_cycles

from .layers import MatrixLayer

__all__ = ["Passes", "Run", "Span", "choose_passes"]


@dataclass(frozen=True)
class Span:
    """Kernel rows (or columns) of a pass.

    Attributes
    ----------
    first : int
        Input row (column) of the first, relative to that of kernel row (column) 0.
    taps : tuple of int or None
        Kernel index of each row (column) of the span; None where the kernel has none.
    """

    first: int
    taps: tuple[int | None, ...]


@dataclass(frozen=True)
class Run:
    """Passes of one COMPUTE command: kernel rows outside, columns inside; firsts at equal distances."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def passes(self) -> int:
        """Weight tiles."""
        return len(self.rows) * len(self.columns)

    @property
    def height(self) -> int:
        """Kernel rows of each pass."""
        return len(self.rows[0].taps)


def _spans(count: int, dilation: int, stride: int, size: int) -> list[Span]:
    """Cover taps 0, dilation, 2 * dilation, ... by spans of at most `size` with a distance of `stride` within."""
    spans = []
    for phase in range(stride):
        taps = {k * dilation // stride: k for k in range(count) if k * dilation % stride == phase}
        left = sorted(taps)
        while left:
            start = left[0]
            covered = [position for position in left if position < start + size]
            spans.append(Span(phase + start * stride,
                              tuple(taps.get(position) for position in range(start, covered[-1] + 1))))
            left = left[len(covered):]
    return sorted(spans, key=lambda span: (len(span.taps), span.first))


def _runs(spans: list[Span], same_length: bool) -> list[tuple[Span, ...]]:
    """Group spans into runs at equal, ascending distances."""
    runs: list[list[Span]] = []
    for span in spans:
        run = runs[-1] if runs else None
        if run and (not same_length or len(run[0].taps) == len(span.taps)) and span.first > run[-1].first and (
                len(run) == 1 or span.first - run[-1].first == run[1].first - run[0].first):
            run.append(span)
        else:
            runs.append([span])
    return [tuple(run) for run in runs]


@dataclass(frozen=True)
class Passes:
    """The passes of a layer.

    Attributes
    ----------
    config : AcceleratorConfig
    runs : tuple of Run
        In order; passes of fewer kernel rows come first, so that no accumulator entry is updated too soon.
    column_step : int
        Positions from output to output within a row.
    pixel_step : int
        Input columns from position to position.
    reach : int
        Positions that a row needs behind that of its last output.
    row_step : int
        Input rows from row to row.
    """

    config: AcceleratorConfig
    runs: tuple[Run, ...]
    column_step: int
    pixel_step: int
    reach: int
    row_step: int

    def line(self, columns: int) -> int:
        """Positions of a row for so many output columns."""
        return (columns - 1) * self.column_step + 1 + self.reach

    def cycles(self, rows: int, columns: int) -> int:
        """Cycles of one group of channels for an output tile."""
        line = self.line(columns)
        return sum(run.passes * tile_cycles(self.config, (rows + run.height - 1) * line) for run in self.runs)

    def fits(self, columns: int) -> bool:
        """Whether the line buffer is long enough."""
        config = self.config
        return config.depthwise_streams == 1 or self.line(columns) + config.depthwise_taps <= config.line_depth

    def run_bytes(self, run: Run) -> int:
        """Weight bytes of a COMPUTE command, filled up to whole AXI beats."""
        return -(-run.passes * self.config.tile_bytes // self.config.axi_bytes) * self.config.axi_bytes

    @property
    def block_bytes(self) -> int:
        """Weight bytes of one group of channels."""
        return sum(self.run_bytes(run) for run in self.runs)

    def pack(self, weights: np.ndarray) -> bytes:
        """Weight tiles of one group of channels, run by run.

        Parameters
        ----------
        weights : np.ndarray
            int8, shape (channels, kernel height, kernel width).
        """
        packed = b""
        for run in self.runs:
            tiles = b"".join(self._tile(weights, rows, columns) for rows in run.rows for columns in run.columns)
            packed += tiles.ljust(self.run_bytes(run), b"\0")
        return packed

    def _tile(self, weights: np.ndarray, rows: Span, columns: Span) -> bytes:
        config = self.config
        tile = np.zeros((config.rows, config.cols), np.int8)
        # The stream of the last line fed, the lowest kernel row, comes first.
        for stream, ky in enumerate(reversed(rows.taps)):
            for tap, kx in enumerate(columns.taps):
                if ky is not None and kx is not None:
                    tile[column_row(config, stream, tap), :len(weights)] = weights[:, ky, kx]
        return tile.tobytes()


def choose_passes(layer: MatrixLayer, config: AcceleratorConfig) -> Passes:
    """The passes that cost least for the whole output of a depthwise layer."""
    height, width = layer.weights.shape[1:3]
    (stride_y, stride_x), (dilation_y, dilation_x) = layer.strides, layer.dilations
    rows = _runs(_spans(height, dilation_y, stride_y, config.depthwise_streams), True)
    choices = []
    for phases in (1, stride_x) if stride_x > 1 else (1,):
        spans = _spans(width, dilation_x, phases, config.depthwise_taps)
        reach = max(len(span.taps) for span in spans) - 1
        columns = _runs(sorted(spans, key=lambda span: span.first), False)
        runs = tuple(Run(row, column) for row in rows for column in columns)
        choices.append(Passes(config, runs, stride_x // phases, phases, reach, stride_y))
    return min(choices, key=lambda passes: passes.cycles(layer.output.height, layer.output.width))
