"""Cycle model of the command fetcher: prefetch of commands and dispatch to the queues."""

from collections import deque
from collections.abc import Callable

from systolith_spec.commands import COMMAND_BYTES
from systolith_spec.config import AcceleratorConfig

from .cycle_events import Burst, EventQueue, ReadChannel
from .cycle_work import CycleConstants, Work

__all__ = ["CommandFetch"]


class CommandFetch:
    """Requests bursts of commands while there is room, and hands over one command after the other.

    Parameters
    ----------
    config, constants, events, channel
        The accelerator and the simulation.
    works : list of Work
        Commands up to END.
    program_offset, program_limit : int
        Memory offset of the first of them, and from which on none are fetched (0: no limit).
    store : callable
        ``store(work, now)`` puts a command into the queue of its engine and returns False when that is full;
        `resume` must then be called when there is room.

    Attributes
    ----------
    dispatched : int
        Commands handed over.
    ended : bool
        END has been met.
    idle_at : float
        Cycle in which the fetcher is idle, once it has ended.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        constants: CycleConstants,
        events: EventQueue,
        channel: ReadChannel,
        works: list[Work],
        program_offset: int,
        program_limit: int,
        store: Callable[[Work, float], bool],
    ):
        self._constants = constants
        self._events = events
        self._channel = channel
        self._works = works
        self._store = store
        self._command_beats = COMMAND_BYTES // config.axi_bytes
        burst = min(config.burst_beats, constants.fetch_burst_bytes // config.axi_bytes)
        self._burst = 1 << (burst.bit_length() - 1)
        self._position = program_offset // config.axi_bytes
        self._unit = min(self._burst, self._command_beats)
        self._limit = program_limit // config.axi_bytes if program_limit else float("inf")
        self._room = constants.prefetch_bytes // config.axi_bytes
        self._next_request = 0.0
        self._requesting = False
        self._arrivals: deque[tuple[int, float]] = deque()  # beats and first cycle of bursts
        self._arrived = 0  # beats of the bursts that have left _arrivals
        self._dispatching = False
        self._next_dispatch = 0.0
        self.dispatched = 0
        self.ended = False
        self.idle_at = 0.0

    def start(self) -> None:
        """Begin with the first request."""
        self._fetch(self._constants.fetch_start - self._constants.fetch_request)

    def resume(self, now: float) -> None:
        """The queue that was full has room."""
        self._events.at(now, self._hand_over)

    def _fetch(self, now: float) -> None:
        beats = self._burst - self._position % self._burst
        if self._position + self._burst > self._limit:
            beats = self._unit
        if self._requesting or self.ended or self._room < beats or self._position >= self._limit:
            return
        self._room -= beats
        self._position += beats
        self._requesting = True
        self._events.at(max(now + self._constants.fetch_request, self._next_request), self._request, beats)

    def _request(self, now: float, beats: int) -> None:
        self._requesting = False
        self._next_request = now + self._constants.fetch_gap
        if self.ended:
            return
        self._channel.request(now, Burst(now, beats, None, False, self._arrive, self._received))
        self._fetch(now - self._constants.fetch_request)

    def _arrive(self, now: float, burst: Burst) -> None:
        self._arrivals.append((burst.beats, now))
        self._events.at(now + burst.beats, self._channel.finish, burst)
        self._dispatch()

    def _received(self, now: float, burst: Burst) -> None:
        self.idle_at = now + self._constants.fetch_idle

    def _dispatch(self) -> None:
        """Schedule the hand-over of the next command if its last beat is on the way."""
        if self.ended or self._dispatching:
            return
        last = (self.dispatched + 1) * self._command_beats
        while self._arrivals and self._arrived + self._arrivals[0][0] < last:
            self._arrived += self._arrivals.popleft()[0]
        if not self._arrivals:
            return
        arrival = self._arrivals[0][1] + last - 1 - self._arrived
        self._dispatching = True
        self._events.at(max(arrival + self._constants.fetch_latency, self._next_dispatch), self._hand_over)

    def _hand_over(self, now: float) -> None:
        work = self._works[self.dispatched]
        if work.engine is None:
            self.ended = True
            self.idle_at = max(self.idle_at, now)
            return
        if not self._store(work, now):
            return
        self.dispatched += 1
        self._dispatching = False
        self._next_dispatch = now + self._command_beats
        self._room += self._command_beats
        self._fetch(now)
        self._dispatch()
