"""What each command asks of the hardware: cycles, bus beats, buffer accesses and latencies.

Everything that depends only on the configuration and on one command; how commands share the hardware is the
subject of `cycle_simulation`.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from systolith_spec.column_mode import column_outputs, column_settle
from systolith_spec.commands import COMMAND_BYTES, COMMANDS, Engine, Opcode, Space
from systolith_spec.config import AcceleratorConfig
from systolith_spec.dma_timing import (
    LOAD_RETIRE,
    STORE_FIRST_REQUEST,
    STORE_RETIRE,
    run_bursts,
    transfer_runs,
)
from systolith_spec.timing import (
    ACCUMULATE_CYCLES,
    ACTIVATION_READ_LATENCY,
    compute_start,
    compute_tail,
    tile_cycles,
    weight_lead,
)
from systolith_spec.vector_timing import (
    params_end,
    vector_elements,
    vector_fence_gap,
    vector_results,
    vector_start,
    vector_switch_gap,
    vector_write_latency,
)

__all__ = ["CycleConstants", "Work", "Workbook"]

# Acceptance of a LOAD or STORE until its first burst is planned; its address is valid a cycle later.
_FIRST_ISSUE = STORE_FIRST_REQUEST - 1
_DECODERS = {
    command.opcode: tuple(
        (f.name, f.word, f.lsb, (1 << f.width) - 1, 1 << (f.width - 1) if f.signed else 0)
        for f in command.fields
    )
    for command in COMMANDS
}
_ENGINES = {command.opcode: command.engine for command in COMMANDS}
_WORDS = struct.Struct("<16I")


@dataclass(frozen=True, kw_only=True)
class CycleConstants:
    """Cycles of the command processor and of the read channel, which have no formulas of their own.

    Attributes
    ----------
    fetch_start : int
        Start strobe to the first read address of the command fetcher.
    fetch_request : int
        Hand-over of a command to the read address that the room it leaves allows.
    fetch_gap : int
        One read address of the command fetcher to the next.
    fetch_latency : int
        Read beat to the cycle in which it is written into an engine's queue.
    prefetch_bytes, fetch_burst_bytes : int
        Room for commands that are fetched ahead, and largest burst.
    queue_latency : int
        Last beat of a command in the queue's memory to the cycle in which it may take its tokens.
    grant : int
        Tokens taken to the command being offered to the engine.
    inflight : int
        Commands of one engine between grant and retirement.
    token : int
        Retire pulse to the cycle in which the token may be taken.
    fetch_idle : int
        Last beat of the fetcher, plus one, to the cycle in which it counts as idle.
    load_request : int
        LOAD: a burst is planned to its read address.
    store_beat, store_read : int
        STORE: a burst is planned to its first write beat, at the earliest; read of the buffer to the write
        beat.
    walk_ahead : int
        Elements of VECTOR commands that may be on their way to their reads when the next command follows.
    end : int
        Last retirement to the end of the program.
    """

    fetch_start: int = 5
    fetch_request: int = 5
    fetch_gap: int = 3
    fetch_latency: int = 4
    prefetch_bytes: int = 512
    fetch_burst_bytes: int = 256
    queue_latency: int = 4
    grant: int = 1
    inflight: int = 16
    token: int = 1
    fetch_idle: int = 4
    load_request: int = 2
    store_beat: int = 10
    store_read: int = 7
    walk_ahead: int = 5
    end: int = 4


@dataclass(slots=True)
class Work:
    """One command.

    Attributes
    ----------
    engine : Engine or None
        None: END.
    wait, signal, layer : int
        Header.
    fence : bool
        Wait for all earlier commands of the engine.
    start : int
        Acceptance by an idle engine to the first cycle of the stream.
    stream : int
        Cycles until the next command's stream may begin, without stalls.
    hold : int
        First cycle of the stream to the cycle in which the next command may be accepted; may be negative.
    tail : int
        Cycles at the end of the stream that retirement does not wait for.
    latency : int
        Last cycle of the stream (less tail), last beat of a LOAD or last response of a STORE, to retirement.
    effect_begin, effect_end : int
        First cycle of the stream to the first accumulation (COMPUTE) or write (VECTOR); end to end.
    demand : float
        Activation reads in a cycle of the stream.
    banks : tuple of float
        Share of these reads in each bank; LOAD: of its writes, empty for other buffers.
    written_banks : tuple of float
        VECTOR: writes to each bank in a cycle of the stream.
    bursts : tuple of int
        Beats of each read burst (LOAD) or write burst (STORE).
    halves : tuple of float
        COMPUTE: reads for accumulation in each half of the accumulators, per cycle. VECTOR: share of its
        reads in each half; empty for other sources.
    params : bool
        PARAMS, which fills tables beside the stream of the vector engine for `stream` cycles.
    alone : bool
        PARAMS that waits for all earlier commands of its engine and holds all later ones: softmax.
    bank : int
        VECTOR and PARAMS: bank of the lane tables.
    source : int
        VECTOR: source.
    line, settle : int
        COMPUTE in column mode: positions of a line, and cycles from the end of its stream to the first position of lines
        of another length; else 0.
    urgent : bool
        COMPUTE: column mode, whose reads go before all others.
    fence_gap, switch_gap : int
        VECTOR: last read to the first read of the next command if that has the fence, or another source.
    """

    engine: Engine | None
    wait: int = 0
    signal: int = 0
    layer: int = 0
    fence: bool = False
    start: int = 0
    stream: int = 0
    hold: int = 0
    tail: int = 0
    latency: int = 0
    effect_begin: int = 0
    effect_end: int = 0
    demand: float = 0.0
    banks: tuple[float, ...] = ()
    written_banks: tuple[float, ...] = ()
    bursts: tuple[int, ...] = ()
    halves: tuple[float, ...] = ()
    params: bool = False
    alone: bool = False
    bank: int = 0
    source: int = 0
    line: int = 0
    settle: int = 0
    urgent: bool = False
    fence_gap: int = 0
    switch_gap: int = 0


class Workbook:
    """Work of commands for one configuration.

    Parameters
    ----------
    config : AcceleratorConfig
    constants : CycleConstants
    """

    def __init__(self, config: AcceleratorConfig, constants: CycleConstants):
        self.config = config
        self.constants = constants
        _, delay, _ = weight_lead(config)
        self._compute_latency = compute_tail(config)
        self._settle = column_settle(config, read_latency=ACTIVATION_READ_LATENCY + delay)
        self._bank_bytes = config.activation_bytes // config.activation_banks

    def program(self, commands: Iterable[bytes]) -> list[Work]:
        """Work of each command up to END, which is added where it is missing."""
        works = []
        for command in commands:
            works.append(self.work(command))
            if works[-1].engine is None:
                return works
        return [*works, self.work(bytes(COMMAND_BYTES))]

    def work(self, command: bytes) -> Work:
        """Decode a command and measure it."""
        if len(command) != COMMAND_BYTES:
            raise ValueError(f"A command must be {COMMAND_BYTES} bytes, not {len(command)}")
        words = _WORDS.unpack(command)
        opcode = words[0] & 0xF
        if opcode not in _DECODERS:
            raise ValueError(f"Opcode must be one of {sorted(int(o) for o in _DECODERS)}, not {opcode}")
        fields = {}
        for name, word, lsb, mask, sign in _DECODERS[opcode]:
            value = words[word] >> lsb & mask
            fields[name] = value - 2 * sign if value & sign else value
        work = Work(_ENGINES[opcode], fields["wait"], fields["signal"], fields["layer"])
        if opcode == Opcode.COMPUTE:
            self._compute(work, fields)
        elif opcode == Opcode.VECTOR:
            self._vector(work, fields)
        elif opcode == Opcode.PARAMS:
            self._params(work, fields)
        elif opcode == Opcode.LOAD:
            self._load(work, fields)
        elif opcode == Opcode.STORE:
            self._store(work, fields)
        return work

    def _compute(self, work: Work, fields: dict[str, int]) -> None:
        vectors = fields["y_count"] * fields["x_count"]
        tiles = fields["ky_count"] * fields["kx_count"] * fields["chunk_count"]
        blocks = fields["block_count"]
        period = tile_cycles(self.config, vectors)
        work.start = compute_start(self.config, vectors, tiles * blocks)
        work.stream = tiles * blocks * period
        work.tail = period - vectors
        # The register of commands is free a cycle after the feeder of the activations has taken this one.
        work.hold = 2 - work.start
        work.latency = self._compute_latency
        work.demand = vectors / period
        work.banks = self._walk_banks(fields, fields["chunk_count"] * self.config.rows)
        # Tiles that overwrite, the first of each block, do not read the accumulators; the very first one is
        # left out of the time that the accumulations take.
        work.urgent = bool(fields["column_mode"])
        if work.urgent:
            work.line, work.settle = fields["x_count"], self._settle
        outputs = column_outputs(fields)
        accumulating = outputs / period
        if not fields["accumulate"]:
            accumulating *= (tiles - 1) * blocks / max(tiles * blocks - 1, 1)
        work.effect_end = work.latency - ACCUMULATE_CYCLES + 1 - work.tail
        work.effect_begin = (
            work.effect_end + work.tail + (0 if fields["accumulate"] or tiles == 1 else period)
        )
        first, last = fields["accumulator"], fields["accumulator"] + (blocks - 1) * fields["block_step"]
        work.halves = self._halves(first, last + outputs, accumulating)

    def _vector(self, work: Work, fields: dict[str, int]) -> None:
        config = self.config
        work.fence = bool(fields["fence"])
        work.bank, work.source = fields["bank"], fields["source"]
        work.start = vector_start(config)
        work.hold = 1 - work.start
        work.stream = vector_elements(config, fields)
        work.effect_begin = work.effect_end = vector_write_latency(config, work.source)
        work.latency = work.effect_end + 1
        results = vector_results(config, fields)
        last = fields["destination"] + (fields["y_count"] - 1) * fields["destination_y"]
        last += (fields["x_count"] - 1) * fields["destination_x"] + fields["channels"]
        shares = self._range_banks(fields["destination"], last)
        work.written_banks = tuple(share * results / work.stream for share in shares)
        work.fence_gap = vector_fence_gap(config, work.source)
        work.switch_gap = vector_switch_gap(config, work.source)
        if work.source:
            work.demand = 1.0
            work.banks = self._walk_banks(fields, fields["channels"])
        else:
            blocks = -(-fields["channels"] // config.cols)
            last = (
                fields["base"] + (blocks - 1) * fields["block_step"] + fields["y_count"] * fields["x_count"]
            )
            work.halves = self._halves(fields["base"], last, 1.0)

    def _params(self, work: Work, fields: dict[str, int]) -> None:
        work.params, work.bank, work.alone = True, fields["bank"], bool(fields["softmax"])
        work.start = 1
        work.stream = params_end(self.config, fields) - 1

    def _load(self, work: Work, fields: dict[str, int]) -> None:
        work.start = _FIRST_ISSUE
        work.hold = -1
        work.latency = LOAD_RETIRE
        work.bursts = self._bursts(fields)
        if fields["space"] == Space.ACTIVATION:
            work.banks = self._transfer_banks(fields)

    def _store(self, work: Work, fields: dict[str, int]) -> None:
        work.start = _FIRST_ISSUE
        work.hold = -1
        work.latency = STORE_RETIRE
        work.bursts = self._bursts(fields)
        work.banks = self._transfer_banks(fields)

    def _transfer_banks(self, fields: dict[str, int]) -> tuple[float, ...]:
        span = (fields["count_1"] - 1) * fields["buffer_step_1"]
        span += (fields["count_2"] - 1) * fields["buffer_step_2"]
        return self._range_banks(fields["buffer"], fields["buffer"] + span + fields["length"])

    def _bursts(self, fields: dict[str, int]) -> tuple[int, ...]:
        """Beats of the bursts of all runs, in order."""
        length = fields["length"]
        return tuple(
            beats
            for memory, _ in transfer_runs(fields)
            for _, beats in run_bursts(self.config, memory, length)
        )

    def _halves(self, first: int, last: int, scale: float) -> tuple[float, float]:
        """Share of each half of the accumulators in entries first to last - 1, times scale."""
        low = max(0, min(last, self.config.accumulator_depth) - first) / (last - first)
        return scale * low, scale * (1.0 - low)

    def _walk_banks(self, fields: dict[str, int], run_bytes: int) -> tuple[float, ...]:
        """Share of each bank in the addresses of a window walk, taken as evenly spread over its range.

        Padding is read too, wherever it lies.
        """
        rows = (fields["y_count"] - 1) * fields["y_addr_step"] + (fields["ky_count"] - 1) * fields[
            "ky_addr_step"
        ]
        low, span = fields["first_byte"], (fields["x_count"] - 1) * fields["x_byte_step"] + run_bytes
        step, count = fields["kx_byte_step"], fields["kx_count"]
        if abs(step) < self._bank_bytes // 8:
            span, count = span + (count - 1) * step, 1
        # Kernel columns far apart are two tensors (an addition): a range for each.
        shares = [0.0] * self.config.activation_banks
        for kx in range(count):
            first = low + kx * step
            last = max(first + 1, min(first + span, fields["row_bytes"]))
            part = self._range_banks(fields["base"] + first, fields["base"] + rows + last)
            shares = [share + other / count for share, other in zip(shares, part, strict=True)]
        return tuple(shares)

    def _range_banks(self, low: int, high: int) -> tuple[float, ...]:
        size, banks = self._bank_bytes, self.config.activation_banks
        low %= 1 << 24
        high = low + (high - low) % (1 << 24)
        first, last = low // size, (high - 1) // size
        if first == last:
            return tuple(float(bank == first % banks) for bank in range(banks))
        shares = [0.0] * banks
        for bank in range(first, min(last, first + banks) + 1):
            shares[bank % banks] += (min(high, (bank + 1) * size) - max(low, bank * size)) / (high - low)
        return tuple(shares)
