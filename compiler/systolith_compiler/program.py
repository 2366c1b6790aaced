"""A program under construction: commands with what they read and write, and the tokens that order them.

The scheduler appends commands in an order in which they could run one after another. `Program.encode`

* moves commands that are marked `early` up to right behind the last command whose bytes they touch,
* fills the banks of the lane tables with what each VECTOR command names, by PARAMS commands, and
* finds every pair of commands on different engines that touch the same bytes, and places the fewest tokens that
  keep such pairs in order; everything else may overlap.

Bytes are tracked in granules, so neighbours may be ordered without need, but never the reverse.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import numpy as np

from systolith_spec.commands import COMMANDS, Engine, encode
from systolith_spec.config import AcceleratorConfig

__all__ = ["LaneTables", "Program", "Region"]

_ENGINES = {command.name: command.engine for command in COMMANDS}
_GRANULE = {"activation": 4, "weight": 16, "parameter": 4, "accumulator": 1, "memory": 64}


class Region(NamedTuple):
    """Bytes (accumulator: entries) start to stop - 1 of a space; with a pitch, only `width` bytes in every `pitch`.

    A group of channels of a tensor is such a comb: `pitch` is the pixel pitch, `width` the channels.
    """

    space: str
    start: int
    stop: int
    pitch: int = 0
    width: int = 0

    def meets(self, other: "Region") -> bool:
        """Whether the regions may have bytes in common."""
        if self.space != other.space or self.start >= other.stop or other.start >= self.stop:
            return False
        if self.pitch != other.pitch or not self.pitch:
            return True
        ahead = (other.start - self.start) % self.pitch
        return ahead < self.width or self.pitch - ahead < other.width


@dataclass(frozen=True, eq=False)
class LaneTables:
    """Contents of a bank of the lane tables, for the field `bank` of a VECTOR command.

    Attributes
    ----------
    key : hashable
        Tables with the same key have the same contents.
    fields : dict of str to int
        Of the PARAMS command that fills the bank.
    reads : tuple of Region
    """

    key: object
    fields: dict[str, int]
    reads: tuple[Region, ...] = ()


@dataclass(eq=False)
class _Command:
    name: str
    fields: dict[str, int]
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    early: bool = False
    wait: int = 0
    signal: int = 0
    fence: int = 0
    known: np.ndarray | None = field(default=None, repr=False)


class Program:
    """Commands of one program, in program order.

    Parameters
    ----------
    config : AcceleratorConfig
    memory_size : int
        Bytes of main memory that programs write, which region "memory" counts.
    """

    def __init__(self, config: AcceleratorConfig, memory_size: int = 0):
        self._sizes = {
            "activation": config.activation_bytes, "weight": config.weight_bytes, "parameter": config.parameter_bytes,
            "accumulator": config.accumulator_entries, "memory": memory_size,
        }
        self.commands: list[_Command] = []

    def trial(self, first: int) -> "Program":
        """A copy of the commands from `first` on, without tokens."""
        other = Program.__new__(Program)
        other._sizes = dict(self._sizes)
        other.commands = [_Command(c.name, c.fields, c.reads, c.writes, c.early) for c in self.commands[first:]]
        return other

    def append(self, name: str, *, reads: tuple[Region, ...] = (), writes: tuple[Region, ...] = (), early: bool = False,
               **fields: int | LaneTables) -> None:
        """Append a command.

        Parameters
        ----------
        name : str
        reads, writes : tuple of Region
        early : bool
            The command may go before others that it has nothing to do with, as early as possible.
        **fields : int
            Of the command table, without tokens and fence; `bank` of a VECTOR command may be `LaneTables`.
        """
        self.commands.append(_Command(name, fields, tuple(reads), tuple(writes), early))

    def encode(self, locate: Callable[[int], int] | None = None) -> list[bytes]:
        """Order, place tokens and encode; END is added. `locate` makes the final memory offset of each."""
        commands = _with_tables(_hoisted(self.commands))
        self._place_tokens(commands)
        words = []
        for command in commands:
            fields = dict(command.fields)
            if command.name == "VECTOR":
                fields["fence"] = command.fence
            if locate and "memory" in fields:
                fields["memory"] = locate(fields["memory"])
            words.append(encode(command.name, wait=command.wait, signal=command.signal, **fields))
        return [*words, encode("END")]

    def _place_tokens(self, commands: list[_Command]) -> None:
        spaces = {region.space for command in commands for region in command.reads + command.writes}
        tracker = _Tracker({space: self._sizes[space] for space in spaces})
        queues: list[list[_Command]] = [[] for _ in Engine]
        clocks = np.full((len(Engine), len(Engine)), -1)  # clocks[e, f]: commands of f that e knows to be done
        for command in commands:
            engine = int(_ENGINES[command.name])
            own = len(queues[engine])
            needed = tracker.conflicts(command)
            clock = clocks[engine]
            for other in sorted(set(Engine) - {engine}, key=lambda e: -needed[e]):
                if needed[other] > clock[other]:
                    producer = queues[other][needed[other]]
                    command.wait |= 1 << other
                    producer.signal |= 1 << engine
                    np.maximum(clock, producer.known, out=clock)
                    clock[other] = needed[other]
            if "softmax" in command.fields:
                clock[engine] = own - 1  # waits for all earlier commands of its own engine
            elif command.name == "VECTOR" and tracker.own_writes(command, engine) > clock[engine]:
                command.fence = 1
                clock[engine] = own - 1
            command.known = clock.copy()
            tracker.record(command, engine, own)
            queues[engine].append(command)


def _hoisted(commands: Iterable[_Command]) -> list[_Command]:
    """The commands, those marked `early` right behind the last one that they must follow."""
    ordered: list[_Command] = []
    for command in commands:
        position = len(ordered)
        if command.early:
            while position and not _ordered(ordered[position - 1], command):
                position -= 1
        ordered.insert(position, command)
    return ordered


def _ordered(first: _Command, second: _Command) -> bool:
    """Whether two commands touch the same bytes, one of them writing."""
    return any(mine.meets(theirs) for mine in first.writes for theirs in second.reads + second.writes) or any(
        mine.meets(theirs) for mine in first.reads for theirs in second.writes)


def _with_tables(commands: list[_Command]) -> list[_Command]:
    """Copies of the commands, with banks in place of lane tables and with the PARAMS commands that fill them."""
    uses: dict[object, list[int]] = {}
    for position in reversed(range(len(commands))):
        if isinstance(tables := commands[position].fields.get("bank"), LaneTables):
            uses.setdefault(tables.key, []).append(position)
    held: list[object] = [None, None]
    turn = 0
    result = []
    for command in commands:
        tables = command.fields.get("bank")
        fields = dict(command.fields)
        if isinstance(tables, LaneTables):
            uses[tables.key].pop()
            if tables.key not in held:
                # The bank whose contents are needed again last; of two that are not, the one used longer ago.
                following = [uses[key][-1] if uses.get(key) else inf for key in held]
                bank = turn if following[0] == following[1] else following.index(max(following))
                held[bank] = tables.key
                filling = {"layer": fields["layer"], **tables.fields, "bank": bank}
                result.append(_Command("PARAMS", filling, tables.reads, ()))
            fields["bank"] = held.index(tables.key)
            turn = 1 - fields["bank"]
        result.append(_Command(command.name, fields, command.reads, command.writes))
    return result


class _Tracker:
    """Per granule and engine, the last command that wrote and that read it."""

    def __init__(self, sizes: dict[str, int]):
        count = len(Engine)
        self._writers = {s: np.full((count, -(-size // _GRANULE[s]) + 1), -1, np.int32) for s, size in sizes.items()}
        self._readers = {s: np.full((count, -(-size // _GRANULE[s]) + 1), -1, np.int32) for s, size in sizes.items()}

    @staticmethod
    def _span(region: Region) -> slice | np.ndarray:
        """Granules of a region."""
        granule = _GRANULE[region.space]
        if region.pitch <= region.width + granule:
            return slice(region.start // granule, -(-region.stop // granule))
        first = np.arange(region.start, region.stop, region.pitch)
        last = np.minimum(first + region.width, region.stop)
        first, last = first // granule, -(-last // granule)
        spans = first[:, np.newaxis] + np.arange((last - first).max())
        return spans[spans < last[:, np.newaxis]]

    def conflicts(self, command: _Command) -> np.ndarray:
        """Per engine, the last command that must be done before this one."""
        needed = np.full(len(Engine), -1)
        for region in command.reads + command.writes:
            span = self._span(region)
            np.maximum(needed, self._writers[region.space][:, span].max(axis=1, initial=-1), out=needed)
        for region in command.writes:
            np.maximum(needed, self._readers[region.space][:, self._span(region)].max(axis=1, initial=-1), out=needed)
        return needed

    def own_writes(self, command: _Command, engine: int) -> int:
        """Last command of the same engine that wrote activation bytes this one reads."""
        return max((int(self._writers[r.space][engine, self._span(r)].max(initial=-1))
                    for r in command.reads if r.space == "activation"), default=-1)

    def record(self, command: _Command, engine: int, index: int) -> None:
        """Note what a command touches."""
        for region in command.reads:
            self._readers[region.space][engine, self._span(region)] = index
        for region in command.writes:
            self._writers[region.space][engine, self._span(region)] = index
