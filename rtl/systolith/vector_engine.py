"""Vector engine: drains accumulators, pools, adds and requantizes."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.accumulator_buffer import AccumulatorReadPort
from systolith.fill_level import FillLevel
from systolith.head_buffer import HeadBuffer
from systolith.head_fifo import HeadFifo
from systolith.parameter_loader import ParameterLoader
from systolith.ports import ActivationReadPort, ActivationWritePort, ParameterReadPort, activation_claim
from systolith.result_queue import ResultQueue
from systolith.softmax_loader import SoftmaxLoader
from systolith.vector_dispatcher import VectorDispatcher, vector_command_layout
from systolith.vector_element import destination_layout, element_layout
from systolith.vector_pipeline import VectorPipeline
from systolith.vector_walk import VectorWalk
from systolith_spec.vector_timing import vector_result_depth

__all__ = ["VectorEngine"]

# Reads in flight; more than the latency of any buffer, so that they are never the limit.
_READS = 16
_LOADER_FLAGS = ("done", "w_bias_en", "w_scale_en")


class VectorEngine(Component):
    """Execute VECTOR and PARAMS commands.

    Dataflow: dispatcher (order, banks) -> walk (addresses) -> request register -> read of the accumulator or
    activation buffer -> pipeline (reduction, requantization) -> queue of results -> write to the activation
    buffer. The pipeline cannot stop; a read that starts a reduction is issued only when the result queue has
    room for its result, so a write port that is taken stops the reads in time. One element is read, and one
    result written, per cycle when no port is taken; consecutive commands follow without a gap.

    The walk waits before the first element of a command (1) with the fence bit, until all earlier results are
    written; (2) whose source differs from that of the command before, until the reads of that are reduced.
    Latencies and cycle counts: :mod:`systolith_spec.vector_timing`.

    After a reset, responses of reads accepted before it are ignored.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command : ``In(stream.Signature(vector_command_layout()))``
        Tokens are satisfied when a command is offered.
    retire : ``Out(1)``
        Pulse for each command, in order, when all its bytes are written.
    busy : ``Out(1)``
        Commands have been accepted and not retired.
    stall_input : ``Out(1)``
        A read waits for its port. One cycle late.
    stall_output : ``Out(1)``
        A write waits for its port. One cycle late.
    accumulator_read : ``Out(AccumulatorReadPort.Signature(config))``
    activation_read : ``Out(ActivationReadPort.Signature(config))``
    activation_write : ``Out(ActivationWritePort.Signature(config))``
    parameter_read : ``Out(ParameterReadPort.Signature(config))``
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(vector_command_layout())),
                "retire": Out(1),
                "busy": Out(1),
                "stall_input": Out(1),
                "stall_output": Out(1),
                "accumulator_read": Out(AccumulatorReadPort.Signature(config)),
                "activation_read": Out(ActivationReadPort.Signature(config)),
                "activation_write": Out(ActivationWritePort.Signature(config)),
                "parameter_read": Out(ParameterReadPort.Signature(config)),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    @property
    def result_depth(self):
        """Results that may be between read and write."""
        return vector_result_depth(self.config)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.dispatcher = dispatcher = VectorDispatcher(config=config)
        m.submodules.loader = loader = ParameterLoader(config=config)
        m.submodules.walk = walk = VectorWalk(config=config)
        m.submodules.pipeline = pipeline = VectorPipeline(config=config)
        connect(m, command=flipped(self.command), dispatcher=dispatcher.command)
        connect(m, dispatcher=dispatcher.walk, walk=walk.command)
        m.d.comb += [
            pipeline.operands.eq(loader.operands),
            # Written until the walk takes the command, so that its ready need not come this far.
            pipeline.starting.eq(dispatcher.walk.valid),
            pipeline.command.eq(dispatcher.walk.payload.vector),
            pipeline.slot.eq(dispatcher.walk.payload.slot),
            self.retire.eq(dispatcher.retire),
            self.busy.eq(dispatcher.busy),
        ]
        softmax = self._load(m, dispatcher, loader, pipeline)
        m.submodules.results = results = ResultQueue(
            destination_shape=destination_layout(config), result_shape=8 * config.vector_lanes, depth=self.result_depth)
        self._read(m, walk.o, pipeline, softmax, results)
        self._write(m, pipeline, results, dispatcher)
        return m

    def _load(self, m, dispatcher, loader, pipeline):
        """Let the loaders fill the lane tables, one at a time; returns that of softmax, or None."""
        loaders, softmax = [loader], None
        if self.config.softmax:
            m.submodules.softmax = softmax = SoftmaxLoader(config=self.config)
            loaders.append(softmax)
        for one, start in zip(loaders, (dispatcher.loader_start, dispatcher.softmax_start), strict=False):
            m.d.comb += [one.start.eq(start), one.command.eq(dispatcher.loader_command)]
        busy = softmax.busy if softmax else Const(0)
        chosen = {
            name: Mux(busy, Value.cast(getattr(loaders[-1], name)), Value.cast(getattr(loader, name)))
            for name in ("w_addr", "w_lanes", "w_bias", "w_scale")
        }
        both = {name: Cat(getattr(one, name) for one in loaders).any() for name in _LOADER_FLAGS}
        m.d.comb += [
            dispatcher.loader_done.eq(both["done"]),
            *(Value.cast(getattr(pipeline, name)).eq(chosen[name]) for name in chosen),
            *(getattr(pipeline, name).eq(both[name]) for name in ("w_bias_en", "w_scale_en")),
            self.parameter_read.addr.eq(Mux(busy, loaders[-1].read.addr, loader.read.addr)),
            self.parameter_read.en.eq(Mux(busy, loaders[-1].read.en, loader.read.en)),
            *(one.read.data.eq(self.parameter_read.data) for one in loaders),
        ]
        return softmax

    def _read(self, m, accesses, pipeline, softmax, results):
        """Issue reads while there is room for their results; pair the responses with their elements."""
        config = self.config
        # With its head in a register: what arrives selects in all lanes at once.
        m.submodules.elements = elements = HeadFifo(shape=element_layout(config), depth=_READS)
        issue = accesses.payload.issue
        element = issue.element
        source = element.source if config.pooling else Const(0)
        m.submodules.request = request = HeadBuffer(
            shape=data.StructLayout({
                "source": 1, "addr": len(accesses.payload.addr), "claim": config.activation_banks}), reset_less=False
        )
        # Results from the first read of an element until they are taken; reads from issue to arrival.
        m.submodules.unwritten = unwritten = FillLevel(depth=self.result_depth)
        m.submodules.reads = reads = FillLevel(depth=_READS)
        # A cycle late, which the depth of the queue leaves time for.
        returned, drained = Signal(), Signal()
        last_source = Signal(reset_less=True)

        # What a read starts is queued a cycle later, long before the data is back.
        issued = Signal()
        issued_element = Signal(element_layout(config), reset_less=True)
        issued_destination = Signal(destination_layout(config), reset_less=True)

        switching = (source != last_source) & (reads.some | pipeline.active)
        fenced = issue.fence & ~drained
        # Without `valid`, which the walk looks at anyway.
        allowed = reads.room & ~(element.first & ~unwritten.room) & ~switching & ~fenced
        fire = accesses.valid & allowed & request.i.ready
        # Everything before the next element has been written, and none leaves now.
        m.d.sync += [
            returned.eq(results.o.valid & results.o.ready),
            drained.eq(~unwritten.some & ~self.activation_write.valid & ~fire),
        ]
        m.d.comb += [
            request.i.valid.eq(accesses.valid & allowed),
            # Without a request 0: the register of this bit is the request to the activation buffer.
            request.i.payload.source.eq(accesses.valid & allowed & source),
            request.i.payload.claim.eq(Mux(accesses.valid & allowed, accesses.payload.claim, 0)),
            request.i.payload.addr.eq(accesses.payload.addr),
        ]
        if softmax is not None:
            # It runs alone and takes the same way, so that requests come from registers.
            m.d.comb += [
                softmax.values.ready.eq(request.i.ready),
                softmax.values.data_valid.eq(self.activation_read.data_valid),
                softmax.values.data.eq(self.activation_read.data),
            ]
            with m.If(softmax.busy):
                m.d.comb += [
                    request.i.valid.eq(softmax.values.valid),
                    request.i.payload.source.eq(softmax.values.valid),
                    request.i.payload.claim.eq(softmax.values.claim),
                    request.i.payload.addr.eq(softmax.values.addr),
                ]
        m.d.comb += [
            accesses.ready.eq(allowed & request.i.ready),
            elements.i.payload.eq(issued_element),
            elements.i.valid.eq(issued),
            results.destination.eq(issued_destination),
            results.destination_valid.eq(issued & issued_element.last),
        ]
        m.d.sync += [
            issued.eq(fire),
            issued_element.eq(element),
            issued_destination.eq(issue.destination),
        ]
        m.d.comb += [
            unwritten.put.eq(fire & element.first),
            unwritten.take.eq(returned),
            reads.put.eq(fire),
            reads.take.eq(elements.o.valid & elements.o.ready),
        ]
        with m.If(fire):
            m.d.sync += last_source.eq(source)

        self._request(m, request.o)
        arriving = Signal(element_layout(config))
        data_valid = self.accumulator_read.data_valid
        if config.pooling:
            data_valid = Mux(arriving.source, self.activation_read.data_valid, data_valid)
        m.d.comb += [
            arriving.eq(elements.o.payload),
            elements.o.ready.eq(data_valid),
            pipeline.valid.eq(data_valid & elements.o.valid),
            pipeline.element.eq(arriving),
            pipeline.activations.eq(self.activation_read.data),
            pipeline.accumulators.eq(self.accumulator_read.data),
        ]

    def _request(self, m, request):
        """Offer a request, which comes from registers, to the port of its source."""
        port = self.activation_read
        source, addr = request.payload.source, request.payload.addr
        m.d.comb += [
            port.addr.eq(addr),
            port.claim.eq(request.payload.claim),
            port.valid.eq(source),
            self.accumulator_read.entry.eq(addr),
            self.accumulator_read.valid.eq(request.valid & ~source),
            request.ready.eq(Mux(source, port.ready, self.accumulator_read.ready)),
        ]
        m.d.sync += self.stall_input.eq(request.valid & ~request.ready)

    def _write(self, m, pipeline, results, dispatcher):
        """Write results through an output register."""
        config = self.config
        destination, result = results.o.payload.destination, results.o.payload.result
        command_last, bank = Signal(reset_less=True), Signal(reset_less=True)
        port = self.activation_write
        proceed = ~port.valid | port.ready
        m.d.comb += [
            results.result.eq(pipeline.results),
            results.result_valid.eq(pipeline.results_valid),
            results.o.ready.eq(proceed),
            dispatcher.vector_done.eq(port.valid & port.ready & command_last),
            dispatcher.vector_bank.eq(bank),
        ]
        m.d.sync += self.stall_output.eq(~proceed)
        with m.If(proceed):
            m.d.sync += [
                port.valid.eq(results.o.valid),
                port.addr.eq(destination.addr),
                port.claim.eq(Mux(results.o.valid, activation_claim(config, destination.addr), 0)),
                port.data.eq(result),
                *(port.mask[lane].eq(lane < destination.lanes) for lane in range(config.vector_lanes)),
                command_last.eq(destination.command_last),
                bank.eq(destination.bank),
            ]
