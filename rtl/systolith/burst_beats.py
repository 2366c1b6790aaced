"""From planned bursts to their beats: buffer address and byte lanes."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from systolith.burst_splitter import burst_layout
from systolith.shapes import MEMORY_WIDTH
from systolith_spec.widths import buffer_address_width

__all__ = ["BurstBeats"]


class BurstBeats(Component):
    """Remember bursts (up to ``config.outstanding_reads``, and one more) and say where each of their beats goes.

    Lane 0 of the first beat of a run is buffer address ``buffer`` of its first burst, that of every beat
    ``axi_bytes`` more than of the one before; lanes outside the run are masked. Beats come from registers. The first one
    is there two cycles after its burst.

    ::

        bursts -> FIFO -> beat: address, mask, flags
                            ^ |
                            +-+ next beat of the burst

    Parameters
    ----------
    config : AcceleratorConfig
    address : bool
        Keep the addresses of the bursts, for reports of errors.

    Members
    -------
    i : ``In(stream.Signature(burst_layout(config)))``
    o : ``Out(stream.Signature(...))``
        Beats: ``addr``, ``mask``, ``space``; ``last_beat`` of its burst, ``last`` of its command.
    address : ``Out(32)``
        Memory address of the burst of the beat; without ``address`` always 0.
    """

    latency = 2
    """Cycles from a burst to its first beat."""

    def __init__(self, *, config, address):
        self._config = config
        self._address = address
        super().__init__(
            {
                "i": In(stream.Signature(burst_layout(config))),
                "o": Out(
                    stream.Signature(
                        data.StructLayout(
                            {
                                "addr": buffer_address_width(config),
                                "mask": config.axi_bytes,
                                "space": 2,
                                "last_beat": 1,
                                "last": 1,
                            }
                        )
                    )
                ),
                "address": Out(MEMORY_WIDTH),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        # `single`, `pair`: a burst of one beat, or of two.
        fields = {name: field.shape for name, field in burst_layout(self.config) if name != "address" or self._address}
        layout = data.StructLayout({**fields, "single": 1, "pair": 1})
        m.submodules.plan = plan = SyncFIFO(width=layout.size, depth=self.config.outstanding_reads)
        planned = Signal(layout)
        # There is no beat, or it is taken; it is the last of its burst.
        proceed, over = Signal(), Signal()
        m.d.comb += [
            *(planned[name].eq(self.i.payload[name]) for name in fields),
            planned.single.eq(self.i.payload.len == 0),
            planned.pair.eq(self.i.payload.len == 1),
            plan.w_data.eq(planned),
            plan.w_en.eq(self.i.valid),
            self.i.ready.eq(plan.w_rdy),
            proceed.eq(~self.o.valid | self.o.ready),
            over.eq(~self.o.valid | self.o.payload.last_beat),
            plan.r_en.eq(proceed & over),
        ]
        with m.If(proceed & over):
            m.d.sync += self.o.valid.eq(plan.r_rdy)
        self._beats(m, data.View(layout, plan.r_data), proceed, over, plan.r_rdy)
        return m

    def _beats(self, m, burst, proceed, over, some):
        """Go on to the first beat of ``burst``, or to the next one of the same burst.

        The registers follow a burst that is not there too: ``ready`` of the receiver comes late and is all that enables them.
        Only the address must not, as a run may go on after a pause.
        """
        beat = self.o.payload
        held = Signal(data.StructLayout({"last_lane": burst.last_lane.shape(), "last": 1}), reset_less=True)
        # Beats behind this one; there is one.
        left, next_last = Signal.like(burst.len, reset_less=True), Signal(reset_less=True)
        # While there is no beat, its address is that of the next one already.
        next_address = Signal.like(beat.addr)
        m.d.comb += next_address.eq(beat.addr + Mux(self.o.valid, self.config.axi_bytes, 0))

        def masked(first_lane, end, last_lane):
            return Cat((lane >= first_lane) & (~end | (lane <= last_lane)) for lane in range(self.config.axi_bytes))

        with m.If(proceed):
            m.d.sync += beat.addr.eq(Mux(over & some & burst.run_first, burst.buffer, next_address))
        with m.If(proceed & ~over):
            m.d.sync += [
                beat.mask.eq(masked(0, next_last, held.last_lane)),
                beat.last_beat.eq(next_last), beat.last.eq(next_last & held.last),
                left.eq(left - 1), next_last.eq(left == 2),
            ]
        with m.Elif(proceed):
            m.d.sync += [
                beat.mask.eq(masked(burst.first_lane, burst.single, burst.last_lane)),
                beat.last_beat.eq(burst.single), beat.last.eq(burst.single & burst.last), beat.space.eq(burst.space),
                held.last_lane.eq(burst.last_lane), held.last.eq(burst.last),
                left.eq(burst.len), next_last.eq(burst.pair),
            ]
            if self._address:
                m.d.sync += self.address.eq(burst.address)
