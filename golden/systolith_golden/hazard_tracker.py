"""Proof that tokens order every pair of accesses that must not be swapped.

Each command starts with a clock: for each engine, how many of its commands have certainly retired. It grows
by the clock of earlier commands of the same engine and by those of the commands whose tokens are awaited;
since an engine retires in order, a number for each engine says it all. A command may touch bytes that another
engine's command touched before it (one of the two writing) only if its clock covers that command.
"""

from collections.abc import Iterable

import numpy as np

from systolith_spec.commands import Engine

from .machine_error import HazardError

__all__ = ["HazardTracker"]

_READERS = {
    "activation": (Engine.COMPUTE, Engine.VECTOR, Engine.STORE),
    "weight": (Engine.COMPUTE,),
    "parameter": (Engine.VECTOR,),
    "accumulator": (Engine.VECTOR,),
    "memory": (Engine.LOAD,),
}
_WRITERS = {
    "activation": (Engine.LOAD, Engine.VECTOR),
    "weight": (Engine.LOAD,),
    "parameter": (Engine.LOAD,),
    "accumulator": (Engine.COMPUTE,),
    "memory": (Engine.STORE,),
}


class HazardTracker:
    """Last reader and last writer of every byte (or accumulator entry), by engine.

    Parameters
    ----------
    sizes : dict of str to int
        Bytes of "activation", "weight", "parameter" and "memory", entries of "accumulator".
    """

    def __init__(self, sizes: dict[str, int]):
        # Positions count from 1 on each engine; 0: never touched.
        self._reads = {
            (space, engine): np.zeros(size, np.int32)
            for space, size in sizes.items()
            for engine in _READERS[space]
        }
        self._writes = {
            (space, engine): np.zeros(size, np.int32)
            for space, size in sizes.items()
            for engine in _WRITERS[space]
        }
        self._indices: dict[Engine, list[int]] = {engine: [] for engine in Engine}
        self._clocks: dict[Engine, list[int]] = {engine: [0] * len(Engine) for engine in Engine}
        self._starts: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._index, self._opcode, self._engine = 0, "", Engine.LOAD

    def start(
        self, index: int, opcode: str, engine: Engine, givers: Iterable[tuple[Engine, int]], fence: bool
    ) -> None:
        """Begin a command.

        Parameters
        ----------
        index, opcode, engine
            The command.
        givers : iterable of (Engine, int)
            Commands whose tokens it takes.
        fence : bool
            It waits for all earlier commands of its own engine.
        """
        clock = self._clocks[engine]
        for source, giver in givers:
            position, seen = self._starts[giver]
            clock[source] = max(clock[source], position)
            for other in Engine:
                clock[other] = max(clock[other], seen[other])
        if fence:
            clock[engine] = len(self._indices[engine])
        self._indices[engine].append(index)
        self._starts[index] = len(self._indices[engine]), tuple(clock)
        self._index, self._opcode, self._engine = index, opcode, engine

    def read(self, space: str, where: slice | np.ndarray) -> None:
        """The command reads bytes (entries) `where` of a space."""
        for engine in _WRITERS[space]:
            # Inside the vector engine a read may overtake a write: that is what the fence flag is for.
            if engine != self._engine or (engine == Engine.VECTOR and space == "activation"):
                self._check(self._writes[space, engine], engine, space, where, "read after write")
        if (space, self._engine) in self._reads:
            self._reads[space, self._engine][where] = len(self._indices[self._engine])

    def write(self, space: str, where: slice | np.ndarray) -> None:
        """The command writes bytes (entries) `where` of a space."""
        for engine in _WRITERS[space]:
            if engine != self._engine:
                self._check(self._writes[space, engine], engine, space, where, "write after write")
        for engine in _READERS[space]:
            if engine != self._engine:
                self._check(self._reads[space, engine], engine, space, where, "write after read")
        self._writes[space, self._engine][where] = len(self._indices[self._engine])

    def _check(
        self, positions: np.ndarray, engine: Engine, space: str, where: slice | np.ndarray, kind: str
    ) -> None:
        touched = positions[where]
        latest = int(touched.max(initial=0))
        if latest <= self._clocks[self._engine][engine]:
            return
        other = self._indices[engine][latest - 1]
        place = int(np.flatnonzero(touched.reshape(-1) == latest)[0])
        address = where.start + place if isinstance(where, slice) else int(where.reshape(-1)[place])
        remedy = "the fence flag" if engine == self._engine else "tokens"
        raise HazardError(
            self._index,
            self._opcode,
            f"{kind} of {space} {address:#x} is not ordered by {remedy} after command "
            f"{other} ({engine.name} engine)",
            other=other,
            space=space,
            kind=kind,
        )
