"""Executes PARAMS commands with the softmax bit: exponentials become biases, their sum the scale."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.delay import delay
from systolith.lane_tables import Scale
from systolith.parameter_buffer import ParameterBuffer
from systolith.ports import ActivationReadPort, ParameterReadPort, activation_claim
from systolith.reciprocal import Reciprocal
from systolith.shapes import ADDRESS_WIDTH, command_layout

__all__ = ["SoftmaxLoader"]


class SoftmaxLoader(Component):
    """Prepare the lane tables such that requantizing 0 gives the softmax of a row of int8 values.

    Dataflow: the values are read twice, one a cycle. First their maximum is found; then the distance of each
    to the maximum looks up its exponential in the parameter buffer, which is written as the channel's
    bias and, in units of 2**-19, added up. The reciprocal of the sum is written as the scale of all channels.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    start : ``In(1)``
        Take ``command``; only while not busy, and with no other user of ``values``.
    command : ``In(command_layout("PARAMS"))``
    busy, done : ``Out(1)``
        As those of :class:`~systolith.parameter_loader.ParameterLoader`.
    values : ``Out(ActivationReadPort.Signature(config))``
    read : ``Out(ParameterReadPort.Signature(config))``
    w_addr, w_lanes, w_bias_en, w_scale_en, w_bias, w_scale : ``Out``
        Write port of :class:`~systolith.lane_tables.LaneTables`; the enables are low while idle.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "command": In(command_layout("PARAMS")),
                "busy": Out(1),
                "done": Out(1),
                "values": Out(ActivationReadPort.Signature(config)),
                "read": Out(ParameterReadPort.Signature(config)),
                "w_addr": Out(1 + exact_log2(config.parameter_groups)),
                "w_lanes": Out(config.vector_lanes),
                "w_bias_en": Out(1),
                "w_scale_en": Out(1),
                "w_bias": Out(signed(32)),
                "w_scale": Out(Scale),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.reciprocal = reciprocal = Reciprocal(style=self.config.multiplier_style)
        command = Signal(command_layout("PARAMS"), reset_less=True)
        # Registers follow the command until there is one; only `busy` says that they count.
        with m.If(~self.busy):
            m.d.sync += command.eq(self.command)
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        with m.Elif(self.done):
            m.d.sync += self.busy.eq(0)
        arrived, second, passed = self._passes(m, command)
        exponential, last = self._look_up(m, command, arrived, second, passed)
        scale_written = self._write(m, command, exponential, reciprocal)
        self._sum(m, exponential, last, reciprocal)
        m.d.sync += self.done.eq(scale_written)
        return m

    def _passes(self, m, command):
        """Read the values twice; returns (arrived, in the second pass, last of the second pass)."""
        reading, second = Signal(), Signal()
        address = Signal(ADDRESS_WIDTH, reset_less=True)
        left, waiting = Signal(16, reset_less=True), Signal(16, reset_less=True)
        restart = Signal()
        granted = self.values.valid & self.values.ready
        arrived = Signal()
        m.d.sync += arrived.eq(self.values.data_valid & self.busy)
        last = arrived & (waiting == 0)
        # The maximum is complete a cycle after the last value of the first pass.
        m.d.sync += restart.eq(last & ~second)
        m.d.comb += [
            self.values.addr.eq(address),
            self.values.valid.eq(reading),
            self.values.claim.eq(Mux(reading, activation_claim(self.config, address), 0)),
        ]
        with m.If(~self.busy | restart):
            head = Mux(self.busy, command.as_value(), self.command.as_value())
            head = command.shape()(head)
            m.d.sync += [
                reading.eq(self.start | restart),
                second.eq(restart),
                address.eq(head.values),
                left.eq(head.channels - 1),
                waiting.eq(head.channels - 1),
            ]
        with m.Else():
            with m.If(granted):
                m.d.sync += [address.eq(address + 1), left.eq(left - 1), reading.eq(left != 0)]
            with m.If(arrived):
                m.d.sync += waiting.eq(waiting - 1)
        return arrived, second, last & second

    def _look_up(self, m, command, arrived, second, last):
        """Maximum, then exponential of each value by its distance to it; returns (present, last)."""
        value = Signal(signed(8), reset_less=True)
        m.d.sync += value.eq(self.values.data[:8])
        maximum = Signal(signed(8), reset_less=True)
        # The sign of a difference, which tools put on a carry chain.
        larger = (maximum - value)[-1]
        with m.If(~self.busy):
            m.d.sync += maximum.eq(-128)
        with m.Elif(arrived & ~second & larger):
            m.d.sync += maximum.eq(value)
        s0_distance = Signal(8, reset_less=True)
        s1_word = Signal(16, reset_less=True)
        m.d.sync += [s0_distance.eq(maximum - value), s1_word.eq(command.bias_base + s0_distance)]
        m.d.comb += [self.read.addr.eq(s1_word), self.read.en.eq(1)]
        cycles = 2 + ParameterBuffer.read_latency
        odd = delay(m, s1_word[0], ParameterBuffer.read_latency, name="odd")
        m.d.sync += self.w_bias.eq(Mux(odd, self.read.data[32:], self.read.data[:32]))
        return (
            delay(m, arrived & second, cycles, name="exponential", reset_less=False),
            delay(m, last, cycles + 2, name="last", reset_less=False),
        )

    def _write(self, m, command, exponential, reciprocal):
        """Write biases channel by channel and scales entry by entry; returns the end of the latter."""
        lanes, groups = self.config.vector_lanes, self.config.parameter_groups
        entry, lane = Signal(exact_log2(groups), reset_less=True), Signal(lanes, reset_less=True)
        scaling = Signal()
        m.d.comb += [
            self.w_scale.multiplier.eq(reciprocal.multiplier),
            self.w_scale.exponent.eq(reciprocal.exponent),
        ]
        m.d.sync += [
            self.w_addr.eq(Cat(entry, command.bank)),
            self.w_lanes.eq(Mux(scaling, ~Const(0, lanes), lane)),
            self.w_bias_en.eq(exponential),
            self.w_scale_en.eq(scaling),
        ]
        with m.If(~self.busy | reciprocal.done):
            m.d.sync += [entry.eq(0), lane.eq(1), scaling.eq(reciprocal.done)]
        with m.Elif(scaling | exponential):
            m.d.sync += lane.eq(lane.rotate_left(1))
            with m.If(scaling | lane[-1]):
                m.d.sync += entry.eq(entry + 1)
            with m.If(entry == groups - 1):
                m.d.sync += scaling.eq(0)
        return scaling & (entry == groups - 1)

    def _sum(self, m, exponential, last, reciprocal):
        """Add the exponentials in Q12.19, each rounded; start the reciprocal behind the last."""
        total = Signal(32, reset_less=True)
        with m.If(~self.busy):
            m.d.sync += total.eq(0)
        with m.Elif(self.w_bias_en):
            m.d.sync += total.eq(total + self.w_bias[12:31] + self.w_bias[11])
        m.d.comb += [reciprocal.x.eq(total), reciprocal.start.eq(last)]
