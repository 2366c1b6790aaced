"""From planned bursts to their beats: buffer address and byte lanes."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from systolith.burst_splitter import burst_layout
from systolith.shapes import MEMORY_WIDTH
from systolith.stream_buffer import StreamBuffer
from systolith_spec.widths import buffer_address_width

__all__ = ["BurstBeats"]


class BurstBeats(Component):
    """Remember bursts (up to ``config.outstanding_reads``, and two more) and say where each of their beats goes.

    Lane 0 of the first beat of a run is buffer address ``buffer`` of its first burst, that of every beat
    ``axi_bytes`` more than of the one before; lanes outside the run are masked. The oldest two bursts are in
    registers, so that a late ``ready`` does not reach the memory of the others. The first beat is there two
    cycles after its burst.

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
        # `single`: a burst of one beat.
        fields = {name: field.shape for name, field in burst_layout(self.config) if name != "address" or self._address}
        layout = data.StructLayout({**fields, "single": 1})
        m.submodules.plan = plan = SyncFIFO(width=layout.size, depth=self.config.outstanding_reads)
        m.submodules.heads = heads = StreamBuffer(shape=layout)
        planned, burst = Signal(layout), heads.o.payload
        m.d.comb += [
            *(planned[name].eq(self.i.payload[name]) for name in fields),
            planned.single.eq(self.i.payload.len == 0),
            plan.w_data.eq(planned),
            plan.w_en.eq(self.i.valid),
            self.i.ready.eq(plan.w_rdy),
            heads.i.valid.eq(plan.r_rdy),
            heads.i.payload.eq(plan.r_data),
            plan.r_en.eq(heads.i.ready),
            self.o.valid.eq(heads.o.valid),
            self.address.eq(burst.address if self._address else 0),
        ]
        self._beats(m, burst)
        m.d.comb += heads.o.ready.eq(self.o.ready & self.o.payload.last_beat)
        return m

    def _beats(self, m, burst):
        """Count the beats of the oldest burst."""
        step = self.config.axi_bytes
        beat = self.o.payload
        first_beat, next_last = Signal(init=1), Signal(reset_less=True)
        left, address = Signal.like(burst.len, reset_less=True), Signal.like(beat.addr, reset_less=True)
        lanes = range(step)
        m.d.comb += [
            beat.addr.eq(Mux(first_beat & burst.run_first, burst.buffer, address)),
            beat.mask.eq(Cat(
                (~first_beat | (lane >= burst.first_lane)) & (~beat.last_beat | (lane <= burst.last_lane))
                for lane in lanes
            )),
            beat.space.eq(burst.space),
            beat.last_beat.eq(Mux(first_beat, burst.single, next_last)),
            beat.last.eq(beat.last_beat & burst.last),
        ]
        # Beats behind the one that follows this one.
        more = Mux(first_beat, burst.len, left) - 1
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                first_beat.eq(beat.last_beat),
                left.eq(more),
                next_last.eq(more[:len(left)] == 0),
                address.eq(beat.addr + step),
            ]
