"""Counting semaphores between the engines."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith_spec.commands import Engine

__all__ = ["TokenCounters"]


class TokenCounters(Component):
    """One token counter for every ordered pair of different engines.

    Counter (producer, consumer) goes up when the producer gives a token and down when the consumer takes
    one; both may happen in the same cycle. A token given in cycle t can be taken from cycle t + 1 on.
    A counter that would exceed ``2**width - 1`` keeps its value and raises ``overflow``.

    Parameters
    ----------
    width : int
        Bits of a counter, at least 2.

    Members
    -------
    clear : ``In(1)``
        Set all counters to zero; overrides everything else.
    give : ``In(ArrayLayout(4, 4))``
        ``give[p][c]``: producer p gives a token to consumer c (a pulse).
    take : ``In(ArrayLayout(4, 4))``
        ``take[c][p]``: consumer c takes a token of producer p (a pulse); only where ``available`` says so.
    available : ``Out(ArrayLayout(4, 4))``
        ``available[c][p]``: there is a token from p for c. Constantly 0 for p = c.
    overflow : ``Out(1)``
        A token was lost two cycles ago.
    overflow_engine : ``Out(4)``
        Its producer.
    """

    def __init__(self, *, width=16):
        if isinstance(width, bool) or not isinstance(width, int):
            raise TypeError(f"Token counter width must be an integer, not {width!r}")
        if width < 2:
            raise ValueError(f"Token counter width must be at least 2, not {width!r}")
        self._width = width
        masks = data.ArrayLayout(len(Engine), len(Engine))
        super().__init__({
            "clear": In(1),
            "give": In(masks),
            "take": In(masks),
            "available": Out(masks),
            "overflow": Out(1),
            "overflow_engine": Out(4),
        })

    @property
    def width(self):
        """Bits of a counter."""
        return self._width

    def elaborate(self, platform):
        m = Module()
        lost = Signal(len(Engine))
        for producer in Engine:
            counters = [self._counter(m, producer, consumer) for consumer in Engine if producer != consumer]
            m.d.comb += lost[producer].eq(Cat(counters).any())
        m.d.sync += self.overflow.eq(lost.any() & ~self.clear)
        for producer in reversed(Engine):
            with m.If(lost[producer]):
                m.d.sync += self.overflow_engine.eq(producer)
        return m

    def _counter(self, m, producer, consumer):
        give = self.give[producer][consumer]
        take = self.take[consumer][producer]
        name = f"{producer.name.lower()}_{consumer.name.lower()}"
        lost = Signal(name=f"lost_{name}")
        count = Signal(self.width, name=f"count_{name}")
        # A register of its own, so that a token gate sees one bit and not a wide comparison.
        available = Signal(name=f"available_{name}")
        m.d.comb += self.available[consumer][producer].eq(available)
        full = Signal(name=f"full_{name}")
        m.d.comb += full.eq(count.all())
        m.d.sync += lost.eq(give & ~take & full & ~self.clear)
        with m.If(self.clear):
            m.d.sync += [count.eq(0), available.eq(0)]
        with m.Elif((give ^ take) & ~(give & full)):
            # One adder: plus or minus one.
            m.d.sync += [
                count.eq(count + Cat(Const(1, 1), take.replicate(self.width - 1))),
                available.eq(give | count[1:].any()),
            ]
        return lost
