"""Token counters: does every wait of a program find its token in stream order?"""

from systolith_spec.commands import Engine

from .machine_error import MachineError

__all__ = ["TOKEN_MAXIMUM", "TokenCounters", "engines_of_mask"]

TOKEN_MAXIMUM = 65535
"""Tokens that one counter holds."""

_ENGINES_OF_MASK = tuple(tuple(engine for engine in Engine if mask >> engine & 1) for mask in range(16))


def engines_of_mask(mask: int) -> tuple[Engine, ...]:
    """Engines whose bit is set in a wait or signal mask."""
    return _ENGINES_OF_MASK[mask]


class TokenCounters:
    """Counters from each engine to each other engine, with a command executed at a time.

    Stream order is one valid order of execution: if every token that a command takes was given by an earlier
    command, then the oldest unfinished command can always run, whatever the timing, and no run can deadlock.
    """

    def __init__(self) -> None:
        self._givers: dict[tuple[Engine, Engine], list[int]] = {(a, b): [] for a in Engine for b in Engine}
        self._taken = dict.fromkeys(self._givers, 0)
        self.maximum = 0

    def take(self, index: int, opcode: str, engine: Engine, mask: int) -> list[tuple[Engine, int]]:
        """Take a token from each engine of the mask.

        Returns
        -------
        list of (Engine, int)
            Giving engine and index of the command that gave this token (tokens of a counter are taken in the
            order in which they were given).

        Raises
        ------
        MachineError
            The command waits for its own engine, or for a token that no earlier command gives.
        """
        givers = []
        for source in engines_of_mask(mask):
            if source == engine:
                raise MachineError(
                    index,
                    opcode,
                    f"wait must not name the command's own engine ({engine.name})",
                    field="wait",
                    value=mask,
                )
            given, taken = self._givers[source, engine], self._taken[source, engine]
            if taken >= len(given):
                raise MachineError(
                    index,
                    opcode,
                    f"would deadlock: it waits for token {taken + 1} from {source.name}, but the "
                    f"commands before it give {len(given)}",
                    field="wait",
                    value=mask,
                )
            givers.append((source, given[taken]))
            self._taken[source, engine] = taken + 1
        return givers

    def give(self, index: int, opcode: str, engine: Engine, mask: int) -> None:
        """Give a token to each engine of the mask."""
        for target in engines_of_mask(mask):
            if target == engine:
                raise MachineError(
                    index,
                    opcode,
                    f"signal must not name the command's own engine ({engine.name})",
                    field="signal",
                    value=mask,
                )
            self._givers[engine, target].append(index)
            count = len(self._givers[engine, target]) - self._taken[engine, target]
            self.maximum = max(self.maximum, count)
            if count > TOKEN_MAXIMUM:
                raise MachineError(
                    index,
                    opcode,
                    f"tokens from {engine.name} to {target.name} must be at most "
                    f"{TOKEN_MAXIMUM}, not {count}",
                    field="signal",
                    value=mask,
                )

    def finish(self, index: int) -> None:
        """Check that the program leaves every counter at zero."""
        for (source, target), given in self._givers.items():
            left = len(given) - self._taken[source, target]
            if left:
                raise MachineError(
                    index,
                    "END",
                    f"tokens from {source.name} to {target.name} must be used up at the end, "
                    f"not {left} left (the first given by command {given[self._taken[source, target]]})",
                    field="signal",
                    value=left,
                )
