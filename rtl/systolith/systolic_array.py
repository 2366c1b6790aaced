"""The weight-stationary systolic array, without skew registers."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith.processing_element import ProcessingElement, partial_sum_shape
from systolith.processing_group import processing_group
from systolith_spec.timing import WEIGHT_ROWS

__all__ = ["SystolicArray"]


class SystolicArray(Component):
    """``rows`` x ``cols`` processing elements: column ``c`` sums activation ``r`` times weight ``(r, c)`` over r.

    Dataflow: activations enter at the left, row r one cycle after row r - 1; sums leave at the bottom, column c
    one cycle after column c - 1. Weights enter at the top, two tile rows per cycle, column c one cycle after
    column c - 1, together with the number of their pair; they move down two rows per cycle, and each pair of rows
    keeps the weights that bear its number. So weights reach row r of their tile r cycles after row 0, as vectors do.
    ``swap`` comes with the first vector under a new tile. Row 0 of a tile may enter in the cycle in which the
    first vector of the tile before enters row 0, and the first vector of its own one cycle later: one
    tile every ``rows`` / 2 cycles.

    In *column mode* (depthwise convolution) row r of column c multiplies lane c of a stream, the same for
    all columns of the row, in place of what comes from the left; columns without a lane take that of the last.
    Streams are not delayed along the rows: a sum that enters row 0 in cycle t adds what the stream of row r holds
    in cycle t + r. ``column`` comes with element 0 of every vector.

    Only flags are reset; the sums of the first ``latency`` cycles and before the first swap have no meaning.

    Parameters
    ----------
    rows, cols : int
        Geometry.
    style : str
        Multiplier style.
    streams : sequence of int
        For each row the stream that it reads in column mode; empty: no column mode.
    dsp_budget : int or None
        Multipliers in DSP blocks, at most; the others, in the last columns, are built of LUTs. None: all.
    dsp_sums : bool
        Add the sums of the columns in DSP blocks too, where rows suffice for a whole cell.

    Members
    -------
    activations : ``In(ArrayLayout(signed(8), rows))``
        Element r belongs to the vector whose element 0 came r cycles before.
    swap : ``In(1)``
        With element 0 of a vector: this vector is the first to use the weights loaded last.
    weights : ``In(ArrayLayout(ArrayLayout(signed(8), cols), 2))``
        Even and odd row of a pair. Element c of the even row belongs to the pair whose element 0 came c cycles before;
        the odd row comes one cycle later.
    load : ``In(1)``
        With element 0 of an even row: keep the pair.
    load_pair : ``In(range(ceil(rows / 2)))``
        With element 0 of an even row: number of the pair, row // 2.
    sums : ``Out(ArrayLayout(partial_sum_shape(rows - 1), cols))``
        Element c belongs to the vector whose element 0 came ``latency + c`` cycles before.
    column : ``In(1)``, lines : ``In(ArrayLayout(ArrayLayout(signed(8), min(rows, cols)), streams))``
        Only with column mode: lane c of a vector of a stream c cycles after lane 0.
    """

    def __init__(self, *, rows, cols, style="generic", streams=(), dsp_budget=None, dsp_sums=False):
        for name, value in (("rows", rows), ("cols", cols)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Array {name} must be a positive integer, not {value!r}")
        self._rows = rows
        self._cols = cols
        self._style = style
        self._dsp_budget = rows * cols if dsp_budget is None else dsp_budget
        self._group = processing_group(style=style, sums=dsp_sums)
        self._streams = tuple(streams)
        self._lanes = min(rows, cols) if self._streams else 0
        column_members = {
            "column": In(1),
            "lines": In(data.ArrayLayout(data.ArrayLayout(signed(8), self._lanes), max(self._streams) + 1)),
        } if self._streams else {}
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
    def rows(self):
        """Rows: elements of a vector."""
        return self._rows

    @property
    def cols(self):
        """Columns: sums of a vector."""
        return self._cols

    @property
    def latency(self):
        """Cycles from element 0 of a vector to its sum of column 0."""
        return self.rows - 1 + ProcessingElement.latency

    def elaborate(self, platform):
        m = Module()
        elements = self._elements(m)
        self._control(m, elements)
        if self._streams:
            self._column_mode(m, elements)
        for row in range(self.rows):
            for col in range(self.cols):
                element = elements[row][col]
                if col > 0:
                    left = elements[row][col - 1]
                    m.d.comb += [
                        element.activation.eq(left.activation_next),
                        element.swap.eq(left.swap_next),
                        element.latch.eq(left.latch_next),
                    ]
                else:
                    m.d.comb += element.activation.eq(self.activations[row])
                if row > 0 and hasattr(element, "partial_sum"):
                    m.d.comb += element.partial_sum.eq(elements[row - 1][col].partial_sum_next)
                m.d.comb += element.weight.eq(
                    self.weights[row][col] if row < WEIGHT_ROWS else elements[row - WEIGHT_ROWS][col].weight_next)
        for col in range(self.cols):
            m.d.comb += self.sums[col].eq(elements[-1][col].partial_sum_next)
        return m

    def _elements(self, m):
        """Add the processing elements, column by column as long as there are DSP blocks; return them by row and column."""
        columns = [self._column(col) for col in range(self.cols)]
        for row in range(self.rows):
            for col in range(self.cols):
                part = columns[col][row][0]
                if part is not None:
                    m.submodules[f"pe_{row}_{col}"] = part
        return [[columns[col][row][1] for col in range(self.cols)] for row in range(self.rows)]

    def _column(self, col):
        """For each row of a column, the component that begins there or None, and the element."""
        available = self._dsp_budget - col * self.rows
        column = []
        while len(column) < self.rows:
            row = len(column)
            options = {"row": row, "style": self._style, "column_mode": col < self._lanes}
            group = self._group and self._group(**options)
            if group and row + group.count <= min(self.rows, available):
                column += [(None if index else group, group.element(index)) for index in range(group.count)]
            else:
                element = ProcessingElement(in_luts=row >= available, **options)
                column.append((element, element))
        return column

    def _column_mode(self, m, elements):
        """Wire the streams and send the flag down beside column 0 and then to the right."""
        column = self.column
        for row in range(self.rows):
            if row > 0:
                below = Signal(name=f"column_{row}")
                m.d.sync += below.eq(column)
                column = below
            for lane in range(self._lanes):
                element = elements[row][lane]
                m.d.comb += [
                    element.column_activation.eq(self.lines[self._streams[row]][lane]),
                    element.column.eq(column if lane == 0 else elements[row][lane - 1].column_next),
                ]

    def _control(self, m, elements):
        """Send swap and numbers of pairs down beside column 0, one row or pair per cycle; decide there who keeps weights."""
        swap, load, load_pair = self.swap, self.load, self.load_pair
        for row in range(self.rows):
            pair, odd = divmod(row, WEIGHT_ROWS)
            if row > 0:
                swap_below = Signal(name=f"swap_{row}")
                m.d.sync += swap_below.eq(swap)
                swap = swap_below
            if pair > 0 and not odd:
                below = Signal(name=f"load_{pair}"), Signal.like(load_pair, name=f"load_pair_{pair}", reset_less=True)
                m.d.sync += [below[0].eq(load), below[1].eq(load_pair)]
                load, load_pair = below
            m.d.comb += [
                elements[row][0].swap.eq(swap),
                elements[row][0].latch.eq(elements[row - 1][0].latch_next if odd else load & (load_pair == pair)),
            ]
