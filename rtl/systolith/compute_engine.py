"""The COMPUTE engine: feeders, systolic array and accumulator buffer."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.accumulator_buffer import AccumulatorBuffer, AccumulatorReadPort
from systolith.activation_feeder import ActivationFeeder, compare_counts, walk_layout
from systolith.aligned_array import AlignedArray
from systolith.delay import delay
from systolith.ports import ActivationReadPort, WeightReadPort
from systolith.shapes import command_layout
from systolith.weight_feeder import WeightFeeder
from systolith_spec.column_mode import column_stream
from systolith_spec.timing import (
    ACTIVATION_READ_LATENCY,
    WEIGHT_READ_LATENCY,
    weight_lead,
)

__all__ = ["ComputeEngine"]


class ComputeEngine(Component):
    """Execute COMPUTE commands (see the command table) at one vector per cycle.

    Dataflow: a hand-over register keeps a command until both feeders have taken it; that of the weights works one
    tile ahead. Both meet in the array, whose sums go to the accumulator buffer. Tiles
    follow each other without a bubble, within and between commands, every max(M, rows / 2, 4) cycles for M vectors
    per tile; ``systolith_spec.timing`` has the formulas. A refused activation read delays what comes behind it.

    The accumulator entries of consecutive tiles, also of consecutive commands, must be the same or disjoint
    (an entry is never updated twice within four cycles then).

    A reset stops everything in flight; the accumulator buffer keeps its contents.

    Parameters
    ----------
    config : AcceleratorConfig
    activation_read_latency, weight_read_latency : int
        Of the buffers.

    Members
    -------
    command : ``In(stream.Signature(command_layout("COMPUTE")))``
        Payload should come from registers.
    activations : ``Out(ActivationReadPort.Signature(config))``
    weights : ``Out(WeightReadPort.Signature(config))``
    accumulators : ``In(AccumulatorReadPort.Signature(config))``
        For the vector engine.
    retire : ``Out(1)``
        Pulse per command: accumulator reads accepted from the next cycle on see all its sums.
    busy : ``Out(1)``
        Commands have been accepted that have not retired.
    stall_input : ``Out(1)``
        A vector could not be sent: its weights are not loaded yet or its bank is taken. One cycle late.
    stall_output : ``Out(1)``
        Always low.
    urgent : ``Out(1)``
        Reads of activations must not be refused: a tile of column mode has begun or is about to.
    """

    _IN_FLIGHT_WIDTH = 8
    """Bits of the count of commands in flight; the pipeline holds less than rows + cols + 32 of them."""

    def __init__(self, *, config, activation_read_latency=ACTIVATION_READ_LATENCY,
                 weight_read_latency=WEIGHT_READ_LATENCY):
        self._config = config
        self._activation_read_latency = activation_read_latency
        self._weight_read_latency = weight_read_latency
        super().__init__({
            "command": In(stream.Signature(command_layout("COMPUTE"))),
            "activations": Out(ActivationReadPort.Signature(config)),
            "weights": Out(WeightReadPort.Signature(config)),
            "accumulators": In(AccumulatorReadPort.Signature(config)),
            "retire": Out(1),
            "busy": Out(1),
            "stall_input": Out(1),
            "stall_output": Out(1),
            "urgent": Out(1),
        })

    @property
    def config(self):
        """The configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lead, activation_delay, weight_delay = weight_lead(
            config, activation_read_latency=self._activation_read_latency,
            weight_read_latency=self._weight_read_latency)
        m.submodules.weight_feeder = weight_feeder = WeightFeeder(
            config=config, read_latency=self._weight_read_latency, lead=lead)
        m.submodules.activation_feeder = activation_feeder = ActivationFeeder(
            config=config, read_latency=self._activation_read_latency, extra_delay=activation_delay)
        streams = [column_stream(config, row)[0] for row in range(config.rows)] if config.depthwise_streams else ()
        m.submodules.array = array = AlignedArray(
            rows=config.rows, cols=config.cols, style=config.multiplier_style, streams=streams,
            line_depth=config.line_depth, dsp_budget=config.dsp_budget, dsp_sums=config.dsp_sums)
        m.submodules.accumulator_buffer = accumulator_buffer = AccumulatorBuffer(config=config)
        connect(m, weight_port=weight_feeder.read, weights=flipped(self.weights))
        connect(m, activation_port=activation_feeder.read, activations=flipped(self.activations))
        connect(m, accumulator_port=accumulator_buffer.read, accumulators=flipped(self.accumulators))
        accepted = self._hand_over(m, weight_feeder, activation_feeder)

        m.d.comb += [
            weight_feeder.advance.eq(
                delay(m, activation_feeder.tile_requested, lead, name="advance", reset_less=False)),
            activation_feeder.armed.eq(weight_feeder.armed),
            array.weights.eq(delay(m, self.weights.data, weight_delay, name="weights")),
            array.load.eq(delay(m, weight_feeder.load, weight_delay, name="load", reset_less=False)),
            array.load_pair.eq(delay(m, weight_feeder.load_pair, weight_delay, name="load_pair")),
        ]

        vectors = activation_feeder.vectors
        m.d.comb += [array.activations.eq(vectors.payload.activations), array.swap.eq(vectors.payload.swap)]
        if config.depthwise_streams:
            m.d.comb += array.column.eq(vectors.payload.column)
        if config.depthwise_streams > 1:
            m.d.comb += array.line_offset.eq(activation_feeder.line_offset)
        cycles = array.latency - accumulator_buffer.sum_delay
        m.d.comb += [
            accumulator_buffer.updates.valid.eq(
                delay(m, vectors.valid & vectors.payload.update, cycles, name="valid", reset_less=False)),
            accumulator_buffer.updates.payload.entry.eq(delay(m, vectors.payload.entry, cycles, name="entry")),
            accumulator_buffer.updates.payload.overwrite.eq(
                delay(m, vectors.payload.overwrite, cycles, name="overwrite")),
            accumulator_buffer.sums.eq(array.sums),
            self.retire.eq(delay(m, vectors.payload.final, cycles + accumulator_buffer.update_latency,
                                 name="final", reset_less=False)),
            self.stall_input.eq(activation_feeder.stall),
            self.urgent.eq(activation_feeder.urgent),
        ]
        self._count(m, accepted)
        return m

    def _hand_over(self, m, weight_feeder, activation_feeder):
        """Give each command to both feeders; return the signal that tells that one has been accepted."""
        command = Signal(walk_layout(), reset_less=True)
        free, accepted = Signal(), Signal()
        m.d.comb += [self.command.ready.eq(free), accepted.eq(self.command.valid & free)]
        # The register follows until there is a command; only `waiting` says that it counts.
        with m.If(free):
            m.d.sync += [command.compute.eq(self.command.payload),
                         compare_counts(self.command.payload, command.single, command.pair)]
        m.d.comb += [weight_feeder.command.payload.eq(command.compute), activation_feeder.command.payload.eq(command)]
        waiting = Signal(2)
        for index, feeder in enumerate((weight_feeder, activation_feeder)):
            m.d.comb += feeder.command.valid.eq(waiting[index])
            m.d.sync += waiting[index].eq(accepted | (waiting[index] & ~feeder.command.ready))
        m.d.comb += free.eq(waiting == 0)
        return accepted

    def _count(self, m, accepted):
        """Count commands in flight, the one accepted last with a delay."""
        in_flight = Signal(self._IN_FLIGHT_WIDTH)
        s1_accepted = Signal()
        m.d.sync += [s1_accepted.eq(accepted), in_flight.eq(in_flight + s1_accepted - self.retire)]
        m.d.comb += self.busy.eq((in_flight != 0) | s1_accepted)
