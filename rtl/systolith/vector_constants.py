"""What stays the same for all elements of a VECTOR command, kept in one place rather than sent along."""

from amaranth import *
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.shapes import command_layout
from systolith_spec.vector_timing import VECTOR_COMMANDS_IN_FLIGHT

__all__ = ["SLOT_WIDTH", "VectorConstants"]

SLOT_WIDTH = exact_log2(VECTOR_COMMANDS_IN_FLIGHT)
"""Bits of a slot: that of the next command is one more, modulo the commands that may be in flight."""

_GROUPS = {
    "operand": ("pad", "zero_a", "zero_b", "operand_scale", "maximum_reduce"),
    "rule": ("rounding", "bias_follows_sign"),
    "offset": ("zero_out",),
    "clamp": ("minimum", "maximum"),
}


class VectorConstants(Component):
    """Small tables of the constants of the commands in flight; an element only carries its command's ``slot``.

    Each group of constants is used by another stage of the pipeline and so has a read port of its own, without
    latency.

    Members
    -------
    write : ``In(1)``
        Fill ``write_slot``; no element of an earlier command with this slot may be under way.
    write_slot : ``In(SLOT_WIDTH)``
    command : ``In(command_layout("VECTOR"))``
        Source of the constants.
    operand_slot, rule_slot, offset_slot, clamp_slot : ``In(SLOT_WIDTH)``
    operand : ``Out``
        ``pad``, ``zero_a``, ``zero_b``, ``operand_scale`` and ``maximum_reduce`` of ``operand_slot``.
    rule, offset, clamp : ``Out``
        ``rounding`` and ``bias_follows_sign``; ``zero_out``; ``minimum`` and ``maximum``.
    """

    def __init__(self):
        command = command_layout("VECTOR")
        self._layouts = {
            group: data.StructLayout({name: command[name].shape for name in names})
            for group, names in _GROUPS.items()
        }
        super().__init__(
            {
                "write": In(1),
                "write_slot": In(SLOT_WIDTH),
                "command": In(command),
                **{f"{group}_slot": In(SLOT_WIDTH) for group in _GROUPS},
                **{group: Out(layout) for group, layout in self._layouts.items()},
            }
        )

    def elaborate(self, platform):
        m = Module()
        for group, layout in self._layouts.items():
            m.submodules[group] = memory = Memory(shape=layout, depth=VECTOR_COMMANDS_IN_FLIGHT, init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.write),
                write.addr.eq(self.write_slot),
                *(write.data[name].eq(self.command[name]) for name, _ in layout),
                read.addr.eq(getattr(self, f"{group}_slot")),
                getattr(self, group).eq(read.data),
            ]
        return m
