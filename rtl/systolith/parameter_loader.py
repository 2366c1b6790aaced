"""Executes PARAMS commands: fills a bank of the lane tables."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.delay import delay
from systolith.lane_tables import Scale
from systolith.parameter_buffer import ParameterBuffer
from systolith.ports import ParameterReadPort
from systolith.shapes import command_layout

__all__ = ["OperandScale", "ParameterLoader"]


class OperandScale(data.Struct):
    """Factor of an operand of ADD: multiplier, and bits to shift to the right (minus the exponent)."""

    multiplier: 31
    right: 5


class ParameterLoader(Component):
    """Write one channel of the lane tables per cycle: first all biases, then all scales.

    Immediate values take the place of what the parameter buffer returns. When both are immediate, one
    entry of all lanes is written per cycle. The operand scales are set when the command starts.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    start : ``In(1)``
        Take ``command``; only while not busy.
    command : ``In(command_layout("PARAMS"))``
    busy : ``Out(1)``
        A command is being executed.
    done : ``Out(1)``
        Pulse in the last cycle of ``busy``: all entries can be read from the next cycle on.
    read : ``Out(ParameterReadPort.Signature(config))``
    w_addr, w_lanes, w_bias_en, w_scale_en, w_bias, w_scale : ``Out``
        Write port of :class:`~systolith.lane_tables.LaneTables`.
    operands : ``Out(ArrayLayout(ArrayLayout(OperandScale, 2), 2))``
        Operand scales, indexed by bank and operand (0 A, 1 B).
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "command": In(command_layout("PARAMS")),
                "busy": Out(1),
                "done": Out(1),
                "read": Out(ParameterReadPort.Signature(config)),
                "w_addr": Out(1 + exact_log2(config.parameter_groups)),
                "w_lanes": Out(config.vector_lanes),
                "w_bias_en": Out(1),
                "w_scale_en": Out(1),
                "w_bias": Out(signed(32)),
                "w_scale": Out(Scale),
                "operands": Out(data.ArrayLayout(data.ArrayLayout(OperandScale, 2), 2)),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        lanes, groups = self.config.vector_lanes, self.config.parameter_groups
        command = Signal(command_layout("PARAMS"), reset_less=True)
        walking = Signal()
        both = Signal(reset_less=True)  # both values immediate: all lanes at once
        scale_phase = Signal(reset_less=True)
        entry = Signal(exact_log2(groups), reset_less=True)
        lane = Signal(lanes, reset_less=True)  # one-hot
        left = Signal(16, reset_less=True)  # writes left in this phase, minus 1
        word = Signal(16, reset_less=True)
        end_of_phase = Signal(reset_less=True)  # a register: `left` is 0
        m.d.comb += [self.read.addr.eq(word), self.read.en.eq(walking)]

        start = self.command
        start_both = start.bias_immediate & start.scale_immediate
        with m.If(self.start):
            m.d.sync += [walking.eq(1), self.busy.eq(1)]
        with m.If(~self.busy):
            # Follow the command at any time; only `walking` says that it counts.
            m.d.sync += [
                command.eq(start),
                both.eq(start_both),
                scale_phase.eq(0),
                entry.eq(0),
                lane.eq(Mux(start_both, ~Const(0, lanes), 1)),
                left.eq(Mux(start_both, groups - 1, start.channels - 1)),
                end_of_phase.eq(Mux(start_both, groups == 1, start.channels == 1)),
                word.eq(start.bias_base),
            ]
        with m.Elif(walking):
            m.d.sync += [left.eq(left - 1), end_of_phase.eq(left == 1), word.eq(word + Mux(scale_phase, 2, 1))]
            with m.If(~both):
                m.d.sync += lane.eq(lane.rotate_left(1))
            with m.If(both | lane[-1]):
                m.d.sync += entry.eq(entry + 1)
            with m.If(end_of_phase):
                m.d.sync += [
                    scale_phase.eq(1),
                    entry.eq(0),
                    left.eq(command.channels - 1),
                    end_of_phase.eq(command.channels == 1),
                    word.eq(command.scale_base),
                ]
                with m.If(~both):
                    m.d.sync += lane.eq(1)
                with m.If(both | scale_phase):
                    m.d.sync += walking.eq(0)
        with m.If(self.done):
            m.d.sync += self.busy.eq(0)
        started = delay(m, self.start, 1, name="started", reset_less=False)
        with m.If(started):
            for operand, name in enumerate("ab"):
                target = Array(self.operands[bank][operand] for bank in range(2))[command.bank]
                m.d.sync += [
                    target.multiplier.eq(command[f"multiplier_{name}"]),
                    target.right.eq(-command[f"exponent_{name}"]),
                ]
        self._write(m, command, both, walking, scale_phase, entry, lane, word, end_of_phase)
        return m

    def _write(self, m, command, both, walking, scale_phase, entry, lane, word, end_of_phase):
        """Write what the parameter buffer returns ``read_latency`` cycles after the request."""
        wait = ParameterBuffer.read_latency
        valid = delay(m, walking, wait, name="valid", reset_less=False)
        final = delay(m, walking & end_of_phase & (both | scale_phase), wait, name="final", reset_less=False)
        is_scale = delay(m, scale_phase, wait, name="is_scale")
        odd = delay(m, word[0], wait, name="odd")
        address = delay(m, Cat(entry, command.bank), wait, name="address")
        lanes = delay(m, lane, wait, name="lanes")
        pair = self.read.data
        m.d.sync += [
            self.w_addr.eq(address),
            self.w_lanes.eq(lanes),
            self.w_bias_en.eq(valid & (both | ~is_scale)),
            self.w_scale_en.eq(valid & (both | is_scale)),
            self.w_bias.eq(Mux(command.bias_immediate, command.bias, Mux(odd, pair[32:], pair[:32]))),
            self.w_scale.multiplier.eq(Mux(command.scale_immediate, command.multiplier, pair[:32])),
            self.w_scale.exponent.eq(Mux(command.scale_immediate, command.exponent, pair[32:40].as_signed())),
            self.done.eq(final),
        ]
