"""What each command asks of the hardware: cycles, bus beats, buffer accesses and latencies.

Everything that depends only on the configuration and on one command; how commands share the hardware is the
subject of `cycle_simulation`.
"""

import struct
from dataclasses import dataclass

from systolith_spec.commands import COMMAND_BYTES, COMMANDS, Engine, Opcode
from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import (
    ACCUMULATE_CYCLES,
    ACTIVATION_READ_LATENCY,
    array_latency,
    tile_cycles,
    weight_lead,
)

__all__ = ["CycleConstants", "Work", "Workbook"]

_PAGE = 4096
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
    """Cycles of the blocks that have no formulas of their own.

    Attributes
    ----------
    fetch_start : int
        Start strobe to the first read address of the command fetcher.
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
    fence : int
        Retirement to the first read of a VECTOR command that waited for it.
    load_start, load_gap, load_run, load_retire : int
        LOAD: acceptance to read address; between the addresses of bursts; added for each run; last beat to
        retirement.
    store_start, store_run, store_response : int
        STORE: acceptance to the first write beat; added for each run; last write beat to retirement, without
        the latency of memory.
    vector_start : int
        VECTOR: acceptance to the first read.
    accumulator_latency, window_latency, scaled_latency : int
        VECTOR: last read to retirement for accumulator sources, activation sources, and with operand_scale.
    params_start, params_latency : int
        PARAMS: acceptance to the first read of the parameter buffer; last read to retirement.
    end : int
        Last retirement to the end of the program.
    """

    fetch_start: int = 4
    fetch_gap: int = 2
    fetch_latency: int = 3
    prefetch_bytes: int = 512
    fetch_burst_bytes: int = 256
    queue_latency: int = 4
    grant: int = 1
    inflight: int = 16
    token: int = 1
    fence: int = 5
    load_start: int = 4
    load_gap: int = 1
    load_run: int = 0
    load_retire: int = 3
    store_start: int = 12
    store_run: int = 0
    store_response: int = 3
    vector_start: int = 5
    accumulator_latency: int = 20
    window_latency: int = 24
    scaled_latency: int = 36
    params_start: int = 4
    params_latency: int = 6
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
    tail : int
        Cycles at the end of the stream that retirement does not wait for.
    latency : int
        Last cycle of the stream (less tail) to retirement.
    demand : float
        Activation reads in a cycle of the stream.
    banks : tuple of float
        Share of these reads in each bank.
    bursts : tuple of int
        Beats of each read burst (LOAD) or write burst (STORE).
    """

    engine: Engine | None
    wait: int = 0
    signal: int = 0
    layer: int = 0
    fence: bool = False
    start: int = 0
    stream: int = 0
    tail: int = 0
    latency: int = 0
    demand: float = 0.0
    banks: tuple[float, ...] = ()
    bursts: tuple[int, ...] = ()


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
        lead, delay, _ = weight_lead(config)
        self._compute_start = max(1 + max(config.rows - lead, 1), 5)
        self._compute_latency = (
            ACTIVATION_READ_LATENCY + 1 + delay + array_latency(config) + ACCUMULATE_CYCLES - 3
        )
        self._bank_bytes = config.activation_bytes // config.activation_banks

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
        tiles = fields["block_count"] * fields["ky_count"] * fields["kx_count"] * fields["chunk_count"]
        period = tile_cycles(self.config, vectors)
        work.start = self._compute_start
        work.stream = tiles * period
        work.tail = period - vectors
        work.latency = self._compute_latency
        work.demand = vectors / period
        work.banks = self._walk_banks(fields, fields["chunk_count"] * self.config.rows)

    def _vector(self, work: Work, fields: dict[str, int]) -> None:
        constants, config = self.constants, self.config
        outputs = fields["y_count"] * fields["x_count"] * -(-fields["channels"] // config.vector_lanes)
        work.fence = bool(fields["fence"])
        work.start = constants.vector_start
        if not fields["source"]:
            work.stream = outputs
            work.latency = constants.accumulator_latency
            return
        work.stream = outputs * fields["ky_count"] * fields["kx_count"]
        work.latency = constants.scaled_latency if fields["operand_scale"] else constants.window_latency
        work.demand = 1.0
        work.banks = self._walk_banks(fields, fields["channels"])

    def _params(self, work: Work, fields: dict[str, int]) -> None:
        constants, config = self.constants, self.config
        channels = fields["channels"]
        work.start = constants.params_start
        work.latency = constants.params_latency
        if fields["bias_immediate"] and fields["scale_immediate"]:
            work.stream = config.parameter_groups
        else:
            pairs = 0 if fields["bias_immediate"] else -(-channels // 2)
            work.stream = pairs + (0 if fields["scale_immediate"] else channels)

    def _load(self, work: Work, fields: dict[str, int]) -> None:
        constants = self.constants
        work.start = constants.load_start
        work.latency = constants.load_retire
        work.bursts = self._bursts(fields)

    def _store(self, work: Work, fields: dict[str, int]) -> None:
        constants = self.constants
        work.bursts = self._bursts(fields)
        runs = fields["count_1"] * fields["count_2"]
        work.start = constants.store_start
        work.stream = sum(work.bursts) + runs * constants.store_run
        work.latency = constants.store_response
        work.demand = 1.0
        span = (fields["count_1"] - 1) * fields["buffer_step_1"] + (fields["count_2"] - 1) * fields[
            "buffer_step_2"
        ]
        work.banks = self._range_banks(fields["buffer"], fields["buffer"] + span + fields["length"])

    def _bursts(self, fields: dict[str, int]) -> tuple[int, ...]:
        """Beats of the bursts of all runs, in order."""
        beats = []
        for outer in range(fields["count_2"]):
            offset = fields["memory"] + outer * fields["memory_step_2"]
            for _ in range(fields["count_1"]):
                self._run_bursts(offset & 0xFFFF_FFFF, fields["length"], beats)
                offset += fields["memory_step_1"]
        return tuple(beats)

    def _run_bursts(self, offset: int, length: int, beats: list[int]) -> None:
        width = self.config.axi_bytes
        position, end = offset // width, (offset + length - 1) // width + 1
        page, largest = _PAGE // width, self.config.burst_beats
        while position < end:
            count = min(end - position, largest, page - position % page)
            beats.append(count)
            position += count

    def _walk_banks(self, fields: dict[str, int], run_bytes: int) -> tuple[float, ...]:
        """Share of each bank in the addresses of a window walk, taken as evenly spread over its range."""
        first, last = (
            fields["first_row"],
            fields["first_row"] + (fields["y_count"] - 1) * fields["y_row_step"],
        )
        last += (fields["ky_count"] - 1) * fields["ky_row_step"]
        # Rows outside the slab are not read; the pitch of a row follows from the steps, if there are any.
        if fields["y_row_step"]:
            pitch = fields["y_addr_step"] // fields["y_row_step"]
        else:
            pitch = fields["ky_addr_step"] // max(1, fields["ky_row_step"])
        low_row, high_row = max(first, 0), min(last, fields["rows"] - 1)
        row_zero = fields["base"] - first * pitch
        low = fields["first_byte"]
        span = (fields["x_count"] - 1) * fields["x_byte_step"] + (fields["kx_count"] - 1) * fields[
            "kx_byte_step"
        ]
        high = min(low + span + run_bytes, fields["row_bytes"])
        low = max(low, 0)
        return self._range_banks(row_zero + low_row * pitch + low, row_zero + high_row * pitch + high)

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
