"""Lanes of the vector unit, from data read to int8 results; free-running."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.lane_tables import LaneTables
from systolith.operand_scaler import OperandScaler
from systolith.parameter_loader import OperandScale
from systolith.requantizer import Requantizer
from systolith.shapes import command_layout
from systolith.vector_constants import SLOT_WIDTH, VectorConstants
from systolith.vector_element import element_layout

__all__ = ["VectorPipeline"]

# Operand scale that leaves an operand as it is: 2**20 * 2**30 / 2**31 / 2**19.
_IDENTITY = {"multiplier": 1 << 30, "right": 19}


def _reduction_layout(config):
    """What the reduction and the stages behind it must know about an element."""
    element = element_layout(config)
    return data.StructLayout(
        {
            **{name: element[name].shape for name in ("first", "last", "bank", "group", "slot")},
            "maximum_reduce": 1,
        }
    )


class VectorPipeline(Component):
    """Reduce elements to one 32-bit sum per lane and requantize it.

    Dataflow of activations: padding, zero point, operand scaling (skipped by a factor of one, so that the
    latency is always the same), reduction. Accumulators: choice of the columns, then directly to the
    reduction; their path is shorter, so the parent lets the pipeline of one source drain (``active``) before
    it reads from the other one. Behind the reduction: bias, requantization.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    valid : ``In(1)``
        An element is present.
    element : ``In(element_layout(config))``
    activations : ``In(ArrayLayout(signed(8), vector_lanes))``
        Bytes read, for an activation source.
    accumulators : ``In(ArrayLayout(signed(32), cols))``
        Entry read, for an accumulator source.
    starting : ``In(1)``
        A VECTOR ``command`` may begin: keep its constants in ``slot``. Its elements follow later.
    slot : ``In(SLOT_WIDTH)``
    command : ``In(command_layout("VECTOR"))``
    operands : ``In(ArrayLayout(ArrayLayout(OperandScale, 2), 2))``
        Operand scales, indexed by bank and operand.
    active : ``Out(1)``
        An activation element is on its way to the reduction.
    table : ``In(...)``
        Write port of :class:`~systolith.lane_tables.LaneTables`: ``w_addr`` and so on.
    results_valid : ``Out(1)``
        A reduction has come out, ``accumulator_latency`` or ``activation_latency`` cycles after its last
        element.
    results : ``Out(ArrayLayout(signed(8), vector_lanes))``
    """

    def __init__(self, *, config):
        self._config = config
        lanes = config.vector_lanes
        tables = LaneTables(lanes=lanes, groups=config.parameter_groups)
        super().__init__(
            {
                "valid": In(1),
                "element": In(element_layout(config)),
                "activations": In(data.ArrayLayout(signed(8), lanes)),
                "accumulators": In(data.ArrayLayout(signed(32), config.cols)),
                "starting": In(1),
                "slot": In(SLOT_WIDTH),
                "command": In(command_layout("VECTOR")),
                "operands": In(data.ArrayLayout(data.ArrayLayout(OperandScale, 2), 2)),
                "active": Out(1),
                **{
                    name: member for name, member in tables.signature.members.items() if name.startswith("w_")
                },
                "results_valid": Out(1),
                "results": Out(data.ArrayLayout(signed(8), lanes)),
            }
        )
        self._tables = tables

    @property
    def config(self):
        """Configuration."""
        return self._config

    @property
    def accumulator_latency(self):
        """Clock cycles from an accumulator element to its result."""
        return 3 + Requantizer.latency

    @property
    def activation_latency(self):
        """Clock cycles from the last activation element of a reduction to its result."""
        return 4 + (OperandScaler.latency if self.config.residual_add else 0) + Requantizer.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.constants = constants = VectorConstants()
        m.d.comb += [
            constants.write.eq(self.starting),
            constants.write_slot.eq(self.slot),
            constants.command.eq(self.command),
        ]
        layout = _reduction_layout(self.config)
        source = self.element.source if self.config.pooling else Const(0)
        valid, element = Signal(name="s0_accumulator_valid"), Signal(layout, name="s0_element", reset_less=True)
        m.d.sync += valid.eq(self.valid & ~source)
        # A single element is not compared with any.
        m.d.sync += [element[name].eq(self.element[name]) for name, _ in layout if name != "maximum_reduce"]
        sums = self._select_columns(m)
        if self.config.pooling:
            activation_valid, activation_element, activations = self._prepare_activations(m, constants)
            valid = valid | activation_valid
            element = layout(Mux(activation_valid, activation_element.as_value(), element.as_value()))
            sums = [
                Mux(activation_valid, activation, total)
                for activation, total in zip(activations, sums, strict=True)
            ]
        self._reduce(m, constants, valid, element, sums)
        return m

    def _select_columns(self, m):
        """Columns of the group of an accumulator entry."""
        lanes = self.config.vector_lanes
        groups = self.config.cols // lanes
        selected = []
        for lane in range(lanes):
            s0_sum = Signal(signed(32), name=f"s0_sum_{lane}", reset_less=True)
            columns = Array(self.accumulators[group * lanes + lane] for group in range(groups))
            m.d.sync += s0_sum.eq(columns[self.element.column_group] if groups > 1 else columns[0])
            selected.append(s0_sum)
        return selected

    def _prepare_activations(self, m, constants):
        """Pad, subtract the zero point and scale; returns valid, element and one value per lane."""
        element, command = self.element, constants.operand
        m.d.comb += constants.operand_slot.eq(element.slot)
        s0_valid = Signal()
        s0_operand = Signal(OperandScale, reset_less=True)
        s0_zero = Signal(signed(8), reset_less=True)
        m.d.sync += [
            s0_valid.eq(self.valid & element.source),
            s0_zero.eq(Mux(command.operand_scale & element.odd, command.zero_b, command.zero_a)),
        ]
        banks = Array(Array([self.operands[bank][0], self.operands[bank][1]]) for bank in range(2))
        with m.If(command.operand_scale):
            m.d.sync += s0_operand.eq(banks[element.bank][element.odd])
        with m.Else():
            m.d.sync += s0_operand.eq(Const(_IDENTITY, OperandScale))

        values = []
        for lane in range(self.config.vector_lanes):
            s0_value = Signal(signed(8), name=f"s0_value_{lane}", reset_less=True)
            s1_value = Signal(signed(9), name=f"s1_value_{lane}", reset_less=True)
            m.d.sync += [
                s0_value.eq(Mux(element.mask[lane], self.activations[lane], command.pad)),
                s1_value.eq(s0_value - s0_zero),
            ]
            values.append(s1_value)

        depth = 2
        if self.config.residual_add:
            m.submodules.scaler = scaler = OperandScaler(
                lanes=self.config.vector_lanes, multiplier_style=self.config.multiplier_style
            )
            s1_operand = Signal(OperandScale, reset_less=True)
            m.d.sync += s1_operand.eq(s0_operand)
            m.d.comb += [
                *(scaler.operands[lane].eq(value) for lane, value in enumerate(values)),
                scaler.multiplier.eq(s1_operand.multiplier),
                scaler.right.eq(s1_operand.right),
            ]
            values = [scaler.results[lane] for lane in range(self.config.vector_lanes)]
            depth += OperandScaler.latency

        valids = [s0_valid]
        for stage in range(1, depth):
            delayed = Signal(name=f"s{stage}_valid")
            m.d.sync += delayed.eq(valids[-1])
            valids.append(delayed)
        # `valids` have moved on by one when this register is looked at.
        m.d.sync += self.active.eq((self.valid & element.source) | Cat(valids[:-1]).any())
        layout = _reduction_layout(self.config)
        fields = {name: element[name] for name, _ in layout if name != "maximum_reduce"}
        fields = Cat(*fields.values(), command.maximum_reduce)
        return valids[-1], layout(delay(m, fields, depth, name="activation_element")), values

    def _reduce(self, m, constants, valid, element, values):
        """Register the elements, reduce them, and requantize what leaves the reduction."""
        lanes = self.config.vector_lanes
        m.submodules.tables = tables = self._tables
        m.submodules.requantizer = requantizer = Requantizer(
            lanes=lanes, multiplier_style=self.config.multiplier_style
        )
        e_slot = Signal(SLOT_WIDTH, reset_less=True)
        e_load, e_add, e_compare, e_last = Signal(), Signal(), Signal(), Signal()
        r_valid = Signal()
        m.d.sync += [
            e_slot.eq(element.slot),
            e_load.eq(valid & element.first),
            e_add.eq(valid & ~element.first & ~element.maximum_reduce),
            e_compare.eq(valid & ~element.first & element.maximum_reduce),
            e_last.eq(valid & element.last),
            r_valid.eq(e_last),
        ]
        self._control(m, constants, requantizer, e_slot)
        # Only activations are compared: a reduction of accumulators has one element.
        width = 30 if self.config.residual_add else 9
        for lane, value in enumerate(values):
            e_value = Signal(signed(32), name=f"e_value_{lane}", reset_less=True)
            r_total = Signal(signed(32), name=f"r_total_{lane}", reset_less=True)
            take = Signal(name=f"take_{lane}")
            m.d.sync += e_value.eq(value)
            # The sign of a difference, which tools put on a carry chain.
            difference = Signal(signed(width + 1), name=f"difference_{lane}")
            m.d.comb += [
                difference.eq(r_total[:width].as_signed() - e_value[:width].as_signed()),
                take.eq(e_load | (e_compare & difference[-1])),
            ]
            m.d.sync += r_total.eq(Mux(e_add, r_total + e_value, Mux(take, e_value, r_total)))
            m.d.comb += requantizer.sums[lane].eq(r_total)

        # Table entries arrive with the sums: the tables' latency covers the registers of element and total.
        assert tables.latency == 2
        m.d.comb += [
            tables.r_addr.eq(Cat(element.group, element.bank)),
            *(
                getattr(tables, name).eq(getattr(self, name))
                for name in ("w_addr", "w_lanes", "w_bias_en", "w_scale_en", "w_bias", "w_scale")
            ),
            requantizer.valid.eq(r_valid),
            requantizer.biases.eq(tables.biases),
            *(requantizer.multipliers[lane].eq(tables.scales[lane].multiplier) for lane in range(lanes)),
            *(requantizer.exponents[lane].eq(tables.scales[lane].exponent) for lane in range(lanes)),
            self.results_valid.eq(requantizer.results_valid),
            self.results.eq(requantizer.results),
        ]

    def _control(self, m, constants, requantizer, e_slot):
        """Give the requantizer the constants of the command, each group in its cycle."""
        offset_slot = delay(m, e_slot, requantizer.zero_cycle, name="offset_slot")
        m.d.comb += [
            constants.rule_slot.eq(e_slot),
            constants.offset_slot.eq(offset_slot),
            constants.clamp_slot.eq(delay(m, offset_slot, 1, name="clamp_slot")),
        ]
        assert requantizer.clamp_cycle == requantizer.zero_cycle + 1
        for group in (constants.rule, constants.offset, constants.clamp):
            for name, field in group.shape():
                register = Signal(field.shape, name=f"r_{name}", reset_less=True)
                m.d.sync += register.eq(group[name])
                m.d.comb += getattr(requantizer, name).eq(register)
