"""Accepts vector commands, starts them in order and reports them when they are done."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from systolith.fill_level import FillLevel
from systolith.group_counter import GroupCounter
from systolith.shapes import command_layout
from systolith.vector_constants import SLOT_WIDTH
from systolith.vector_walk import compare_counts, walk_layout
from systolith_spec.commands import Opcode
from systolith_spec.vector_timing import VECTOR_COMMANDS_IN_FLIGHT, vector_division

__all__ = ["VectorDispatcher", "vector_command_layout"]


def vector_command_layout():
    """Command of the vector engine: either view of the same 64 bytes; the opcode tells which one."""
    return data.UnionLayout({"vector": command_layout("VECTOR"), "params": command_layout("PARAMS")})


class VectorDispatcher(Component):
    """Hold one command and start it as soon as it cannot disturb earlier ones.

    A VECTOR starts when the walk takes it, but waits for a PARAMS that is filling its bank. A PARAMS starts
    when the loader is free and all earlier VECTORs with its bank have been written; VECTORs with the
    other bank may still run, and later ones may start meanwhile; but a softmax, which reads what earlier
    commands wrote and needs the read port, runs alone. Up to 16 commands are in flight; they retire in order.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command : ``In(stream.Signature(vector_command_layout()))``
    walk : ``Out(stream.Signature(walk_layout(config)))``
    loader_start, softmax_start : ``Out(1)``
        Start the parameter loader, or that of softmax, with ``loader_command``.
    loader_command : ``Out(command_layout("PARAMS"))``
    loader_done : ``In(1)``
        Pulse in the last cycle of the loader's work.
    vector_done, vector_bank : ``In(1)``
        Pulse: the last byte of a VECTOR with this bank has been written.
    retire : ``Out(1)``
        Pulse for each command, in order.
    busy : ``Out(1)``
        Commands have been accepted and not retired.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(vector_command_layout())),
                "walk": Out(stream.Signature(walk_layout(config))),
                "loader_start": Out(1),
                "softmax_start": Out(1),
                "loader_command": Out(command_layout("PARAMS")),
                "loader_done": In(1),
                "vector_done": In(1),
                "vector_bank": In(1),
                "retire": Out(1),
                "busy": Out(1),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    @property
    def latency(self):
        """Cycles from an accepted VECTOR command to its arrival at a waiting walk."""
        return 1 + vector_division(self.config)

    def elaborate(self, platform):
        m = Module()
        channels = self.command.payload.vector.channels
        m.submodules.groups = groups = GroupCounter(lanes=self.config.vector_lanes, width=len(channels))
        # Commands that have started, oldest first: bit i of `kinds` says whether number i is a PARAMS.
        order, kinds = (Signal(VECTOR_COMMANDS_IN_FLIGHT, name=name) for name in ("order", "kinds"))
        room = ~order[-1]
        held = Signal(vector_command_layout(), reset_less=True)
        # A command is held, or the walk took it a cycle ago; it waits to be started.
        held_valid, waiting = Signal(), Signal()
        accept = self.command.valid & self.command.ready
        # Registers: a PARAMS; one with the softmax bit, or without.
        is_params, is_softmax, is_plain = (
            Signal(name=name, reset_less=True) for name in ("is_params", "is_softmax", "is_plain"))
        bank = held.vector.bank
        users = [FillLevel(depth=VECTOR_COMMANDS_IN_FLIGHT) for _ in range(2)]
        m.submodules.users_0, m.submodules.users_1 = users
        bank_used = Array(count.some for count in users)[bank]
        # A cycle after a start: by the walk, whose ready comes late, or by a loader.
        s1_walked, s1_loaded = Signal(), Signal()
        s1_started = s1_walked | s1_loaded
        slot = Signal(SLOT_WIDTH)
        others = s1_started | order[0]
        # Banks that a running loader keeps others from; that of softmax runs alone.
        locked, loading = Signal(2), Signal()

        m.d.comb += [
            waiting.eq(held_valid & ~s1_walked),
            # Commands start two cycles apart at least.
            self.command.ready.eq(~waiting),
            groups.start.eq(accept),
            groups.channels.eq(channels),
            self.walk.payload.vector.eq(held.vector),
            self.walk.payload.groups.eq(groups.groups),
            self.walk.payload.tail.eq(groups.tail),
            self.walk.payload.slot.eq(slot),
            self.walk.valid.eq(
                waiting
                & ~is_params
                & groups.done
                & room
                & ~(loading & Array(locked)[bank])
            ),
            self.loader_command.eq(held.params),
            # What the walk took was no PARAMS.
            self.loader_start.eq(held_valid & is_plain & room & ~loading & ~bank_used),
            self.softmax_start.eq(held_valid & is_softmax & room & ~loading & ~others),
        ]
        flags = self.walk.payload.single.shape()
        single, pair = (Signal(flags, name=name, reset_less=True) for name in ("single", "pair"))
        m.d.comb += [self.walk.payload.single.eq(single), self.walk.payload.pair.eq(pair)]
        m.d.sync += held_valid.eq(accept | (waiting & ~self.loader_start & ~self.softmax_start))
        # Registers follow until there is a command; only `held_valid` says that they count.
        with m.If(~waiting):
            m.d.sync += held.eq(self.command.payload)
            m.d.sync += compare_counts(self.config, self.command.payload.vector, single, pair)
            params = self.command.payload.vector.opcode == Opcode.PARAMS
            softmax = self.command.payload.params.softmax if self.config.softmax else Const(0)
            m.d.sync += [is_params.eq(params), is_softmax.eq(params & softmax), is_plain.eq(params & ~softmax)]
        with m.If(self.softmax_start | self.loader_start):
            m.d.sync += loading.eq(1)
        with m.Elif(self.loader_done):
            m.d.sync += loading.eq(0)
        with m.If(~loading):
            m.d.sync += locked.eq(Mux(is_softmax, 0b11, Mux(bank, 0b10, 0b01)))

        # The books are kept a cycle late, which no one sees: starts are two cycles apart.
        s1_params, s1_bank = Signal(), Signal()
        m.d.sync += [
            s1_walked.eq(self.walk.valid & self.walk.ready), s1_loaded.eq(self.loader_start | self.softmax_start),
            s1_params.eq(is_params), s1_bank.eq(bank), slot.eq(slot + s1_walked),
        ]
        for index, count in enumerate(users):
            m.d.comb += [
                count.put.eq(s1_started & ~s1_params & (s1_bank == index)),
                count.take.eq(self.vector_done & (self.vector_bank == index)),
            ]
        self._retire(m, order, kinds, s1_started, s1_params)
        m.d.comb += self.busy.eq(held_valid | others)
        return m

    def _retire(self, m, order, kinds, started, is_params):
        """Count what is done and not yet reported; report it in the order of the starts."""
        present = []
        for name, pulse, own in (("vector", self.vector_done, ~kinds[0]), ("loader", self.loader_done, kinds[0])):
            m.submodules[f"{name}_unreported"] = unreported = FillLevel(depth=VECTOR_COMMANDS_IN_FLIGHT)
            m.d.comb += [unreported.put.eq(pulse), unreported.take.eq(self.retire & own)]
            present.append(unreported.some)
        m.d.comb += self.retire.eq(order[0] & Mux(kinds[0], present[1], present[0]))
        # A start goes to all free places: to the first of them, the others do not count.
        left, left_kinds = Mux(self.retire, order[1:], order), Mux(self.retire, kinds[1:], kinds)
        m.d.sync += [
            order.eq(Mux(started, Cat(Const(1, 1), left), left)),
            kinds.eq((left_kinds & left) | Mux(is_params, ~left, 0)),
        ]
