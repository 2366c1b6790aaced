"""How streams share the on-chip buffers: rates that change when a stream begins or ends."""

from collections.abc import Callable
from math import ceil

from systolith_spec.config import AcceleratorConfig

from .cycle_events import EventQueue
from .cycle_work import Work

__all__ = ["Sharing", "Stream"]

_STOPPED = 1e-9


class Stream:
    """Work that advances at a rate.

    Attributes
    ----------
    work : Work
    left : float
        Cycles that it still takes at full rate, at time `updated`.
    rate : float
        Share of the full rate since then; negative before the first update.
    started : float
    """

    __slots__ = ("left", "on_end", "rate", "started", "updated", "version", "work")

    def __init__(self, work: Work, cycles: float, now: float, on_end: Callable[[float, "Stream"], None]):
        self.work = work
        self.left = cycles
        self.rate = -1.0
        self.updated = self.started = now
        self.on_end = on_end
        self.version = 0


class Sharing:
    """The streams of the engines and what they take from each other.

    * Reads of a bank of the activation buffer: STORE before VECTOR before COMPUTE; in column mode COMPUTE first.
    * Writes of a bank: VECTOR before LOAD.
    * Reads of a half of the accumulators: accumulating sums before VECTOR.

    Addresses within a command are taken as spread evenly over time.

    Attributes
    ----------
    store, vector, compute, load : Stream or None
        LOAD: the burst that arrives now, if it goes to the activation buffer.
    writing : Work or None
        VECTOR whose results are being written.
    accumulating : Work or None
        COMPUTE whose sums are being added to the accumulators.
    """

    def __init__(self, config: AcceleratorConfig, events: EventQueue):
        self._config = config
        self._events = events
        self.store: Stream | None = None
        self.vector: Stream | None = None
        self.compute: Stream | None = None
        self.load: Stream | None = None
        self.writing: Work | None = None
        self.accumulating: Work | None = None
        self._compute_rate = self._vector_rate = 1.0

    def update(self, now: float) -> None:
        """Recompute all rates, after a stream or activity has begun or ended."""
        taken = [0.0] * self._config.activation_banks
        urgent = self.compute is not None and self.compute.work.urgent
        if urgent:
            self._compute_rate = self._reads(self.compute.work, taken)
            self._set(self.compute, self._compute_rate, now)
        if self.store:
            self._set(self.store, self._reads(self.store.work, taken), now)
        if self.vector:
            if self.vector.work.source:
                rate = self._reads(self.vector.work, taken)
            elif self.accumulating:
                rate = 1.0 - self._compute_rate * _overlap(self.vector.work.halves, self.accumulating.halves)
            else:
                rate = 1.0
            self._vector_rate = rate
            self._set(self.vector, rate, now)
        if self.compute and not urgent:
            self._compute_rate = self._reads(self.compute.work, taken)
            self._set(self.compute, self._compute_rate, now)
        if self.load:
            rate = 1.0
            if self.writing:
                rate -= self._vector_rate * _overlap(self.load.work.banks, self.writing.written_banks)
            self._set(self.load, rate, now)

    def _reads(self, work: Work, taken: list[float]) -> float:
        """Rate of a reader of the activation buffer; adds its reads to `taken`."""
        if not work.demand:
            return 1.0
        free = 1.0 - _overlap(work.banks, taken)
        rate = 1.0 if free >= work.demand else max(free, 0.0) / work.demand
        for bank, share in enumerate(work.banks):
            taken[bank] += work.demand * rate * share
        return rate

    def _set(self, stream: Stream, rate: float, now: float) -> None:
        if rate == stream.rate:
            return
        stream.left -= max(stream.rate, 0.0) * (now - stream.updated)
        stream.updated, stream.rate = now, rate
        stream.version += 1
        if rate > _STOPPED:  # a stopped stream goes on when the other one ends
            end = ceil(now + stream.left / rate - 1e-6)
            self._events.at(end, self._end, stream, stream.version)

    def _end(self, now: float, stream: Stream, version: int) -> None:
        if version == stream.version:
            stream.on_end(now, stream)


def _overlap(shares: tuple[float, ...], others: tuple[float, ...] | list[float]) -> float:
    return sum(share * other for share, other in zip(shares, others, strict=True))
