"""Tells which positions of a column-mode tile give sums."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["ColumnSelector"]


class ColumnSelector(Component):
    """Follow the positions of tiles: rows from ``skip_rows`` on, of their first ``valid_columns`` every ``column_step``-th.

    Members
    -------
    skip_rows, valid_columns, column_step : ``In``
        Of the command that the position belongs to; see the command table.
    no_skip : ``In(1)``
        ``skip_rows`` is 0.
    first_row, first_column, last_column : ``In(1)``
        Where in its tile the position is.
    take : ``In(1)``
        The next cycle has the next position.
    selected : ``Out(1)``
        The position gives a sum.
    """

    def __init__(self):
        super().__init__({
            "skip_rows": In(8),
            "no_skip": In(1),
            "valid_columns": In(16),
            "column_step": In(8),
            "first_row": In(1),
            "first_column": In(1),
            "last_column": In(1),
            "take": In(1),
            "selected": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        row_selected, column_selected = Signal(), Signal()
        m.d.comb += self.selected.eq(
            Mux(self.first_row, self.no_skip, row_selected) & (self.first_column | column_selected))

        # Rows to skip, this one included.
        skip, skip_left = Signal(8), Signal(8)
        m.d.comb += skip.eq(Mux(self.first_row, self.skip_rows, skip_left))
        with m.If(self.take & self.last_column):
            m.d.sync += [row_selected.eq(skip <= 1), skip_left.eq(Mux(skip == 0, 0, skip - 1))]

        # Valid positions from this one on, and positions to the next that the step selects.
        valid, valid_left = Signal(16), Signal(16)
        wait, wait_left = Signal(8), Signal(8)
        m.d.comb += [
            valid.eq(Mux(self.first_column, self.valid_columns, valid_left)),
            wait.eq(Mux(self.first_column, 0, wait_left)),
        ]
        with m.If(self.take):
            m.d.sync += [
                valid_left.eq(Mux(valid == 0, 0, valid - 1)),
                wait_left.eq(Mux(wait == 0, self.column_step - 1, wait - 1)),
                column_selected.eq((valid > 1) & Mux(wait == 0, self.column_step == 1, wait == 1)),
            ]
        return m
