"""Delay each element of a vector by its index."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay

__all__ = ["Skew"]


class Skew(Component):
    """Triangle of registers: element ``i`` leaves ``i`` cycles later, or ``count - 1 - i`` when reversed.

    A skew followed by a reversed skew is a delay of ``count - 1`` cycles.

    Parameters
    ----------
    shape : shape-like
        Element.
    count : int
        Elements.
    reverse : bool
        Undo a skew instead.

    Members
    -------
    i : ``In(ArrayLayout(shape, count))``
    o : ``Out(ArrayLayout(shape, count))``
    """

    def __init__(self, *, shape, count, reverse=False):
        self._count = count
        self._reverse = reverse
        layout = data.ArrayLayout(shape, count)
        super().__init__({"i": In(layout), "o": Out(layout)})

    @property
    def latency(self):
        """Cycles that the most delayed element takes."""
        return self._count - 1

    def elaborate(self, platform):
        m = Module()
        for index in range(self._count):
            cycles = self._count - 1 - index if self._reverse else index
            m.d.comb += self.o[index].eq(delay(m, self.i[index], cycles, name=f"element_{index}"))
        return m
