"""Several accelerators that share one main memory, as the cycle model sees them.

Each core has its own port, queues, buffers and program, and nothing in common with the others but the memory. That serves
read bursts in the order in which they are due, at a limited number of bytes a cycle; stores take their turn as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from systolith_spec.config import AcceleratorConfig

from .cycle_events import Burst, EventQueue, ReadChannel
from .cycle_simulation import CycleSimulation, EngineState
from .cycle_work import CycleConstants, Work, Workbook

__all__ = ["SharedRun", "run_cores"]


class _Memory:
    """Serves one request after the other.

    Attributes
    ----------
    busy : float
        Cycles of work so far.
    """

    def __init__(self, bytes_per_cycle: float):
        self._rate = bytes_per_cycle
        self._free = 0.0
        self.busy = 0.0

    def serve(self, now: float, size: int) -> tuple[float, float]:
        """First cycle of a request that is due now, and the cycle after its last byte."""
        begin = max(now, self._free)
        self._free = begin + size / self._rate
        self.busy += size / self._rate
        return begin, self._free


class _SharedChannel(ReadChannel):
    """Read channel of one core."""

    def __init__(self, events: EventQueue, latency: int, memory: _Memory, beat_bytes: int):
        super().__init__(events, latency)
        self._memory = memory
        self._beat_bytes = beat_bytes

    def _serve(self, now: float, burst: Burst) -> None:
        self.events.at(now, self._due, burst)

    def _due(self, now: float, burst: Burst) -> None:
        begin, end = self._memory.serve(now, burst.beats * self._beat_bytes)
        # A memory slower than the port stretches the burst: its last beat comes when the memory has read it.
        self.events.at(max(now, ceil(max(begin, end - burst.beats) - 1e-9)), burst.begin, burst)


class _Core(CycleSimulation):
    """A core whose stores take time of the shared memory."""

    memory: _Memory

    def _begin_store(self, now: float, state: EngineState, work: Work) -> None:
        begin, end = self.memory.serve(now, sum(work.bursts) * self.config.axi_bytes)
        # It ends no earlier than the memory has taken its bytes.
        self.events.at(max(now, ceil(max(begin, end - sum(work.bursts)) - 1e-9)), super()._begin_store, state, work)


@dataclass(frozen=True)
class SharedRun:
    """Result of `run_cores`: cycles of each core, and the share of the time to the last end that the memory was busy."""

    cycles: list[int]
    memory_busy: float


def run_cores(config: AcceleratorConfig, programs: Sequence[list[bytes]], bytes_per_cycle: float, *,
              memory_latency: int = 20, program_offset: int = 0) -> SharedRun:
    """Run one program on each core, all started at once.

    Parameters
    ----------
    config : AcceleratorConfig
        Of every core.
    programs : sequence of list of bytes
        Commands for each core, END last.
    bytes_per_cycle : float
        Bandwidth of the memory, in bytes for each cycle of the cores.
    memory_latency, program_offset : int
        As for `cycles.predict`.
    """
    if bytes_per_cycle <= 0:
        raise ValueError(f"Bandwidth must be above 0 bytes per cycle, not {bytes_per_cycle!r}")
    constants = CycleConstants()
    book = Workbook(config, constants)
    events, memory = EventQueue(), _Memory(bytes_per_cycle)
    cores = []
    for commands in programs:
        works = [book.work(command) for command in commands]
        core = _Core(config, constants, works, memory_latency, program_offset,
                     channel=_SharedChannel(events, memory_latency, memory, config.axi_bytes))
        core.memory = memory
        core.fetch.start()
        cores.append(core)
    events.run()
    cycles = [int(core.total()) for core in cores]
    return SharedRun(cycles, memory.busy / max(cycles))
