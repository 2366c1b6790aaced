"""STORE: activation buffer to main memory."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.axi import axi_address_layout, axi_write_signature
from systolith.burst_beats import BurstBeats
from systolith.burst_splitter import BurstSplitter
from systolith.dma_errors import DmaErrors
from systolith.fill_level import FillLevel
from systolith.head_buffer import HeadBuffer
from systolith.head_fifo import HeadFifo
from systolith.ports import ActivationReadPort, DmaError, activation_claim
from systolith.shapes import MEMORY_WIDTH, command_layout
from systolith.stream_buffer import StreamBuffer
from systolith.transfer_walker import TransferWalker
from systolith_spec.registers import ErrorCode

__all__ = ["StoreEngine"]

_BEATS_IN_FLIGHT = 16
"""Depth of the write data FIFO: covers the latency of the buffer and of returning a credit."""


class StoreEngine(Component):
    """Executes STORE commands: write bursts follow each other without a gap, across runs and commands.

    Dataflow: walker (runs) -> splitter (bursts) -> write address channel, the plan (a FIFO of bursts whose
    data is still to be read) and the FIFO of expected responses; both FIFOs hold ``config.outstanding_reads``
    bursts. The head of the plan is turned into reads of the activation buffer, one a beat, at ``buffer -
    memory % axi_bytes`` plus the beats before, so that the unaligned read port shifts the bytes. A read needs
    a credit, that is a free place in the write data FIFO, because the buffer's responses cannot be refused.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command : ``In(stream.Signature(command_layout("STORE")))``
        Commands whose tokens are satisfied.
    retire : ``Out(1)``
        A command is complete: all write responses are there (a pulse, in order).
    busy, stall_input, stall_output : ``Out(1)``
        Commands in flight; activation bank taken; write channel not ready (both a cycle late).
    error : ``Out(DmaError)``
        Write response other than OKAY, or a run out of range.
    abort : ``In(1)``
        Level: stop issuing, complete the bursts already issued, drop the commands (``busy`` falls), retire
        nothing.
    base, limit, writable : ``In(32)``
        Registers BASE, LIMIT and WRITABLE.
    activation : ``Out(ActivationReadPort.Signature(config))``
        Source.
    axi : ``Out(axi_write_signature(config))``
        Write channels.
    beat : ``Out(1)``
        A write beat is accepted.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(command_layout("STORE"))),
                "retire": Out(1),
                "busy": Out(1),
                "stall_input": Out(1),
                "stall_output": Out(1),
                "error": Out(DmaError),
                "abort": In(1),
                "base": In(MEMORY_WIDTH),
                "limit": In(MEMORY_WIDTH),
                "writable": In(MEMORY_WIDTH),
                "activation": Out(ActivationReadPort.Signature(config)),
                "axi": Out(axi_write_signature(config)),
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
        m.submodules.walker = walker = TransferWalker(config=config, name="STORE")
        m.submodules.splitter = splitter = BurstSplitter(config=config)
        m.submodules.request = request = StreamBuffer(shape=axi_address_layout())
        m.submodules.plan = plan = BurstBeats(config=config, address=False)
        m.submodules.expected = expected = SyncFIFO(width=MEMORY_WIDTH + 1, depth=config.outstanding_reads)
        connect(m, walker.runs, splitter.runs)
        connect(m, command=flipped(self.command), walker=walker.command)
        connect(m, request=request.o, aw=flipped(self.axi.aw))
        burst = splitter.bursts.payload
        # A burst planned is a burst expected and the response comes last, so the plan is never full alone.
        issue = splitter.bursts.valid & splitter.bursts.ready
        # A register: there is room in `expected`.
        free = Signal(init=1)
        with m.If(self.axi.b.valid & expected.r_rdy):
            m.d.sync += free.eq(1)
        with m.Elif(issue):
            m.d.sync += free.eq(expected.level != config.outstanding_reads - 1)
        m.d.comb += [
            walker.base.eq(self.base),
            walker.limit.eq(self.limit),
            walker.writable.eq(self.writable),
            walker.abort.eq(self.abort),
            splitter.abort.eq(self.abort),
            splitter.bursts.ready.eq(free & request.i.ready),
            plan.i.valid.eq(issue),
            plan.i.payload.eq(burst),
            expected.w_en.eq(issue),
            expected.w_data.eq(Cat(burst.address, burst.last)),
            request.i.valid.eq(splitter.bursts.valid & free),
            request.i.payload.addr.eq(burst.address),
            request.i.payload.len.eq(burst.len),
        ]
        self._read_beats(m, plan)
        self._collect(m, walker, expected)
        m.d.comb += self.busy.eq(walker.busy | splitter.bursts.valid | (expected.level != 0) | self.retire)
        return m

    def _read_beats(self, m, plan):
        """Read the buffer beat by beat and send what comes back."""
        config = self.config
        step = config.axi_bytes
        # From the request of a beat until it has left on the bus.
        m.submodules.under_way = under_way = FillLevel(depth=_BEATS_IN_FLIGHT)
        beat = plan.o.payload
        fire = Signal()
        # A register: the grant of the buffer ends here.
        request = data.StructLayout({"addr": len(beat.addr), "claim": config.activation_banks})
        m.submodules.read = read = HeadBuffer(shape=request, reset_less=False)
        m.d.comb += [
            read.i.payload.addr.eq(beat.addr),
            # None without a request, whose valid need not be looked at then.
            read.i.payload.claim.eq(Mux(read.i.valid, activation_claim(config, beat.addr), 0)),
            read.i.valid.eq(plan.o.valid & under_way.room),
            plan.o.ready.eq(under_way.room & read.i.ready),
            fire.eq(read.i.valid & read.i.ready),
            self.activation.addr.eq(read.o.payload.addr),
            self.activation.claim.eq(read.o.payload.claim),
            self.activation.valid.eq(read.o.valid),
            read.o.ready.eq(self.activation.ready),
        ]
        m.d.sync += self.stall_input.eq(self.activation.valid & ~self.activation.ready)
        m.d.comb += [under_way.put.eq(fire), under_way.take.eq(self.beat)]

        # With their heads in registers: so does what leaves the accelerator.
        m.submodules.strobes = strobes = HeadFifo(
            shape=data.StructLayout({"strb": step, "last": 1}), depth=_BEATS_IN_FLIGHT)
        m.submodules.beats = beats = HeadFifo(shape=config.axi_data_width, depth=_BEATS_IN_FLIGHT)
        write = self.axi.w
        m.d.comb += [
            strobes.i.valid.eq(fire),
            strobes.i.payload.strb.eq(beat.mask),
            strobes.i.payload.last.eq(beat.last_beat),
            beats.i.valid.eq(self.activation.data_valid),
            beats.i.payload.eq(self.activation.data),
            write.valid.eq(beats.o.valid),
            write.payload.data.eq(beats.o.payload),
            write.payload.strb.eq(strobes.o.payload.strb),
            write.payload.last.eq(strobes.o.payload.last),
            beats.o.ready.eq(write.ready),
            strobes.o.ready.eq(write.ready & beats.o.valid),
            self.beat.eq(write.valid & write.ready),
        ]
        m.d.sync += self.stall_output.eq(write.valid & ~write.ready)

    def _collect(self, m, walker, expected):
        """Count responses, retire commands and report errors."""
        address, last = expected.r_data[:MEMORY_WIDTH], expected.r_data[MEMORY_WIDTH]
        response = self.axi.b
        fire = Signal()
        m.submodules.errors = errors = DmaErrors(
            response_code=ErrorCode.WRITE_RESPONSE, range_code=ErrorCode.OUT_OF_RANGE
        )
        m.d.comb += [
            response.ready.eq(expected.r_rdy),
            fire.eq(response.valid & response.ready),
            expected.r_en.eq(response.valid),
            errors.response_valid.eq(response.valid),
            errors.expected.eq(expected.r_rdy),
            errors.response.eq(response.payload.resp),
            errors.burst_address.eq(address),
            errors.out_of_range.eq(walker.out_of_range),
            errors.run_address.eq(walker.address),
            errors.abort.eq(self.abort),
            self.error.eq(errors.error),
        ]
        m.d.sync += self.retire.eq(fire & last & ~self.abort)
