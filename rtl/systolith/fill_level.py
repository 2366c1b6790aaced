"""Counter of what is in a queue, or on its way, whose flags are registers."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["FillLevel"]


class FillLevel(Component):
    """Count up to ``depth`` items; say from registers whether there are some, and whether there is room for one more.

    ``put`` and ``take`` may come late: each meets one LUT on its way to the enable of the counter and to the flags. In the
    same cycle they cancel out. The parent neither puts without room nor takes where there is nothing.

    Parameters
    ----------
    depth : int
        Most items, at least 1.
    init : int
        Items after reset.

    Members
    -------
    put, take : ``In(1)``
        An item is added, is removed.
    level : ``Out(range(depth + 1))``
        Items, from the next cycle on.
    some, room : ``Out(1)``
        ``level`` is not 0; it is not ``depth``.

    Raises
    ------
    ValueError
        If ``depth`` is not a positive integer, or ``init`` is not between 0 and ``depth``.
    """

    def __init__(self, *, depth, init=0):
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise ValueError(f"Fill level depth must be an integer of at least 1, not {depth!r}")
        if isinstance(init, bool) or not isinstance(init, int) or not 0 <= init <= depth:
            raise ValueError(f"Fill level init must be an integer from 0 to {depth}, not {init!r}")
        self._depth = depth
        super().__init__({
            "put": In(1),
            "take": In(1),
            "level": Out(range(depth + 1), init=init),
            "some": Out(1, init=init > 0),
            "room": Out(1, init=init < depth),
        })

    @property
    def depth(self):
        """Most items."""
        return self._depth

    def elaborate(self, platform):
        m = Module()
        with m.If(self.put ^ self.take):
            # One adder: plus or minus one.
            m.d.sync += [
                self.level.eq(self.level + Cat(Const(1, 1), self.take.replicate(len(self.level) - 1))),
                self.some.eq(self.put | (self.level != 1)),
                self.room.eq(self.take | (self.level != self.depth - 1)),
            ]
        return m
