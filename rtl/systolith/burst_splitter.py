"""Cut runs into bursts."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.shapes import MEMORY_WIDTH
from systolith.transfer_walker import run_layout
from systolith_spec.dma_timing import burst_bytes
from systolith_spec.widths import buffer_address_width

__all__ = ["BurstSplitter", "burst_layout"]


def burst_layout(config):
    """Payload of a stream of bursts.

    ``address`` is that of the first beat, ``len`` the beats - 1, ``first_lane`` the first byte lane used in
    the first beat and ``last_lane`` the last one in the last beat. ``run_first``: first burst of a run, whose
    beat 0 belongs to buffer address ``buffer``; later bursts of a run go on where the one before ended.
    ``last``: last burst of the command.
    """
    lane_width = exact_log2(config.axi_bytes)
    return data.StructLayout(
        {
            "address": MEMORY_WIDTH,
            "len": 8,
            "first_lane": lane_width,
            "last_lane": lane_width,
            "buffer": buffer_address_width(config),
            "space": 2,
            "run_first": 1,
            "last": 1,
        }
    )


class BurstSplitter(Component):
    """One burst a cycle, cut at multiples of the chunk (``burst_bytes(config)``, a power of two up to 4 KiB).

    Cutting at multiples keeps every burst inside 4 KiB and short-cuts the arithmetic: all bursts of a run but
    the first start at beat 0 and all but the last are full.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    runs : ``In(stream.Signature(run_layout(config)))``
        Runs.
    bursts : ``Out(stream.Signature(burst_layout(config)))``
        Bursts; withdrawn only by ``abort``.
    abort : ``In(1)``
        Drop the run.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "runs": In(stream.Signature(run_layout(config))),
                "bursts": Out(stream.Signature(burst_layout(config))),
                "abort": In(1),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        beat_log2 = exact_log2(self.config.axi_bytes)
        chunk_log2 = exact_log2(burst_bytes(self.config))
        run = self.runs.payload
        burst = self.bursts.payload
        valid = Signal()
        s2_run = Signal(run_layout(self.config), reset_less=True)
        left = Signal(len(run.end) - chunk_log2, reset_less=True)
        first_burst = Signal(reset_less=True)
        last_burst = Signal(reset_less=True)
        length = Signal(chunk_log2 - beat_log2, reset_less=True)  # beats of the burst but one
        run_beats = (run.end[beat_log2:chunk_log2] - run.first[beat_log2:])[:len(length)]
        fire = self.bursts.valid & self.bursts.ready
        m.d.comb += [
            self.bursts.valid.eq(valid),
            self.runs.ready.eq(~valid | (self.bursts.ready & last_burst)),
        ]
        with m.If(self.runs.ready):
            m.d.sync += [
                valid.eq(self.runs.valid),
                s2_run.eq(run),
                left.eq(run.end[chunk_log2:]),
                first_burst.eq(1),
                last_burst.eq(run.end[chunk_log2:] == 0),
                # From the first beat to the end of the run or of the chunk.
                length.eq(Mux(run.end[chunk_log2:] == 0, run_beats, ~run.first[beat_log2:])),
            ]
        with m.Elif(fire):
            m.d.sync += [
                s2_run.chunk.eq(s2_run.chunk + 1),
                left.eq(left - 1),
                first_burst.eq(0),
                last_burst.eq(left == 1),
                length.eq(Mux(left == 1, s2_run.end[beat_log2:chunk_log2], ~Const(0, len(length)))),
            ]
        with m.If(self.abort):
            m.d.sync += valid.eq(0)

        first = Mux(first_burst, s2_run.first, 0)
        end = Mux(last_burst, s2_run.end[:chunk_log2], (1 << chunk_log2) - 1)
        m.d.comb += [
            burst.address.eq(Cat(Const(0, beat_log2), first[beat_log2:chunk_log2], s2_run.chunk)),
            burst.len.eq(length),
            burst.first_lane.eq(first[:beat_log2]),
            burst.last_lane.eq(end[:beat_log2]),
            burst.buffer.eq(s2_run.buffer),
            burst.space.eq(s2_run.space),
            burst.run_first.eq(first_burst),
            burst.last.eq(last_burst & s2_run.last),
        ]
        return m
