"""Discrete-event simulation of the accelerator at command granularity.

An engine streams one command at a time: activation vectors under the tiles of a COMPUTE, reads of a VECTOR,
beats of a STORE; a LOAD issues its bursts. The stream of a command follows that of the command before without
a gap when the command has been accepted in time; it retires a fixed latency after its stream has ended.
Between events every stream advances at a constant rate, which drops below one while a client with higher
priority reads the same bank of the activation buffer.
"""

from collections import deque
from heapq import heappop, heappush
from math import ceil

from systolith_spec.commands import COMMAND_BYTES, Engine
from systolith_spec.config import AcceleratorConfig

from .cycle_work import CycleConstants, Work

__all__ = ["CycleSimulation", "EngineState"]

_READ_PRIORITY = (Engine.STORE, Engine.VECTOR, Engine.COMPUTE)


class EngineState:
    """Queue, gate and stream of one engine.

    Attributes
    ----------
    busy : float
        Cycles with an accepted, unretired command.
    stall_token : float
        Cycles in which the oldest waiting command lacked a token.
    stall_input : float
        Cycles that the stream lost to other clients of its source.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.queue: deque[Work] = deque()
        self.stored = 0  # commands in the queue's memory, the one on its way to the gate included
        self.blocks_fetcher = False  # the fetcher holds a command for this queue, which is full
        self.gate: Work | None = None  # oldest command, in front of the token gate
        self.gate_state = ""  # "filling", "waiting" (for tokens), "granted" or "offered"
        self.gate_free = float("-inf")
        self.waiting_since = -1.0
        self.inflight = 0  # granted and not retired
        self.accepted: deque[tuple[Work, float]] = deque()
        self.begin_pending = False
        self.stream: Work | None = None
        self.left = 0.0  # cycles of the stream at full rate, at time `updated`
        self.rate = 0.0
        self.updated = 0.0
        self.started = 0.0
        self.version = 0  # makes outdated events of the stream's end void
        self.stream_end = 0.0  # the next stream may begin
        self.retired_at = -1.0
        self.unretired = 0  # accepted and not retired
        self.busy_since = 0.0
        self.busy = 0.0
        self.stall_token = 0.0
        self.stall_input = 0.0


class CycleSimulation:
    """Run a list of works; see `cycles.predict` for the results.

    Parameters
    ----------
    config : AcceleratorConfig
    constants : CycleConstants
    works : list of Work
        Up to END.
    memory_latency : int
        Address of a read burst to its first beat; last beat of a write burst to its response.
    program_offset : int
        Memory offset of the first command.
    """

    # Commands that an engine holds accepted besides the one that streams.
    lookahead = {Engine.LOAD: 1, Engine.COMPUTE: 1, Engine.VECTOR: 1, Engine.STORE: 1}

    def __init__(
        self,
        config: AcceleratorConfig,
        constants: CycleConstants,
        works: list[Work],
        memory_latency: int,
        program_offset: int = 0,
    ):
        self.config = config
        self.constants = constants
        self.works = works
        self.memory_latency = memory_latency
        self.engines = [EngineState(engine) for engine in Engine]
        self.tokens = [[0] * len(Engine) for _ in Engine]  # [from][to]
        self.layer_end: dict[int, float] = {}
        self.read_beats = 0
        self.write_beats = 0
        self.dispatched = 0
        self.command_beats = COMMAND_BYTES // config.axi_bytes
        self._events: list = []
        self._sequence = 0
        self._bus_free = 0.0  # next cycle in which the read channel may carry a beat
        # Command fetcher
        self._fetch_position = program_offset // config.axi_bytes
        self._fetch_first = self._fetch_position
        self._fetch_room = constants.prefetch_bytes // config.axi_bytes
        self._fetch_ready = 0.0
        self._fetch_pending = False
        self._arrivals: deque[tuple[int, float]] = deque()  # (beats, cycle of the first of them)
        self._arrived = 0  # beats of bursts that have left _arrivals
        self._dispatch_next = 0.0
        self._dispatch_scheduled = False
        self._ended = False
        # LOAD
        self._load_position = 0  # next burst of the stream
        self._load_outstanding = 0
        self._load_waiting = False
        self.last_retire = 0.0

    # Events

    def _at(self, time: float, action, *arguments) -> None:
        self._sequence += 1
        heappush(self._events, (time, self._sequence, action, arguments))

    def run(self) -> float:
        """Simulate to the end; return the total number of cycles."""
        self._fetch(self.constants.fetch_start)
        events = self._events
        while events:
            time, _, action, arguments = heappop(events)
            action(time, *arguments)
        stuck = [state.engine.name for state in self.engines if state.queue or state.gate or state.unretired]
        if stuck or not self._ended:
            raise ValueError(f"The program never ends: {', '.join(stuck) or 'the fetcher'} waits forever")
        return max(self.last_retire, self._dispatch_next) + self.constants.end

    # Read channel and command fetcher

    def _read_burst(self, now: float, beats: int) -> float:
        """Request a burst; return the cycle of its first beat. Bursts come back in the order of request."""
        first = max(now + self.memory_latency, self._bus_free)
        self._bus_free = first + beats
        self.read_beats += beats
        return first

    def _fetch(self, now: float) -> None:
        """Request the next burst of commands as soon as there is room."""
        if self._fetch_pending or self._ended:
            return
        burst = min(self.config.burst_beats, self.constants.fetch_burst_bytes // self.config.axi_bytes)
        burst = 1 << (burst.bit_length() - 1)
        beats = burst - self._fetch_position % burst
        if self._fetch_room < beats:
            return
        self._fetch_room -= beats
        self._fetch_position += beats
        self._fetch_pending = True
        self._at(max(now, self._fetch_ready), self._fetch_request, beats)

    def _fetch_request(self, now: float, beats: int) -> None:
        self._fetch_pending = False
        self._fetch_ready = now + self.constants.fetch_gap
        if self._ended:
            return
        self._arrivals.append((beats, self._read_burst(now, beats)))
        if len(self._arrivals) == 1 and not self._dispatch_scheduled:
            self._dispatch(now)
        self._fetch(now)

    def _dispatch(self, now: float) -> None:
        """Schedule the hand-over of the next command to its queue, if its last beat is on the way."""
        if self._ended:
            return
        last = (self.dispatched + 1) * self.command_beats
        while self._arrivals and self._arrived + self._arrivals[0][0] < last:
            self._arrived += self._arrivals.popleft()[0]
        if not self._arrivals:
            return
        arrival = self._arrivals[0][1] + last - 1 - self._arrived
        self._dispatch_scheduled = True
        self._at(max(arrival + self.constants.fetch_latency, self._dispatch_next), self._hand_over)

    def _hand_over(self, now: float) -> None:
        work = self.works[self.dispatched]
        if work.engine is None:
            self._ended = True
            self._dispatch_next = now
            return
        state = self.engines[work.engine]
        if state.stored >= self.config.queue_commands:
            # Head of line: everything behind waits until the queue has room.
            state.blocks_fetcher = True
            return
        state.queue.append(work)
        state.stored += 1
        self.dispatched += 1
        self._dispatch_scheduled = False
        self._dispatch_next = now + self.command_beats
        self._fetch_room += self.command_beats
        self._fill_gate(state, now)
        self._fetch(now)
        self._dispatch(now)

    # Queue and token gate

    def _fill_gate(self, state: EngineState, now: float) -> None:
        """Move the oldest command of the queue in front of the gate."""
        if state.gate is not None or not state.queue:
            return
        state.gate = state.queue.popleft()
        state.gate_state = "filling"
        latency = self.constants.queue_latency
        self._at(
            max(now + latency, state.gate_free + self.command_beats + latency - 1), self._gate_full, state
        )

    def _gate_full(self, now: float, state: EngineState) -> None:
        state.gate_state = "waiting"
        state.stored -= 1
        if state.blocks_fetcher:
            state.blocks_fetcher = False
            self._at(now, self._hand_over)
        self._grant(state, now)

    def _grant(self, state: EngineState, now: float) -> None:
        """Take the tokens of the command in front of the gate, if they are all there."""
        work = state.gate
        if work is None or state.gate_state != "waiting" or state.inflight >= self.constants.inflight:
            return
        target = state.engine
        sources = [source for source in range(len(Engine)) if work.wait >> source & 1]
        if not all(self.tokens[source][target] for source in sources):
            if state.waiting_since < 0:
                state.waiting_since = now
            return
        for source in sources:
            self.tokens[source][target] -= 1
        if state.waiting_since >= 0:
            state.stall_token += now - state.waiting_since
            state.waiting_since = -1.0
        state.inflight += 1
        state.gate_state = "granted"
        self._at(now + self.constants.grant, self._offer, state)

    def _offer(self, now: float, state: EngineState) -> None:
        state.gate_state = "offered"
        self._accept(state, now)

    # Engines

    def _accept(self, state: EngineState, now: float) -> None:
        """Let the engine accept the offered command, if it has a place for it."""
        if state.gate_state != "offered" or len(state.accepted) >= self.lookahead[state.engine]:
            return
        state.accepted.append((state.gate, now))
        state.gate, state.gate_state, state.gate_free = None, "", now
        if not state.unretired:
            state.busy_since = now
        state.unretired += 1
        self._fill_gate(state, now)
        self._schedule_stream(state, now)

    def _schedule_stream(self, state: EngineState, now: float) -> None:
        """Begin the next stream, or decide when."""
        if state.stream is not None or state.begin_pending or not state.accepted:
            return
        work, accepted = state.accepted[0]
        begin = max(accepted + work.start, state.stream_end)
        if work.fence:
            if state.unretired > len(state.accepted):
                return  # comes back when the last one retires
            begin = max(begin, state.retired_at + self.constants.fence)
        state.begin_pending = True
        self._at(max(begin, now), self._begin, state)

    def _begin(self, now: float, state: EngineState) -> None:
        state.begin_pending = False
        state.stream, _ = state.accepted.popleft()
        state.started = now
        if state.engine == Engine.LOAD:
            self._load_position = 0
            self._load_issue(now)
        else:
            state.left, state.rate, state.updated = state.stream.stream, 0.0, now
            self._update_rates(now)
        self._accept(state, now)

    def _update_rates(self, now: float) -> None:
        """Share the banks of the activation buffer among the readers, by priority."""
        taken = [0.0] * self.config.activation_banks
        for engine in _READ_PRIORITY:
            state = self.engines[engine]
            work = state.stream
            if work is None:
                continue
            rate = 1.0
            if work.demand:
                blocked = sum(share * other for share, other in zip(work.banks, taken, strict=True))
                if 1.0 - blocked < work.demand:
                    rate = max(1.0 - blocked, 0.0) / work.demand
                for bank, share in enumerate(work.banks):
                    taken[bank] += work.demand * rate * share
            if rate != state.rate:
                state.left -= state.rate * (now - state.updated)
                state.updated, state.rate = now, rate
                state.version += 1
                if rate:  # a blocked stream goes on when the other one ends
                    self._at(ceil(now + state.left / rate - 1e-6), self._finish, state, state.version)

    def _finish(self, now: float, state: EngineState, version: int) -> None:
        if version != state.version:
            return
        work = state.stream
        state.stall_input += now - state.started - work.stream
        latency = work.latency - work.tail - 1  # from the last item of the stream
        if state.engine == Engine.STORE:
            self.write_beats += sum(work.bursts)
            latency += self.memory_latency
        self._end_stream(state, now, now + latency)
        self._update_rates(now)

    def _end_stream(self, state: EngineState, now: float, retire: float) -> None:
        work = state.stream
        state.stream, state.stream_end = None, now
        state.version += 1
        state.retired_at = max(retire, state.retired_at + 1)
        self._at(state.retired_at, self._retire, state, work)
        self._schedule_stream(state, now)

    def _load_issue(self, now: float) -> None:
        """Request the next burst of the LOAD that streams."""
        if self._load_outstanding >= self.config.outstanding_reads:
            self._load_waiting = True
            return
        state = self.engines[Engine.LOAD]
        bursts = state.stream.bursts
        beats = bursts[self._load_position]
        last = self._read_burst(now, beats) + beats - 1
        self._load_outstanding += 1
        self._at(last + 1, self._load_done)
        self._load_position += 1
        if self._load_position < len(bursts):
            self._at(now + self.constants.load_gap, self._load_issue)
        else:
            self._end_stream(state, now + self.constants.load_gap, last + state.stream.latency)

    def _load_done(self, now: float) -> None:
        self._load_outstanding -= 1
        if self._load_waiting:
            self._load_waiting = False
            self._load_issue(now)

    def _retire(self, now: float, state: EngineState, work: Work) -> None:
        self.last_retire = max(self.last_retire, now)
        self.layer_end[work.layer] = now
        state.inflight -= 1
        state.unretired -= 1
        if not state.unretired:
            state.busy += now - state.busy_since
        if work.signal:
            self._at(now + self.constants.token, self._give, state.engine, work.signal)
        self._grant(state, now + 1)
        self._schedule_stream(state, now)

    def _give(self, now: float, source: Engine, mask: int) -> None:
        for target in Engine:
            if mask >> target & 1:
                self.tokens[source][target] += 1
                self._grant(self.engines[target], now)
