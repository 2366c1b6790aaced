"""Clockwork of the cycle model: an event queue and a read channel that serves bursts in order of request."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from .cycle_work import Work

__all__ = ["Burst", "EventQueue", "ReadChannel"]


class EventQueue:
    """Actions in the order of their times; those of the same time in the order of their scheduling."""

    def __init__(self) -> None:
        self._heap: list = []
        self._sequence = 0

    def at(self, time: float, action: Callable, *arguments) -> None:
        """Call ``action(time, *arguments)`` at a time."""
        self._sequence += 1
        heappush(self._heap, (time, self._sequence, action, arguments))

    def run(self) -> None:
        """Call all actions, including those that are scheduled meanwhile."""
        while self._heap:
            time, _, action, arguments = heappop(self._heap)
            action(time, *arguments)


@dataclass(slots=True)
class Burst:
    """A read burst.

    Attributes
    ----------
    ready : float
        Earliest cycle of its first beat.
    beats : int
    work : Work or None
        LOAD command that it belongs to; None: commands.
    last : bool
        Last burst of that command.
    begin, end : callable
        Called with the cycle of the first beat, and with that after the last.
    """

    ready: float
    beats: int
    work: Work | None
    last: bool
    begin: Callable[[float, "Burst"], None]
    end: Callable[[float, "Burst"], None]


class ReadChannel:
    """AXI read channel: bursts come back in the order of their requests, one beat a cycle at most.

    Attributes
    ----------
    events : EventQueue
    beats : int
        Beats of all bursts so far.
    """

    def __init__(self, events: EventQueue, latency: int):
        self.events = events
        self._latency = latency
        self._waiting: deque[Burst] = deque()
        self._busy = False
        self.beats = 0

    def request(self, now: float, burst: Burst) -> None:
        """Request a burst in this cycle."""
        burst.ready = now + self._latency
        self.beats += burst.beats
        self._waiting.append(burst)
        if not self._busy:
            self._next(now)

    def finish(self, now: float, burst: Burst) -> None:
        """The burst that is served has got its last beat in the cycle before."""
        self._busy = False
        burst.end(now, burst)
        if self._waiting and not self._busy:
            self._next(now)

    def _next(self, now: float) -> None:
        burst = self._waiting.popleft()
        self._busy = True
        self._serve(max(now, burst.ready), burst)

    def _serve(self, now: float, burst: Burst) -> None:
        """The burst may begin in this cycle."""
        self.events.at(now, burst.begin, burst)
