"""RAM with one port that reads or writes."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

__all__ = ["SinglePortRam"]


class SinglePortRam(Component):
    """RAM of ``depth`` words of ``width`` bits; each cycle one read or one write.

    A read (``en`` without any bit of ``w_en``) shows its word on ``r_data`` two cycles later: one for the RAM, one for
    the output register. After a write ``r_data`` is undefined until the next read.

    Parameters
    ----------
    width, depth : int
    granularity : int or None
        Bits of each write-enable bit, a multiple of 4; ``None`` for one enable. Must divide ``width``.

    Members
    -------
    addr : ``In(ceil_log2(depth))``
    en : ``In(1)``
    w_en : ``In(width // granularity)``
    w_data : ``In(width)``
    r_data : ``Out(width)``

    Raises
    ------
    ValueError
        If a size is not positive or the granularity is none of those.
    """

    read_latency = 2
    """Clock cycles from a read to its word."""

    def __init__(self, *, width, depth, granularity=None):
        for name, value in (("width", width), ("depth", depth)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Single-port RAM {name} must be a positive integer, not {value!r}")
        if granularity is not None and (granularity % 4 or granularity < 1 or width % granularity):
            raise ValueError(
                f"Single-port RAM granularity must be a multiple of 4 that divides the width {width}, not {granularity!r}")
        self.width, self.depth, self.granularity = width, depth, granularity
        super().__init__({
            "addr": In(ceil_log2(depth)), "en": In(1), "w_en": In(1 if granularity is None else width // granularity),
            "w_data": In(width), "r_data": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[], attrs={"no_rw_check": 1})
        write, read = memory.write_port(granularity=self.granularity), memory.read_port()
        m.d.comb += [
            write.addr.eq(self.addr), write.data.eq(self.w_data), write.en.eq(Mux(self.en, self.w_en, 0)),
            read.addr.eq(self.addr), read.en.eq(self.en & ~self.w_en.any()),
        ]
        s1_data = Signal(self.width, reset_less=True)
        m.d.sync += s1_data.eq(read.data)
        m.d.comb += self.r_data.eq(s1_data)
        return m
