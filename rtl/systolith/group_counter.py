"""Number of channel groups of a command."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

__all__ = ["GroupCounter"]


class GroupCounter(Component):
    """Divide channels by lanes: ``groups = ceil(channels / lanes)`` and the lanes used in the last group.

    Free with a power of two; otherwise a serial division that takes ``latency`` cycles.

    Parameters
    ----------
    lanes : int
    width : int
        Bits of ``channels``.

    Members
    -------
    start : ``In(1)``
        Divide the ``channels`` of this cycle.
    channels : ``In(width)``
        At least 1.
    done : ``Out(1)``
        The results belong to the last start; low in the cycles 1 to ``latency`` after it.
    groups : ``Out(width)``
    tail : ``Out(range(lanes + 1))``
        Lanes of the last group, 1 to ``lanes``.
    """

    def __init__(self, *, lanes, width):
        self._lanes = lanes
        self._width = width
        super().__init__(
            {
                "start": In(1),
                "channels": In(width),
                "done": Out(1),
                "groups": Out(width),
                "tail": Out(range(lanes + 1)),
            }
        )

    @property
    def latency(self):
        """Cycles without a result after a start."""
        return 0 if self._lanes & (self._lanes - 1) == 0 else self._width

    def elaborate(self, platform):
        m = Module()
        if self.latency == 0:
            self._shift(m)
        else:
            self._divide(m)
        return m

    def _shift(self, m):
        """Round up before the registers: what follows them begins with a sum already."""
        shift = exact_log2(self._lanes)
        groups, tail = Signal(self._width, reset_less=True), Signal.like(self.tail, reset_less=True)
        remainder = self.channels[:shift] if shift else Const(0)
        with m.If(self.start):
            m.d.sync += [
                groups.eq(self.channels[shift:] + remainder.any()),
                tail.eq(Mux(remainder.any(), remainder, self._lanes)),
            ]
        m.d.comb += [self.groups.eq(groups), self.tail.eq(tail), self.done.eq(1)]

    def _divide(self, m):
        """Restoring division; the quotient shifts in from the right where the channels shift out."""
        held = Signal(self._width, reset_less=True)
        remainder = Signal(range(self._lanes), reset_less=True)
        busy = Signal(range(self._width + 1))
        trial = Cat(held[-1], remainder)
        fits = trial >= self._lanes
        with m.If(self.start):
            m.d.sync += [held.eq(self.channels), remainder.eq(0), busy.eq(self._width)]
        with m.Elif(busy != 0):
            m.d.sync += [
                busy.eq(busy - 1),
                held.eq(Cat(fits, held)),
                remainder.eq(Mux(fits, trial - self._lanes, trial)),
            ]
        m.d.comb += [
            self.done.eq(busy == 0),
            self.groups.eq(held + remainder.any()),
            self.tail.eq(Mux(remainder.any(), remainder, self._lanes)),
        ]
