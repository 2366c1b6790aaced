"""Parameter buffer: biases and scales on their way to the lane tables."""

from amaranth import *
from amaranth.lib.wiring import Component, In
from amaranth.utils import exact_log2

from systolith.block_ram import BlockRam, block_ram
from systolith.ports import ParameterReadPort, ParameterWritePort

__all__ = ["ParameterBuffer"]

_PAIR_BYTES = 8


class ParameterBuffer(Component):
    """Memory of ``config.parameter_bytes`` with one writer of AXI beats and one reader of word pairs.

    One RAM of 64-bit words; two side by side, of even and odd pairs, if a beat is 128 bits wide. A read sees
    the writes of all cycles before its own.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    read : ``In(ParameterReadPort.Signature(config))``
        Pairs of 32-bit words, never refused.
    write : ``In(ParameterWritePort.Signature(config))``
        Beats, never refused.
    """

    read_latency = BlockRam.read_latency
    """Clock cycles from ``read.en`` to ``read.data``."""

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "read": In(ParameterReadPort.Signature(config)),
                "write": In(ParameterWritePort.Signature(config)),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        beat = self.config.axi_bytes
        sides = max(1, beat // _PAIR_BYTES)
        pair_width = exact_log2(self.config.parameter_bytes // _PAIR_BYTES)
        side_width = exact_log2(sides)
        # 32-bit words: bit 0 picks the half of a pair.
        read_pair = self.read.addr[1 : 1 + pair_width]
        write_pair = self.write.addr[exact_log2(_PAIR_BYTES) :][:pair_width]
        halves = _PAIR_BYTES // beat if beat < _PAIR_BYTES else 1
        enables = self.write.en.replicate(halves)
        if halves == 2:
            enables = Cat(self.write.en & ~self.write.addr[2], self.write.en & self.write.addr[2])

        rams = []
        for side in range(sides):
            m.submodules[f"ram_{side}"] = ram = block_ram(
                style=self.config.multiplier_style,
                width=64,
                depth=(1 << pair_width) // sides,
                granularity=None if halves == 1 else 32,
            )
            m.d.comb += [
                ram.r_addr.eq(read_pair[side_width:]),
                ram.r_en.eq(self.read.en),
                ram.w_addr.eq(write_pair[side_width:]),
                ram.w_en.eq(enables),
                ram.w_data.eq(
                    self.write.data.replicate(halves) if sides == 1 else self.write.data.word_select(side, 64)
                ),
            ]
            rams.append(ram)
        if sides == 1:
            m.d.comb += self.read.data.eq(rams[0].r_data)
        else:
            side = read_pair[:side_width]
            for stage in range(self.read_latency):
                delayed = Signal(side_width, name=f"s{stage}_side", reset_less=True)
                m.d.sync += delayed.eq(side)
                side = delayed
            m.d.comb += self.read.data.eq(Array(ram.r_data for ram in rams)[side])
        return m
