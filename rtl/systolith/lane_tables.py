"""Tables of bias, multiplier and exponent, one for each lane of the vector unit."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

__all__ = ["LaneTables", "Scale"]


class Scale(data.Struct):
    """Factor of a channel: ``multiplier * 2**(exponent - 31)``."""

    multiplier: 31
    exponent: signed(7)


class LaneTables(Component):
    """Two banks of ``groups`` entries (bias, scale) for each lane.

    All lanes are read at the same address, ``latency`` cycles before the entry is used. Writes go to the
    selected lanes, bias and scale separately. An entry that is read and written in the same cycle gives an
    undefined word, so the users keep reads and writes of a bank apart.

    Parameters
    ----------
    lanes : int
    groups : int
        Entries of a bank, a power of two.

    Members
    -------
    r_addr, w_addr : ``In(1 + log2(groups))``
        Group, with the bank as the highest bit.
    biases : ``Out(ArrayLayout(signed(32), lanes))``
    scales : ``Out(ArrayLayout(Scale, lanes))``
    w_lanes : ``In(lanes)``
        Lanes to write.
    w_bias_en, w_scale_en : ``In(1)``
        Parts of the entry to write.
    w_bias : ``In(signed(32))``
    w_scale : ``In(Scale)``
    """

    latency = 2
    """Clock cycles from ``r_addr`` to ``biases`` and ``scales``."""

    def __init__(self, *, lanes, groups):
        self._lanes = lanes
        self._groups = groups
        address_width = 1 + exact_log2(groups)
        super().__init__(
            {
                "r_addr": In(address_width),
                "biases": Out(data.ArrayLayout(signed(32), lanes)),
                "scales": Out(data.ArrayLayout(Scale, lanes)),
                "w_addr": In(address_width),
                "w_lanes": In(lanes),
                "w_bias_en": In(1),
                "w_scale_en": In(1),
                "w_bias": In(signed(32)),
                "w_scale": In(Scale),
            }
        )

    @property
    def lanes(self):
        """Number of tables."""
        return self._lanes

    @property
    def groups(self):
        """Entries of a bank."""
        return self._groups

    def elaborate(self, platform):
        m = Module()
        for lane in range(self.lanes):
            for name, shape, result, enable, value in (
                ("bias", signed(32), self.biases[lane], self.w_bias_en, self.w_bias),
                ("scale", Scale, self.scales[lane], self.w_scale_en, self.w_scale),
            ):
                m.submodules[f"{name}_{lane}"] = memory = Memory(
                    shape=shape, depth=2 * self.groups, init=[], attrs={"no_rw_check": 1}
                )
                read, write = memory.read_port(), memory.write_port()
                register = Signal(shape, name=f"{name}_{lane}_register", reset_less=True)
                m.d.comb += [
                    read.addr.eq(self.r_addr),
                    read.en.eq(1),
                    write.addr.eq(self.w_addr),
                    write.en.eq(enable & self.w_lanes[lane]),
                    write.data.eq(value),
                    result.eq(register),
                ]
                m.d.sync += register.eq(read.data)
        return m
