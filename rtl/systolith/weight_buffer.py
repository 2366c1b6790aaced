"""Weight buffer: pairs of tile rows out, AXI beats in."""

from amaranth import *
from amaranth.lib.wiring import Component, In
from amaranth.utils import exact_log2

from systolith.ports import WeightReadPort, WeightWritePort
from systolith.rotating_ram import RotatingRam

__all__ = ["WeightBuffer"]


class WeightBuffer(Component):
    """Byte-addressed memory of ``config.weight_bytes`` with one reader and one writer, neither ever refused.

    A word is ``config.weight_word`` bytes in units of ``config.weight_alignment`` bytes, which no access
    splits. Reads may start at any unit, so they pass a rotator over the units of a word; a beat never straddles
    words, so writes need none: the beat is offered to all units and the mask picks.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    read : ``In(WeightReadPort.Signature(config))``
        Two tile rows.
    write : ``In(WeightWritePort.Signature(config))``
        Beats. A read of the cycle after a write sees it.
    """

    read_latency = RotatingRam.read_latency
    """Clock cycles from ``read.en`` to ``read.data``."""

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "read": In(WeightReadPort.Signature(config)),
                "write": In(WeightWritePort.Signature(config)),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        word, unit, beat = config.weight_word, config.weight_alignment, config.axi_bytes
        m.submodules.ram = ram = RotatingRam(
            lanes=word // unit,
            lane_width=8 * unit,
            rows=config.weight_bytes // word,
            rotate_writes=False,
            style=config.multiplier_style,
        )
        beats_log2 = exact_log2(word // beat)
        slot = self.write.addr[exact_log2(beat) :][:beats_log2]
        mask = Cat((slot == index).replicate(beat // unit) for index in range(word // beat))
        m.d.comb += [
            ram.r_addr.eq(self.read.addr[exact_log2(unit) :]),
            ram.r_en.eq(self.read.en),
            self.read.data.eq(ram.r_data),
            ram.w_addr.eq(self.write.addr[exact_log2(unit) :]),
            ram.w_en.eq(self.write.en),
            ram.w_mask.eq(mask),
            ram.w_data.eq(self.write.data.replicate(word // beat)),
        ]
        return m
