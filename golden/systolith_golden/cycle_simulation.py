"""Discrete-event simulation of the accelerator at command granularity.

An engine streams one command at a time: activation vectors under the tiles of a COMPUTE, reads of a VECTOR,
beats of a STORE; a LOAD issues its bursts. The stream of a command follows that of the command before without
a gap when the command has been accepted in time; it retires a fixed latency after its stream has ended.
Between events every stream advances at a constant rate, see `cycle_sharing`.
"""

from collections import deque
from math import ceil

from systolith_spec.commands import COMMAND_BYTES, Engine
from systolith_spec.config import AcceleratorConfig
from systolith_spec.dma_timing import LOAD_RELEASE
from systolith_spec.vector_timing import vector_division

from .cycle_events import Burst, EventQueue, ReadChannel
from .cycle_fetch import CommandFetch
from .cycle_sharing import Sharing, Stream
from .cycle_work import CycleConstants, Work

__all__ = ["CycleSimulation", "EngineState"]


class EngineState:
    """Queue, gate and commands in flight of one engine.

    Attributes
    ----------
    busy : float
        Cycles with an accepted, unretired command.
    stall_token : float
        Cycles in which the oldest waiting command lacked a token.
    stall_input : float
        Cycles that streams lost to other clients of their source.
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
        self.accepted: tuple[Work, float] | None = None  # command that has not been scheduled, and since when
        self.release = 0.0  # the engine accepts nothing before
        self.pending = False  # the next stream has been scheduled
        self.pending_cycles = 0  # of that stream, VECTOR only
        self.walk: deque[tuple[Work, float]] = (
            deque()
        )  # VECTORs on their way, with their earliest first reads
        self.stream: Stream | None = None
        self.stream_end = 0.0  # the next stream may begin
        self.previous: Work | None = None  # last stream
        self.line = 0  # positions of a line of the last column-mode command
        self.settled = float("-inf")  # column mode: lines of another length may begin
        self.order: deque[Work] = deque()  # scheduled and not retired
        self.done: set[int] = set()  # those of them that are complete, by identity
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
    program_offset, program_limit : int
        Memory offset of the first command, and from which on none are fetched (0: no limit).
    program_offset : int
        Memory offset of the first command.
    channel : ReadChannel, optional
        Read channel to use, with the event queue to use; by default ones of its own.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        constants: CycleConstants,
        works: list[Work],
        memory_latency: int,
        program_offset: int = 0,
        program_limit: int = 0,
        channel: ReadChannel | None = None,
    ):
        self.config = config
        self.constants = constants
        self.memory_latency = memory_latency
        self.engines = [EngineState(engine) for engine in Engine]
        self.channel = channel or ReadChannel(EventQueue(), memory_latency)
        self.events = self.channel.events
        self.sharing = Sharing(config, self.events)
        self.fetch = CommandFetch(
            config, constants, self.events, self.channel, works, program_offset, program_limit, self._store_command
        )
        self.layer_end: dict[int, float] = {}
        self.compute_end: dict[int, float] = {}
        self.last_retire = 0.0
        self.write_beats = 0
        self._tokens = [[0] * len(Engine) for _ in Engine]  # [from][to]
        self._command_beats = COMMAND_BYTES // config.axi_bytes
        # LOAD: next burst of the command that issues, bursts in flight
        self._load_position = 0
        self._load_work: Work | None = None
        self._load_outstanding = 0
        self._load_waiting = False
        # STORE: ends of the last bursts, last issue, last beat, last response
        self._store_slots = deque([-1.0] * config.outstanding_reads, maxlen=config.outstanding_reads)
        self._store_issue = self._store_beat = self._store_response = -1.0
        # Lane tables: VECTORs that use a bank, the bank that a PARAMS fills, the end of the last filling
        self._bank_users = [0, 0]
        self._filling: int | None = None
        self._filling_alone = False
        self._filled = [float("-inf")] * 2

    def run(self) -> float:
        """Simulate to the end; return the total number of cycles."""
        self.fetch.start()
        self.events.run()
        return self.total()

    def total(self) -> float:
        """Number of cycles, once all events are over."""
        stuck = [state.engine.name for state in self.engines if state.queue or state.gate or state.unretired]
        if stuck or not self.fetch.ended:
            raise ValueError(f"The program never ends: {', '.join(stuck) or 'the fetcher'} waits forever")
        return max(self.last_retire, self.fetch.idle_at) + self.constants.end

    # Queue and token gate

    def _store_command(self, work: Work, now: float) -> bool:
        """Put a dispatched command into its queue; False: head of line, everything behind it waits."""
        state = self.engines[work.engine]
        if state.stored >= self.config.queue_commands:
            state.blocks_fetcher = True
            return False
        state.queue.append(work)
        state.stored += 1
        self._fill_gate(state, now)
        return True

    def _fill_gate(self, state: EngineState, now: float) -> None:
        """Move the oldest command of the queue in front of the gate."""
        if state.gate is not None or not state.queue:
            return
        state.gate = state.queue.popleft()
        state.gate_state = "filling"
        latency = self.constants.queue_latency
        filled = max(now + latency, state.gate_free + self._command_beats + latency - 1)
        self.events.at(filled, self._gate_full, state)

    def _gate_full(self, now: float, state: EngineState) -> None:
        state.gate_state = "waiting"
        state.stored -= 1
        if state.blocks_fetcher:
            state.blocks_fetcher = False
            self.fetch.resume(now)
        self._grant(now, state)

    def _grant(self, now: float, state: EngineState) -> None:
        """Take the tokens of the command in front of the gate, if they are all there."""
        work = state.gate
        if work is None or state.gate_state != "waiting" or state.inflight >= self.constants.inflight:
            return
        target = state.engine
        sources = [source for source in range(len(Engine)) if work.wait >> source & 1]
        if not all(self._tokens[source][target] for source in sources):
            if state.waiting_since < 0:
                state.waiting_since = now
            return
        for source in sources:
            self._tokens[source][target] -= 1
        if state.waiting_since >= 0:
            state.stall_token += now - state.waiting_since
            state.waiting_since = -1.0
        state.inflight += 1
        state.gate_state = "granted"
        self.events.at(now + self.constants.grant, self._offer, state)

    def _offer(self, now: float, state: EngineState) -> None:
        state.gate_state = "offered"
        self._accept(now, state)

    def _give(self, now: float, source: Engine, mask: int) -> None:
        for target in Engine:
            if mask >> target & 1:
                self._tokens[source][target] += 1
                self._grant(now, self.engines[target])

    # Acceptance and retirement

    def _accept(self, now: float, state: EngineState) -> None:
        """Let the engine accept the offered command, if it has a place for it."""
        if state.gate_state != "offered" or now < state.release or state.accepted is not None:
            return
        state.accepted = state.gate, now
        state.gate, state.gate_state, state.gate_free = None, "", now
        if not state.unretired:
            state.busy_since = now
        state.unretired += 1
        self._fill_gate(state, now)
        self._schedule(now, state)

    def _schedule(self, now: float, state: EngineState) -> None:
        """Decide when the accepted command begins, if that is known already."""
        if state.accepted is None:
            return
        work, accepted = state.accepted
        begin = max(now, accepted + work.start)
        if work.params:
            if self._filling is not None or self._bank_users[work.bank] or (work.alone and state.order):
                return  # comes back when the bank, or the engine, is free
            self._filling, self._filling_alone = work.bank, work.alone
            self.events.at(begin + work.stream, self._tables_filled, state, work)
        else:
            if state.engine == Engine.VECTOR:
                self._schedule_vector(now, state, work, accepted)
                return
            if state.pending or state.stream is not None:
                return
            begin = max(begin, state.stream_end)
            if work.line and work.line != state.line:
                begin = max(begin, state.settled)
            state.pending = True
            action = {Engine.LOAD: self._begin_load, Engine.STORE: self._begin_store}.get(
                state.engine, self._begin
            )
            self.events.at(begin, action, state, work)
        self._leave(now, state, work, begin + work.hold)

    def _leave(self, now: float, state: EngineState, work: Work, release: float) -> None:
        """The accepted command makes room for the next one."""
        state.accepted = None
        state.order.append(work)
        state.release = max(now, release)
        self.events.at(state.release, self._accept, state)

    def _schedule_vector(self, now: float, state: EngineState, work: Work, accepted: float) -> None:
        """Send a VECTOR on its way, a few cycles before the last elements of those before are read."""
        if self._filling == work.bank or (self._filling is not None and self._filling_alone):
            return  # comes back when the tables are filled
        stream = state.stream
        ahead = sum(other.stream for other, _ in state.walk) + state.pending_cycles
        if stream is not None:
            left = stream.left - stream.rate * (now - stream.updated)
            if left + ahead > self.constants.walk_ahead:
                # Comes back when the stream ends, but not too late if it keeps its rate.
                wait = (
                    ceil((left + ahead - self.constants.walk_ahead) / stream.rate) if stream.rate > 0 else 0
                )
                if wait > 0 and ahead < self.constants.walk_ahead:
                    self.events.at(now + wait, self._retry_vector, state, work)
                return
        elif ahead > self.constants.walk_ahead:
            return
        take = max(now, accepted + 1 + vector_division(self.config), self._filled[work.bank])
        self._bank_users[work.bank] += 1
        state.walk.append((work, take + work.start - 1 - vector_division(self.config)))
        self._leave(now, state, work, take)
        self._next_vector(now, state)

    def _retry_vector(self, now: float, state: EngineState, work: Work) -> None:
        if state.accepted is not None and state.accepted[0] is work:
            self._schedule(now, state)

    def _next_vector(self, now: float, state: EngineState) -> None:
        """Begin the reads of the next VECTOR; a fence or a new source needs a gap behind the last read."""
        if state.pending or state.stream is not None or not state.walk:
            return
        work, begin = state.walk.popleft()
        begin = max(now, begin, state.stream_end)
        if state.previous is not None:
            if work.fence:
                begin = max(begin, state.stream_end - 1 + state.previous.fence_gap)
            elif work.source != state.previous.source:
                begin = max(begin, state.stream_end - 1 + state.previous.switch_gap)
        state.pending = True
        state.pending_cycles = work.stream
        self.events.at(begin, self._begin, state, work)

    def _complete(self, now: float, state: EngineState, work: Work) -> None:
        """All effects of a command are there; retire what is complete in order, one a cycle."""
        state.done.add(id(work))
        while state.order and id(state.order[0]) in state.done:
            head = state.order.popleft()
            state.done.remove(id(head))
            state.retired_at = max(now, state.retired_at + 1)
            self.events.at(state.retired_at, self._retire, state, head)

    def _retire(self, now: float, state: EngineState, work: Work) -> None:
        self.last_retire = max(self.last_retire, now)
        self.layer_end[work.layer] = now
        if work.engine is Engine.COMPUTE:
            self.compute_end[work.layer] = now
        if state.accepted is not None and state.accepted[0].alone:
            self._schedule(now, state)
        state.inflight -= 1
        state.unretired -= 1
        if not state.unretired:
            state.busy += now - state.busy_since
        if work.signal:
            self.events.at(now + self.constants.token, self._give, state.engine, work.signal)
        if state.inflight == self.constants.inflight - 1:
            self.events.at(now + 1, self._grant, state)

    # COMPUTE, VECTOR and PARAMS

    def _begin(self, now: float, state: EngineState, work: Work) -> None:
        state.pending = False
        state.pending_cycles = 0
        state.stream = Stream(work, work.stream, now, self._end)
        if state.engine == Engine.COMPUTE:
            self.sharing.compute = state.stream
            self.events.at(now + work.effect_begin, self._effects, "accumulating", None, work)
        else:
            self.sharing.vector = state.stream
            self.events.at(now + work.effect_begin, self._effects, "writing", None, work)
        self.sharing.update(now)
        self._schedule(now, state)

    def _effects(self, now: float, name: str, old: Work | None, new: Work | None) -> None:
        """Sums or results of a command begin to arrive (old is None) or cease to (new is None)."""
        if old is None or getattr(self.sharing, name) is old:
            setattr(self.sharing, name, new)
            self.sharing.update(now)

    def _end(self, now: float, stream: Stream) -> None:
        work = stream.work
        state = self.engines[work.engine]
        state.stall_input += now - stream.started - work.stream
        state.stream, state.stream_end, state.previous = None, now, work
        if state.engine == Engine.COMPUTE:
            if work.line:
                state.line, state.settled = work.line, now + work.settle
            self.sharing.compute = None
            self.events.at(now + work.effect_end, self._effects, "accumulating", work, None)
        else:
            self.sharing.vector = None
            self.events.at(now + work.effect_end, self._effects, "writing", work, None)
            self._next_vector(now, state)
        self.events.at(now + work.latency - work.tail - 1, self._computed, state, work)
        self._schedule(now, state)
        self.sharing.update(now)

    def _computed(self, now: float, state: EngineState, work: Work) -> None:
        if state.engine == Engine.VECTOR:
            self._bank_users[work.bank] -= 1
        self._complete(now, state, work)
        self._schedule(now, state)

    def _tables_filled(self, now: float, state: EngineState, work: Work) -> None:
        self._filling = None
        self._filled[work.bank] = now
        self._complete(now, state, work)
        self._schedule(now, state)

    # LOAD

    def _begin_load(self, now: float, state: EngineState, work: Work) -> None:
        state.pending = False
        self._load_work = work
        self._load_position = 0
        state.stream = work
        self._issue_load(now)

    def _issue_load(self, now: float) -> None:
        """Issue the next burst of the LOAD whose turn it is."""
        if self._load_outstanding >= self.config.outstanding_reads:
            self._load_waiting = True
            return
        state, work = self.engines[Engine.LOAD], self._load_work
        self._load_position += 1
        last = self._load_position == len(work.bursts)
        burst = Burst(now, work.bursts[self._load_position - 1], work, last, self._arrive_load, self._loaded)
        self._load_outstanding += 1
        self.events.at(now + self.constants.load_request, self.channel.request, burst)
        if last:
            state.stream, state.stream_end = None, now + 1
            self._schedule(now, state)
        else:
            self.events.at(now + 1, self._issue_load)

    def _arrive_load(self, now: float, burst: Burst) -> None:
        if not burst.work.banks:
            self.events.at(now + burst.beats, self.channel.finish, burst)
            return
        self.sharing.load = Stream(burst.work, burst.beats, now, lambda end, _: self._received(end, burst))
        self.sharing.update(now)

    def _received(self, now: float, burst: Burst) -> None:
        self.sharing.load = None
        self.channel.finish(now, burst)

    def _loaded(self, now: float, burst: Burst) -> None:
        if burst.last:
            state = self.engines[Engine.LOAD]
            self.events.at(now - 1 + burst.work.latency, self._complete, state, burst.work)
        self.events.at(now + LOAD_RELEASE, self._release_load)

    def _release_load(self, now: float) -> None:
        self._load_outstanding -= 1
        if self._load_waiting:
            self._load_waiting = False
            self._issue_load(now)

    # STORE

    def _begin_store(self, now: float, state: EngineState, work: Work) -> None:
        """Nothing takes precedence over a STORE, so its whole course is known when it begins."""
        issue, beat, response = self._store_issue, self._store_beat, self._store_response
        first = None
        issue = max(issue, now - 1)
        for beats in work.bursts:
            issue = max(issue + 1, self._store_slots[0] + 1)
            beat = max(issue + self.constants.store_beat, beat + 1)
            first = beat if first is None else first
            beat += beats - 1
            response = max(beat + self.memory_latency, response + 1)
            self._store_slots.append(response)
        self._store_issue, self._store_beat, self._store_response = issue, beat, response
        self.write_beats += sum(work.bursts)
        state.pending = False
        state.stream_end = issue + 1
        work.demand = sum(work.bursts) / (beat - first + 1)
        stream = Stream(work, beat - first + 1, now, self._stored)
        self.events.at(first - self.constants.store_read, self._read_store, stream)
        self.events.at(response + work.latency, self._complete, state, work)
        self._schedule(now, state)

    def _read_store(self, now: float, stream: Stream) -> None:
        stream.updated = now
        self.sharing.store = stream
        self.sharing.update(now)

    def _stored(self, now: float, stream: Stream) -> None:
        if self.sharing.store is stream:
            self.sharing.store = None
            self.sharing.update(now)
