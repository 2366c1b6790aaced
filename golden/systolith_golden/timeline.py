"""The cycle model's run of a program, command by command: when each one came, began and ended, and what it waited for."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from systolith_spec.commands import Engine, Space, decode
from systolith_spec.config import AcceleratorConfig

from .cycle_serial import SerialRun, run_serial
from .cycle_sharing import Stream
from .cycle_simulation import CycleSimulation, EngineState
from .cycle_work import CycleConstants, Work, Workbook

__all__ = ["CommandTimes", "timeline"]


@dataclass(slots=True, kw_only=True)
class CommandTimes:
    """One command; times in clock cycles from the start strobe.

    Attributes
    ----------
    work : Work
    space : Space or None
        Destination of a LOAD.
    ready : float
        In front of the token gate.
    offered : float
        All its tokens were there.
    giver : CommandTimes or None
        Command that gave the last token it waited for; None: it did not wait.
    begin, end : float
        First cycle of its stream, and that after the last.
    retired : float
    """

    work: Work
    space: Space | None = None
    ready: float = 0.0
    offered: float = 0.0
    giver: "CommandTimes | None" = None
    begin: float = 0.0
    end: float = 0.0
    retired: float = 0.0


class _TracedSimulation(CycleSimulation):
    """Notes the times while the simulation runs."""

    def __init__(self, times: dict[int, CommandTimes], *arguments):
        super().__init__(*arguments)
        self._times = times
        self._givers: dict[Engine, deque[Work]] = {engine: deque() for engine in Engine}

    def _gate_full(self, now: float, state: EngineState) -> None:
        self._times[id(state.gate)].ready = now
        super()._gate_full(now, state)

    def _give(self, now: float, source: Engine, mask: int) -> None:
        waiting = [state for state in self.engines if state.gate_state == "waiting"]
        giver = self._times[id(self._givers[source].popleft())]
        super()._give(now, source, mask)
        for state in waiting:
            if state.gate_state == "granted":
                self._times[id(state.gate)].giver = giver

    def _offer(self, now: float, state: EngineState) -> None:
        self._times[id(state.gate)].offered = now
        super()._offer(now, state)

    def _begin(self, now: float, state: EngineState, work: Work) -> None:
        self._times[id(work)].begin = now
        super()._begin(now, state, work)

    def _end(self, now: float, stream: Stream) -> None:
        self._times[id(stream.work)].end = now
        super()._end(now, stream)

    def _retire(self, now: float, state: EngineState, work: Work) -> None:
        self._times[id(work)].retired = now
        if work.signal:
            self._givers[work.engine].append(work)
        super()._retire(now, state, work)


def timeline(config: AcceleratorConfig, commands: Iterable[bytes], memory_latency: int = 20, *,
             program_offset: int = 0, program_limit: int = 0, memory: bytes = b"") -> tuple[list[CommandTimes], int]:
    """Times of every command but END, in program order, and the total of cycles.

    Parameters
    ----------
    config : AcceleratorConfig
    commands : iterable of bytes
        64-byte commands in stream order; END may be missing and ends the program.
    memory_latency, program_offset, program_limit, memory
        As for `cycles.predict`.
    """
    constants, commands = CycleConstants(), list(commands)
    works = Workbook(config, constants).program(commands)
    result = [CommandTimes(work=work, space=Space(decode(command)[1]["space"]) if work.engine == Engine.LOAD else None)
              for work, command in zip(works[:-1], commands, strict=False)]
    if config.control == "serial":
        return result, _one_after_the_other(result, run_serial(config, commands, memory_latency, memory))
    times = {id(entry.work): entry for entry in result}
    simulation = _TracedSimulation(times, config, constants, works, memory_latency, program_offset, program_limit)
    return result, int(simulation.run())


def _one_after_the_other(entries: list[CommandTimes], run: SerialRun) -> int:
    """Serial control: a command, from its fetch to its end, begins when the one before has ended."""
    now = 0
    for entry, (_, cycles) in zip(entries, run.times, strict=True):
        entry.ready = entry.offered = entry.begin = now
        now += cycles
        entry.end = entry.retired = now
    return run.total
