"""The systolic array behind skew registers: whole vectors in, whole rows of sums out."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.line_buffer import LineBuffer
from systolith.processing_element import ProcessingElement, partial_sum_shape
from systolith.skew import Skew
from systolith.systolic_array import SystolicArray
from systolith_spec.timing import WEIGHT_ROWS

__all__ = ["AlignedArray"]


class AlignedArray(Component):
    """:class:`~systolith.systolic_array.SystolicArray` with its skews: a free-running vector-matrix product.

    Members are those of the array, but all elements of a vector, a pair of tile rows or the sums of a vector come
    in the same cycle, and the sums follow ``latency`` cycles after their vector. Pair 0 of a tile may come in the
    same cycle as the first vector of the tile before, at the earliest; the first vector of a tile (with
    ``swap``) comes one cycle after its pair 0, at the earliest, if pairs come one per cycle from 0 up.

    Parameters
    ----------
    rows, cols : int
        Geometry.
    style : str
        Multiplier style.
    streams : sequence of int
        For each row the stream that it reads in column mode: copy s of the vectors is s lines behind. Empty: no
        column mode.
    line_depth : int
        Words of the line buffer.
    dsp_budget, dsp_sums
        See :class:`~systolith.systolic_array.SystolicArray`.

    Members of column mode
    ----------------------
    column : ``In(1)``
        With every vector of a column-mode tile.
    line_offset : ``In(range(line_depth))``
        Only with several streams: cycles of a line, less ``LineBuffer.base_delay``. Must not change while sums of
        column mode are in the array.
    """

    def __init__(self, *, rows, cols, style="generic", streams=(), line_depth=0, dsp_budget=None, dsp_sums=False):
        for name, value in (("rows", rows), ("cols", cols)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Array {name} must be a positive integer, not {value!r}")
        self._rows = rows
        self._cols = cols
        self._style = style
        self._streams = tuple(streams)
        self._line_depth = line_depth
        self._dsp_budget = dsp_budget
        self._dsp_sums = dsp_sums
        column_members = {"column": In(1)} if self._streams else {}
        if self._copies:
            column_members["line_offset"] = In(range(line_depth))
        super().__init__({
            "activations": In(data.ArrayLayout(signed(8), rows)),
            "swap": In(1),
            "weights": In(data.ArrayLayout(data.ArrayLayout(signed(8), cols), WEIGHT_ROWS)),
            "load": In(1),
            "load_pair": In(range(-(-rows // WEIGHT_ROWS))),
            "sums": Out(data.ArrayLayout(partial_sum_shape(rows - 1), cols)),
            **column_members,
        })

    @property
    def _copies(self):
        """Delayed copies of the stream."""
        return max(self._streams, default=0)

    @property
    def rows(self):
        """Rows: elements of a vector."""
        return self._rows

    @property
    def cols(self):
        """Columns: sums of a vector."""
        return self._cols

    @property
    def latency(self):
        """Cycles from a vector to its sums."""
        return self.rows - 1 + ProcessingElement.latency + self.cols - 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.array = array = SystolicArray(
            rows=self.rows, cols=self.cols, style=self._style, streams=self._streams,
            dsp_budget=self._dsp_budget, dsp_sums=self._dsp_sums)
        m.submodules.activation_skew = activation_skew = Skew(shape=signed(8), count=self.rows)
        m.submodules.even_skew = even_skew = Skew(shape=signed(8), count=self.cols)
        m.submodules.odd_skew = odd_skew = Skew(shape=signed(8), count=self.cols)
        m.submodules.sum_deskew = sum_deskew = Skew(
            shape=partial_sum_shape(self.rows - 1), count=self.cols, reverse=True)
        m.d.comb += [
            activation_skew.i.eq(self.activations), array.activations.eq(activation_skew.o),
            even_skew.i.eq(self.weights[0]), array.weights[0].eq(even_skew.o),
            odd_skew.i.eq(delay(m, self.weights[1], 1, name="odd")), array.weights[1].eq(odd_skew.o),
            array.swap.eq(self.swap), array.load.eq(self.load), array.load_pair.eq(self.load_pair),
            sum_deskew.i.eq(array.sums), self.sums.eq(sum_deskew.o),
        ]
        if self._streams:
            self._column_mode(m, array, activation_skew.o)
        return m

    def _column_mode(self, m, array, skewed):
        """Feed the streams: the skew of the rows serves for the columns too."""
        lanes = min(self.rows, self.cols)
        vector = Cat(skewed[lane] for lane in range(lanes))
        m.d.comb += [array.column.eq(self.column), array.lines[0].eq(vector)]
        if self._copies:
            m.submodules.lines = lines = LineBuffer(
                width=8 * lanes, copies=self._copies, depth=self._line_depth, style=self._style)
            m.d.comb += [
                lines.i.eq(vector), lines.offset.eq(self.line_offset),
                *(array.lines[copy + 1].eq(lines.o[copy]) for copy in range(self._copies)),
            ]
