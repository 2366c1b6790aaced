"""Nested-loop walker over the rows and bytes of a tensor slab: implicit im2col without multipliers."""

from dataclasses import dataclass

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from systolith.shapes import ADDRESS_WIDTH

__all__ = ["BYTE_WIDTH", "ROW_WIDTH", "Level", "WindowWalker"]

ROW_WIDTH = 18
"""Bits of a signed row coordinate: a 16-bit slab with room for padding on both sides."""
BYTE_WIDTH = ADDRESS_WIDTH + 2
"""Bits of a signed byte coordinate within a row."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """One loop of a :class:`WindowWalker`.

    Attributes
    ----------
    name : str
        Prefix of the level's command fields and name of its flags.
    kind : str
        ``"row"``: every step moves row and row address; ``"byte"``: every step moves the byte coordinate;
        ``"plain"``: the level only counts, so that the walk inside it is repeated.
    count_width : int
        Bits of the iteration count.
    row_step_width : int
        Bits of the (unsigned) row step of a row level.
    step : int or None
        Constant byte step of a byte level; None when the step comes with the command.
    index : bool
        Emit the iteration index of this level.
    """

    name: str
    kind: str
    count_width: int = 16
    row_step_width: int = 16
    step: int | None = None
    index: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("row", "byte", "plain"):
            raise ValueError(f"Level kind must be 'row', 'byte' or 'plain', not {self.kind!r}")
        if self.step is not None and self.kind != "byte":
            raise ValueError(f"Level step must be None for a {self.kind} level, not {self.step!r}")


class WindowWalker(Component):
    """Walk nested loops and emit one position per cycle: row, address of the row, byte within the row.

    A level advances when all levels inside it are at their last iteration; it then adds its step, and the
    levels inside it restart from the value it has now. Each level keeps the value it is at, so there is one
    adder per level and coordinate and no multiplier. Positions come without gaps, also from one command to
    the next: the next command's first position directly follows the last one of the command before.

    All outputs are registers. ``command`` should be driven by registers too; ``command.ready`` depends
    combinationally on ``o.ready`` and ``o.valid``.

    Parameters
    ----------
    levels : sequence of :class:`Level`
        From the outermost loop to the innermost. Level names are unique.
    address_width : int
        Bits of the row address; address arithmetic is modulo ``2 ** address_width``.
    row_width, byte_width : int
        Bits of the signed coordinates.
    context_shape : shape-like
        Shape of data that accompanies a command and appears unchanged with each of its positions.
    counts_compared : bool
        Commands bring along whether a level has one or two iterations; otherwise the walker finds out.

    Members
    -------
    command : ``In(stream.Signature(command_shape))``
        One walk. Fields are named as in the command set: ``base`` (row address), ``first_row``,
        ``first_byte``, and for each level ``<name>_count`` (at least 1) and its steps
        ``<name>_row_step`` and ``<name>_addr_step``, or ``<name>_byte_step``; ``context``; with
        ``counts_compared`` also ``single.<name>`` (the count is 1) and ``pair.<name>`` (it is 2).
    o : ``Out(stream.Signature(position_shape))``
        Positions: ``row``, ``row_addr``, ``byte``, ``first.<name>`` and ``last.<name>`` (the level is at its
        first or last iteration), ``over.<name>`` (it and all levels inside are at their last),
        ``index.<name>`` for levels with ``index``, ``context``.

    Raises
    ------
    ValueError
        If there is no level or a name occurs twice.
    """

    def __init__(self, *, levels, address_width=ADDRESS_WIDTH, row_width=ROW_WIDTH, byte_width=BYTE_WIDTH,
                 context_shape=0, counts_compared=False):
        levels = tuple(levels)
        names = [level.name for level in levels]
        if not levels:
            raise ValueError("Window levels must be at least one, not none")
        if len(set(names)) != len(names):
            raise ValueError(f"Window level names must be unique, not {names!r}")
        self._levels = levels
        self._address_width = address_width
        self._row_width = row_width
        self._byte_width = byte_width
        fields = {"base": unsigned(address_width), "first_row": signed(row_width), "first_byte": signed(byte_width)}
        for level in levels:
            fields[f"{level.name}_count"] = unsigned(level.count_width)
            if level.kind == "row":
                fields[f"{level.name}_row_step"] = unsigned(level.row_step_width)
                fields[f"{level.name}_addr_step"] = unsigned(address_width)
            elif level.kind == "byte" and level.step is None:
                fields[f"{level.name}_byte_step"] = signed(byte_width)
        fields["context"] = context_shape
        flags = data.StructLayout({name: 1 for name in names})
        self._counts_compared = counts_compared
        if counts_compared:
            fields |= {"single": flags, "pair": flags}
        self._command_shape = data.StructLayout(fields)
        self._position_shape = data.StructLayout({
            "row": signed(row_width),
            "row_addr": unsigned(address_width),
            "byte": signed(byte_width),
            "first": flags,
            "last": flags,
            "over": flags,
            "index": data.StructLayout({level.name: level.count_width for level in levels if level.index}),
            "context": context_shape,
        })
        super().__init__({
            "command": In(stream.Signature(self._command_shape)),
            "o": Out(stream.Signature(self._position_shape)),
        })

    @property
    def levels(self):
        """The loops, outermost first."""
        return self._levels

    @property
    def command_shape(self):
        """Layout of a walk."""
        return self._command_shape

    @property
    def position_shape(self):
        """Layout of a position."""
        return self._position_shape

    @property
    def latency(self):
        """Cycles from an accepted command to its first position."""
        return 1

    def load(self, source, **fields):
        """Return assignments that fill ``command.payload``.

        Parameters
        ----------
        source : data.View
            Every field of the walk that ``source`` has (same name) is taken from it.
        fields : Value
            Fields that ``source`` lacks, or that are to differ from it. What is in neither stays 0.
        """
        names = {name for name, _ in source.shape()}
        statements = []
        for name, _ in self._command_shape:
            if name in fields:
                statements.append(self.command.payload[name].eq(fields[name]))
            elif name in names:
                statements.append(self.command.payload[name].eq(source[name]))
        return statements

    def elaborate(self, platform):
        m = Module()
        command, held = self.command.payload, Signal(self.command_shape, reset_less=True)
        active, proceed, fresh = Signal(), Signal(), Signal()
        final = self.o.payload.over[self.levels[0].name]
        m.d.comb += [
            self.o.valid.eq(active),
            # Registers change when a position has been taken or there is none; only then is o.ready looked at.
            proceed.eq(self.o.ready | ~active),
            fresh.eq(~active | final),
            self.command.ready.eq(proceed & fresh),
            self.o.payload.context.eq(held.context),
        ]
        with m.If(proceed & fresh):
            m.d.sync += [active.eq(self.command.valid), held.eq(command)]

        step = self._flags(m, command, proceed, fresh)
        self._walk(m, "row", "row_step", "first_row", self.o.payload.row, held, fresh, step)
        self._walk(m, "row", "addr_step", "base", self.o.payload.row_addr, held, fresh, step)
        self._walk(m, "byte", "byte_step", "first_byte", self.o.payload.byte, held, fresh, step)
        return m

    def _flags(self, m, command, proceed, fresh):
        """Count the levels; return for each whether it takes a step, provided that none outside of it does.

        Whether all levels inside a level are at their last iteration (``inside``, the ``over`` of the next level) is
        a register, like everything that selects the next position. It is found from the position before: of the
        levels with more than one iteration the innermost must be one step before its last, all others at it. When
        the levels inside restart, they are at their last iteration if each has a single one (``alone``).
        """
        step = []
        inside = alone = single = settled = Const(1, 1)
        for level in reversed(self.levels):
            over = Signal(name=f"{level.name}_over", reset_less=True)
            m.d.comb += self.o.payload.over[level.name].eq(over)
            only, next_last = self._count(m, level, command, fresh, inside, over)
            step.insert(0, inside)
            single = single & self._is_single(command, level)
            settled = settled & Mux(alone & ~only, next_last, self.o.payload.last[level.name])
            # From here on for the level outside: "inside" includes this one.
            inside, alone = over, Signal(name=f"{level.name}_alone", reset_less=True)
            with m.If(proceed):
                with m.If(fresh):
                    m.d.sync += [inside.eq(single), alone.eq(single)]
                with m.Else():
                    m.d.sync += inside.eq(Mux(inside, alone, settled))
        return step

    def _is_single(self, command, level):
        """Whether there is one iteration of a level."""
        return command.single[level.name] if self._counts_compared else command[f"{level.name}_count"] == 1

    def _is_pair(self, command, level):
        """Whether there are two iterations of a level."""
        return command.pair[level.name] if self._counts_compared else command[f"{level.name}_count"] == 2

    def _moves(self, step):
        """Whether what belongs to a level changes: ``step`` includes the steps of all levels outside, and the end."""
        return ~self.o.valid | (self.o.ready & step)

    def _count(self, m, level, command, fresh, step, restart):
        """Count the iterations of a level; derive its flags ahead, so that they are registers.

        ``step``: all levels inside are at their end. The level takes a step then, or restarts if it is at its end
        too (``restart``). When everything is at its end, ``fresh`` comes first.
        Returns "there is one iteration only" and "the next iteration is the last".
        """
        count, width = command[f"{level.name}_count"], level.count_width
        left = Signal(width, name=f"{level.name}_left", reset_less=True)
        left_init = Signal(width, name=f"{level.name}_left_init", reset_less=True)
        # The first iteration is the last; the second is.
        only, pair = (Signal(name=f"{level.name}_{flag}", reset_less=True) for flag in ("only", "pair"))
        first, last, next_last = (
            Signal(name=f"{level.name}_{flag}", reset_less=True) for flag in ("first", "last", "next_last"))
        m.d.comb += [self.o.payload.first[level.name].eq(first), self.o.payload.last[level.name].eq(last)]
        with m.If(self._moves(step)):
            with m.If(fresh):
                is_single, is_pair = self._is_single(command, level), self._is_pair(command, level)
                m.d.sync += [
                    left.eq(count - 1), left_init.eq(count - 1), first.eq(1), last.eq(is_single), only.eq(is_single),
                    next_last.eq(is_pair), pair.eq(is_pair),
                ]
            with m.Elif(restart):
                m.d.sync += [left.eq(left_init), first.eq(1), last.eq(only), next_last.eq(pair)]
            with m.Else():
                m.d.sync += [left.eq(left - 1), first.eq(0), last.eq(next_last), next_last.eq(left == 2)]
        if level.index:
            index = Signal(width, name=f"{level.name}_index", reset_less=True)
            m.d.comb += self.o.payload.index[level.name].eq(index)
            with m.If(self._moves(step)):
                with m.If(fresh | restart):
                    m.d.sync += index.eq(0)
                with m.Else():
                    m.d.sync += index.eq(index + 1)
        return only, next_last

    def _walk(self, m, kind, step_name, start_name, result, held, fresh, step):
        """Keep the coordinate ``result`` at each level of ``kind``."""
        # Value from which everything inside the level looked at restarts: the enclosing level's own.
        shape = held[start_name].shape()
        enclosing = held[start_name]
        candidates = []
        for position, level in enumerate(self.levels):
            if level.kind != kind:
                candidates.append((step[position], enclosing))
                continue
            size = level.step if level.step is not None else held[f"{level.name}_{step_name}"]
            value = Signal(shape, name=f"{level.name}_{start_name}", reset_less=True)
            candidates.append((step[position], (value + size)[:len(value)]))
            with m.If(self._moves(step[position])):
                with m.If(fresh):
                    m.d.sync += value.eq(self.command.payload[start_name])
                for chosen, candidate in candidates[:-1]:
                    with m.Elif(chosen):
                        m.d.sync += value.eq(candidate)
                with m.Else():
                    m.d.sync += value.eq(candidates[-1][1])
            enclosing = value
        m.d.comb += result.eq(enclosing)
