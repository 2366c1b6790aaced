"""LOAD: main memory to on-chip buffers."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.axi import AXI_ID_LOAD, axi_address_layout, axi_read_signature
from systolith.burst_beats import BurstBeats
from systolith.burst_splitter import BurstSplitter
from systolith.dma_errors import DmaErrors
from systolith.fill_level import FillLevel
from systolith.head_buffer import HeadBuffer
from systolith.ports import ActivationWritePort, DmaError, ParameterWritePort, WeightWritePort, activation_claim
from systolith.shapes import MEMORY_WIDTH, command_layout
from systolith.stream_buffer import StreamBuffer
from systolith.transfer_walker import TransferWalker
from systolith_spec.commands import Space
from systolith_spec.registers import ErrorCode
from systolith_spec.widths import buffer_address_width

__all__ = ["LoadEngine"]


class LoadEngine(Component):
    """Executes LOAD commands: read bursts run ahead of the data, across runs and commands.

    Dataflow: walker (runs) -> splitter (bursts) -> read address channel and, with the same burst, the plan:
    bursts whose data is still to come; at most ``config.outstanding_reads`` are in flight. The plan
    (:class:`~systolith.burst_beats.BurstBeats`) says for each read beat where it goes: lane 0 of a beat is buffer
    address ``buffer - memory % axi_bytes`` plus the beats before, lanes outside the run are masked, and the
    unaligned write port of the activation buffer shifts the bytes. A two-deep buffer keeps the
    write port's ``ready`` out of the read channel.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command : ``In(stream.Signature(command_layout("LOAD")))``
        Commands whose tokens are satisfied.
    retire : ``Out(1)``
        A command is complete, all its bytes are written (a pulse, in order).
    busy, stall_input, stall_output : ``Out(1)``
        Commands in flight; no read data; activation bank taken (both a cycle late).
    error : ``Out(DmaError)``
        Read response other than OKAY, or a run out of range.
    abort : ``In(1)``
        Level: stop issuing, drain the bus, drop the commands (``busy`` falls), retire nothing.
    base, limit : ``In(32)``
        Registers BASE and LIMIT.
    axi : ``Out(axi_read_signature(config))``
        Read channels, id 0.
    activation : ``Out(ActivationWritePort.Signature(config))``
    weight : ``Out(WeightWritePort.Signature(config))``
    parameter : ``Out(ParameterWritePort.Signature(config))``
        Destinations; the latter two get whole beats.
    beat : ``Out(1)``
        A read beat is accepted.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(command_layout("LOAD"))),
                "retire": Out(1),
                "busy": Out(1),
                "stall_input": Out(1),
                "stall_output": Out(1),
                "error": Out(DmaError),
                "abort": In(1),
                "base": In(MEMORY_WIDTH),
                "limit": In(MEMORY_WIDTH),
                "axi": Out(axi_read_signature(config)),
                "activation": Out(ActivationWritePort.Signature(config)),
                "weight": Out(WeightWritePort.Signature(config)),
                "parameter": Out(ParameterWritePort.Signature(config)),
                "beat": Out(1),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.walker = walker = TransferWalker(config=config, name="LOAD")
        m.submodules.splitter = splitter = BurstSplitter(config=config)
        m.submodules.request = request = StreamBuffer(shape=axi_address_layout())
        m.submodules.beats = beats = BurstBeats(config=config, address=True)
        connect(m, walker.runs, splitter.runs)
        connect(m, command=flipped(self.command), walker=walker.command)
        connect(m, request=request.o, ar=flipped(self.axi.ar))
        burst = splitter.bursts.payload
        # A burst counts until its last beat; the plan alone would forget the one being received.
        m.submodules.under_way = under_way = FillLevel(depth=config.outstanding_reads)
        issue = splitter.bursts.valid & splitter.bursts.ready
        m.d.comb += [
            walker.base.eq(self.base),
            walker.limit.eq(self.limit),
            walker.abort.eq(self.abort),
            splitter.abort.eq(self.abort),
            splitter.bursts.ready.eq(under_way.room & request.i.ready),
            beats.i.valid.eq(issue),
            beats.i.payload.eq(burst),
            request.i.valid.eq(splitter.bursts.valid & under_way.room),
            request.i.payload.addr.eq(burst.address),
            request.i.payload.len.eq(burst.len),
            request.i.payload.id.eq(AXI_ID_LOAD),
        ]
        received, writes = self._place_beats(m, beats, walker)
        self._write(m, writes)
        complete = Signal()
        m.d.sync += complete.eq(received)
        m.d.comb += [
            under_way.put.eq(issue),
            under_way.take.eq(complete),
            self.busy.eq(walker.busy | splitter.bursts.valid | under_way.some | writes.valid | self.retire),
        ]
        return m

    def _place_beats(self, m, beats, walker):
        """Give each read beat its address and mask; returns (burst complete, stream of writes)."""
        config = self.config
        read = self.axi.r
        write_layout = data.StructLayout(
            {
                "addr": buffer_address_width(config),
                "claim": config.activation_banks,
                "data": config.axi_data_width,
                "mask": config.axi_bytes,
                "space": 2,
                "last": 1,
            }
        )
        m.submodules.writes = writes = HeadBuffer(shape=write_layout)
        beat = beats.o.payload
        fire = Signal()
        m.d.comb += [
            read.ready.eq(beats.o.valid & writes.i.ready),
            fire.eq(read.valid & read.ready),
            beats.o.ready.eq(read.valid & writes.i.ready),
            self.beat.eq(fire),
            writes.i.valid.eq(read.valid & beats.o.valid),
            writes.i.payload.data.eq(read.payload.data),
            writes.i.payload.claim.eq(activation_claim(config, beat.addr)),
            *(writes.i.payload[name].eq(beat[name]) for name in ("addr", "mask", "space", "last")),
        ]
        m.d.sync += self.stall_input.eq(beats.o.valid & writes.i.ready & ~read.valid)
        m.submodules.errors = errors = DmaErrors(
            response_code=ErrorCode.READ_RESPONSE, range_code=ErrorCode.OUT_OF_RANGE
        )
        m.d.comb += [
            errors.response_valid.eq(read.valid),
            errors.expected.eq(read.ready),
            errors.response.eq(read.payload.resp),
            errors.burst_address.eq(beats.address),
            errors.out_of_range.eq(walker.out_of_range),
            errors.run_address.eq(walker.address),
            errors.abort.eq(self.abort),
            self.error.eq(errors.error),
        ]
        return fire & beat.last_beat, writes.o

    def _write(self, m, writes):
        """Send a write to its buffer. Only the activation buffer may refuse."""
        write = writes.payload
        to_activation = write.space == Space.ACTIVATION
        m.d.comb += [
            writes.ready.eq(~to_activation | self.activation.ready),
            self.activation.valid.eq(writes.valid & to_activation),
            self.activation.mask.eq(write.mask),
            self.activation.claim.eq(write.claim),
            self.weight.en.eq(writes.valid & (write.space == Space.WEIGHT)),
            self.parameter.en.eq(writes.valid & (write.space == Space.PARAMETER)),
        ]
        for port in (self.activation, self.weight, self.parameter):
            m.d.comb += [port.addr.eq(write.addr), port.data.eq(write.data)]
        m.d.sync += self.stall_output.eq(self.activation.valid & ~self.activation.ready)
        m.d.sync += self.retire.eq(writes.valid & writes.ready & write.last & ~self.abort)
