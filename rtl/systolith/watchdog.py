"""Detector of a machine that makes no progress."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Watchdog"]


class Watchdog(Component):
    """Down counter that is wound up again by every sign of progress.

    Members
    -------
    limit : ``In(32)``
        Cycles without progress that are tolerated; 0: any number.
    enable : ``In(1)``
        Count. While low, the counter is held at ``limit``.
    kick : ``In(1)``
        Progress: wind the counter up.
    expired : ``Out(1)``
        ``limit`` cycles have passed since the last kick. Stays high until the next kick.
    """

    limit: In(32)
    enable: In(1)
    kick: In(1)
    expired: Out(1)

    def elaborate(self, platform):
        m = Module()
        count = Signal(32)
        # Decided a cycle ahead: the comparisons with zero and one are registered.
        disabled = Signal()
        m.d.sync += disabled.eq(self.limit == 0)
        with m.If(self.kick | ~self.enable):
            m.d.sync += [count.eq(self.limit), self.expired.eq(0)]
        with m.Elif(~disabled):
            with m.If(count[1:].any()):
                m.d.sync += count.eq(count - 1)
            with m.Else():
                m.d.sync += self.expired.eq(1)
        return m
