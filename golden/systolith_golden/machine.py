"""Machine-level golden model: executes command streams, byte for byte as the accelerator does.

Commands run one after another in stream order. Tokens only relax that order, so for a well-formed program
the result is that of the hardware; the model checks that a program is well formed, and optionally that tokens
order every pair of accesses that must not be swapped (`check_hazards`).
"""

from dataclasses import dataclass, field
from math import prod

import numpy as np

from systolith_spec.commands import COMMAND_BYTES, Engine, Opcode, Rounding, Space, command_for_opcode, decode
from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import ACCUMULATE_CYCLES, tile_cycles
from systolith_spec.widths import largest_row_bytes

from .arithmetic import INT32_MAX, INT32_MIN, requantize, wrap_int32
from .column_product import column_product, column_reach, lanes_used, output_positions
from .command_check import LARGEST_COMMAND, LARGEST_OFFSET, LARGEST_TRANSFER, missing_unit, transfer_extent
from .hazard_tracker import HazardTracker
from .machine_error import HazardError, MachineError
from .tables import softmax_scale
from .token_counters import TokenCounters
from .window_walk import ADDRESS_MODULUS, WindowWalk

__all__ = ["UNWRITTEN", "HazardError", "Machine", "MachineError", "RunStatistics", "program_commands"]

UNWRITTEN = 0xA5
"""Byte that fills buffers before the first write; accumulators and tables hold it four times."""
_UNWRITTEN_WORD = int(np.array([UNWRITTEN] * 4, np.uint8).view(np.int32)[0])
_SPACE_NAMES = {Space.ACTIVATION: "activation", Space.WEIGHT: "weight", Space.PARAMETER: "parameter"}
_OPERAND_SHIFT = 20


@dataclass
class RunStatistics:
    """What a run did.

    Attributes
    ----------
    commands : dict of str to int
        Commands of each engine, by name; "END" is not counted.
    layer_commands : dict of int to dict of str to int
        The same for each layer.
    bytes_read, bytes_written : int
        Bytes of AXI beats: aligned, whole beats of every run; commands (END too) are included in the reads.
    layer_macs : dict of int to int
        Multiplications that each layer streams through the array, useful or not: rows * cols for each vector.
    tiles, vectors : int
        Weight tiles, and activation vectors streamed under them.
    token_maximum : int
        Largest token counter in stream order.
    """

    commands: dict[str, int] = field(default_factory=lambda: {engine.name: 0 for engine in Engine})
    layer_commands: dict[int, dict[str, int]] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int = 0
    layer_macs: dict[int, int] = field(default_factory=dict)
    tiles: int = 0
    vectors: int = 0
    token_maximum: int = 0

    @property
    def macs(self) -> int:
        """Multiplications streamed by all layers."""
        return sum(self.layer_macs.values())

    @property
    def total_commands(self) -> int:
        """Commands of all engines."""
        return sum(self.commands.values())


def program_commands(
    memory: bytes | bytearray | np.ndarray, program_offset: int, base: int = 0
) -> list[bytes]:
    """Cut the program at an offset into commands, up to and including END (or as far as memory goes)."""
    commands = []
    position = base + program_offset
    while position + COMMAND_BYTES <= len(memory):
        command = bytes(memory[position : position + COMMAND_BYTES])
        commands.append(command)
        if command[0] & 0xF == Opcode.END:
            break
        position += COMMAND_BYTES
    return commands


class Machine:
    """An accelerator and its main memory.

    Buffers, accumulators and lane tables keep their contents from run to run, as in the hardware. Operand scales
    do not; so a program must fill the tables that it uses, which `check_undefined` verifies.

    Parameters
    ----------
    config : AcceleratorConfig
    memory : bytearray or np.ndarray
        Main memory, uint8; STORE commands change it in place. Its first byte has address 0.
    base : int
        Register BASE: address of offset 0.
    limit : int
        Register LIMIT: bytes from BASE that a program may touch; 0: no limit but the end of `memory`.
    writable : int
        Register WRITABLE: first byte offset from BASE that a program may write; commands lie below, unless it is 0.
    check_hazards : bool
        Verify that tokens and fences order all accesses to the same bytes.
    check_undefined : bool
        Reject reads of buffer bytes, accumulator entries and table lanes that nothing has written.

    Attributes
    ----------
    activation, weight, parameter : np.ndarray
        Buffers, uint8.
    accumulators : np.ndarray
        int32, shape (accumulator_entries, cols).
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        memory: bytearray | np.ndarray,
        base: int = 0,
        limit: int = 0,
        writable: int = 0,
        *,
        check_hazards: bool = False,
        check_undefined: bool = False,
    ):
        self.config = config
        self.memory = np.frombuffer(memory, np.uint8) if isinstance(memory, bytearray) else memory
        if self.memory.dtype != np.uint8 or self.memory.ndim != 1 or not self.memory.flags.writeable:
            raise ValueError("Memory must be a bytearray or a writeable one-dimensional uint8 array")
        if base % 4096:
            raise ValueError(f"Base must be a multiple of 4096, not {base!r}")
        if max(len(self.memory), limit) > LARGEST_OFFSET:
            raise ValueError(f"Memory and limit must be at most {LARGEST_OFFSET} bytes, not {len(self.memory)} and {limit}")
        self.base = base
        self.limit = limit or max(0, len(self.memory) - base)
        self.writable = writable
        self.check_hazards = check_hazards
        self.check_undefined = check_undefined
        # One spare element behind the end holds the padding value during window walks.
        self._activation = np.full(config.activation_bytes + 1, UNWRITTEN, np.uint8)
        self.activation = self._activation[:-1]
        self.weight = np.full(config.weight_bytes, UNWRITTEN, np.uint8)
        self.parameter = np.full(config.parameter_bytes, UNWRITTEN, np.uint8)
        self.accumulators = np.full((config.accumulator_entries, config.cols), _UNWRITTEN_WORD, np.int32)
        table = (2, config.table_channels)
        self._bias = np.full(table, _UNWRITTEN_WORD, np.int64)
        self._multiplier = np.full(table, _UNWRITTEN_WORD & INT32_MAX, np.int64)
        self._exponent = np.zeros(table, np.int64)
        self._operands = [((0, 0), (0, 0)), ((0, 0), (0, 0))]
        self._table_defined = np.zeros(table, bool)
        sizes = {
            "activation": config.activation_bytes,
            "weight": config.weight_bytes,
            "parameter": config.parameter_bytes,
            "accumulator": config.accumulator_entries,
        }
        self._defined = {space: np.zeros(size, bool) for space, size in sizes.items()}
        self._sizes = {**sizes, "memory": len(self.memory)}
        self._buffers = {"activation": self.activation, "weight": self.weight, "parameter": self.parameter}
        self._index, self._opcode = 0, ""
        self._program = range(0)
        self._last_tile = 0, np.arange(0), 0
        self._hazards: HazardTracker | None = None
        self._statistics = RunStatistics()

    def run(self, program_offset: int) -> RunStatistics:
        """Execute the commands from a memory offset until END.

        Raises
        ------
        MachineError
            A command breaks a rule of the command set; memory holds what was stored until then.
        HazardError
            With `check_hazards`: accesses that nothing orders.
        """
        if program_offset % COMMAND_BYTES:
            raise ValueError(f"Program offset must be a multiple of {COMMAND_BYTES}, not {program_offset!r}")
        self._statistics = statistics = RunStatistics()
        self._hazards = HazardTracker(self._sizes) if self.check_hazards else None
        self._program = range(program_offset, program_offset)
        self._operands = [((0, 0), (0, 0)), ((0, 0), (0, 0))]
        self._table_defined[:] = False
        self._last_tile = 0, np.arange(0), 0
        tokens = TokenCounters()
        actions = {
            Opcode.LOAD: self._load,
            Opcode.COMPUTE: self._compute,
            Opcode.VECTOR: self._vector,
            Opcode.PARAMS: self._params,
            Opcode.STORE: self._store,
        }
        index = 0
        while True:
            command, fields = self._fetch(index, program_offset)
            statistics.bytes_read += COMMAND_BYTES
            engine = command.engine
            if engine is None:
                break
            givers = tokens.take(index, command.name, engine, fields["wait"])
            if self._hazards:
                alone = bool(fields.get("fence", 0) or fields.get("softmax", 0))
                self._hazards.start(index, command.name, engine, givers, alone)
            statistics.commands[engine.name] += 1
            layer = statistics.layer_commands.setdefault(fields["layer"], {e.name: 0 for e in Engine})
            layer[engine.name] += 1
            self._check_units(fields)
            actions[command.opcode](fields)
            tokens.give(index, command.name, engine, fields["signal"])
            index += 1
        for key in ("wait", "signal"):
            self._require(fields[key] == 0, key, "0", fields[key])
        tokens.finish(index)
        statistics.token_maximum = tokens.maximum
        return statistics

    def _fetch(self, index: int, program_offset: int):
        self._index, self._opcode = index, "fetch"
        offset = program_offset + index * COMMAND_BYTES
        self._check_memory("program", offset, COMMAND_BYTES)
        if self.writable:
            self._require(
                offset + COMMAND_BYTES <= self.writable,
                "program",
                f"below {self.writable:#x} (WRITABLE) from BASE",
                f"{offset:#x} to {offset + COMMAND_BYTES:#x}",
            )
        self._program = range(program_offset, offset + COMMAND_BYTES)
        data = self.memory[self.base + offset : self.base + offset + COMMAND_BYTES].tobytes()
        try:
            self._opcode = command_for_opcode(data[0] & 0xF).name
        except ValueError as error:
            raise MachineError(index, "unknown", str(error), field="opcode", value=data[0] & 0xF) from None
        return decode(data)

    # Checks

    def _require(self, rule: bool, name: str, text: str, value: object) -> None:
        if not rule:
            raise MachineError(
                self._index, self._opcode, f"{name} must be {text}, not {value!r}", field=name, value=value
            )

    def _require_positive(self, fields: dict[str, int], *names: str) -> None:
        for name in names:
            self._require(fields[name] >= 1, name, "at least 1", fields[name])

    def _check_units(self, fields: dict[str, int]) -> None:
        if missing := missing_unit(self.config, self._opcode, fields):
            name, unit = missing
            self._require(False, name, f"0 in a configuration without {unit}", fields[name])

    def _check_work(self, *counts: int, limit: int = LARGEST_COMMAND) -> None:
        """A command that repeats itself without end must not take all memory."""
        touched = prod(counts)
        self._require(touched <= limit, "work", f"at most {limit} bytes for one command", touched)

    def _check_memory(self, name: str, offset: int, length: int) -> None:
        self._require(
            offset >= 0 and offset + length <= self.limit,
            name,
            f"inside the {self.limit} bytes (LIMIT) from BASE",
            f"{offset:#x} to {offset + length:#x}",
        )
        self._require(
            self.base + offset + length <= len(self.memory),
            name,
            f"inside the {len(self.memory)} bytes of memory",
            f"{self.base + offset:#x} to {self.base + offset + length:#x}",
        )

    def _read(self, space: str, where: slice | np.ndarray) -> None:
        """Record a read of (bytes of) a space for the optional checks."""
        if self.check_undefined and space != "memory":
            missing = ~self._defined[space][where]
            if missing.any():
                place = int(np.flatnonzero(missing.reshape(-1))[0])
                address = where.start + place if isinstance(where, slice) else int(where.reshape(-1)[place])
                self._require(False, space, "written before it is read", hex(address))
        if self._hazards:
            self._hazards.read(space, where)

    def _write(self, space: str, where: slice | np.ndarray) -> None:
        """Record a write, for the same."""
        if self._hazards:
            self._hazards.write(space, where)
        if space != "memory":
            self._defined[space][where] = True

    # LOAD and STORE

    def _transfer(self, fields: dict[str, int], space: str) -> tuple[np.ndarray, np.ndarray, int]:
        """Check a transfer; return memory offsets and buffer addresses of its runs, and the run length."""
        self._require_positive(fields, "length", "count_1", "count_2")
        extent = transfer_extent(fields, "memory")
        self._check_memory("memory", extent.start, len(extent))
        extent = transfer_extent(fields, "buffer")
        self._require(
            0 <= extent.start and extent.stop <= self._sizes[space],
            "buffer",
            f"inside the {self._sizes[space]} bytes of the {space} buffer",
            f"{extent.start:#x} to {extent.stop:#x}",
        )
        self._check_work(fields["length"], fields["count_1"], fields["count_2"], limit=LARGEST_TRANSFER)
        inner = np.arange(fields["count_1"], dtype=np.int64)[None, :]
        outer = np.arange(fields["count_2"], dtype=np.int64)[:, None]
        memory = (
            fields["memory"] + inner * fields["memory_step_1"] + outer * fields["memory_step_2"]
        ).reshape(-1)
        memory &= (1 << 32) - 1
        buffer = (
            fields["buffer"] + inner * fields["buffer_step_1"] + outer * fields["buffer_step_2"]
        ).reshape(-1)
        buffer &= ADDRESS_MODULUS - 1
        length = fields["length"]
        return memory, buffer, length

    def _beats(self, memory: np.ndarray, length: int) -> int:
        """Bytes of the aligned beats that cover each run."""
        width = self.config.axi_bytes
        return int(((memory + length - 1) // width - memory // width + 1).sum()) * width

    @staticmethod
    def _where(starts: np.ndarray, length: int) -> slice | np.ndarray:
        """Index of all bytes of the runs, in order; a slice when they are contiguous."""
        if len(starts) == 1 or bool(np.all(np.diff(starts) == length)):
            return slice(int(starts[0]), int(starts[0]) + length * len(starts))
        return (starts[:, None] + np.arange(length)).reshape(-1)

    def _load(self, fields: dict[str, int]) -> None:
        self._require(fields["space"] in _SPACE_NAMES, "space", "0, 1 or 2", fields["space"])
        space = _SPACE_NAMES[Space(fields["space"])]
        memory, buffer, length = self._transfer(fields, space)
        self._statistics.bytes_read += self._beats(memory, length)
        if space != "activation":
            width = self.config.axi_bytes
            for name, values in (("memory", memory), ("buffer", buffer)):
                wrong = values[values % width != 0]
                self._require(
                    not len(wrong),
                    name,
                    f"a multiple of the AXI width, {width} bytes, for space {space}",
                    int(wrong[0]) if len(wrong) else 0,
                )
            self._require(
                length % width == 0,
                "length",
                f"a multiple of the AXI width, {width} bytes, for space {space}",
                length,
            )
        source, target = self._where(memory + self.base, length), self._where(buffer, length)
        self._read("memory", source)
        self._write(space, target)
        self._buffers[space][target] = self.memory[source]

    def _store(self, fields: dict[str, int]) -> None:
        memory, buffer, length = self._transfer(fields, "activation")
        lowest = int(memory.min())
        self._require(
            lowest >= self.writable, "memory", f"at least {self.writable:#x} (WRITABLE) from BASE", hex(lowest)
        )
        self._statistics.bytes_written += self._beats(memory, length)
        overlap = (memory < self._program.stop) & (memory + length > self._program.start)
        self._require(
            not overlap.any(),
            "memory",
            f"outside the program, {self._program.start:#x} to {self._program.stop:#x}",
            hex(int(memory[overlap][0])) if overlap.any() else "",
        )
        source, target = self._where(buffer, length), self._where(memory + self.base, length)
        self._read("activation", source)
        self._write("memory", target)
        self.memory[target] = self.activation[source]

    # COMPUTE

    def _compute(self, fields: dict[str, int]) -> None:
        config = self.config
        self._require_positive(
            fields, "y_count", "x_count", "ky_count", "kx_count", "chunk_count", "block_count"
        )
        blocks, pixels = fields["block_count"], fields["y_count"] * fields["x_count"]
        tiles = fields["ky_count"] * fields["kx_count"] * fields["chunk_count"]
        self._check_work(pixels, tiles, config.rows)
        weights = self._tiles(fields, blocks, tiles)
        walk = WindowWalk(fields, np.arange(fields["chunk_count"]) * config.rows, config.rows)
        # Lanes under zero weights only do not matter: they may hold anything.
        columns = fields["column_mode"]
        if columns:
            self._check_columns(fields, weights)
            flat = weights.reshape(-1, config.rows, config.cols)
            lanes = lanes_used(config, flat).reshape(blocks, tiles, config.rows)
        else:
            lanes = weights.any(axis=-1)
        used = lanes.any(axis=0).reshape(walk.shape[2:]).any(axis=0)
        self._check_walk(walk, used)
        positions = output_positions(fields)
        outputs = len(positions)
        vectors = walk.gather(self._activation.view(np.int8)).reshape(pixels, tiles * config.rows)
        # Sums of up to 1024 products of int8 are exact in float32, of any practical number in float64.
        kind = np.float32 if vectors.shape[1] <= 1024 else np.float64
        if not columns:
            vectors = vectors.astype(kind)
        entries = fields["accumulator"] + np.arange(blocks) * fields["block_step"]
        last = int(entries[-1]) + outputs - 1
        self._require(
            last < config.accumulator_entries,
            "accumulator",
            f"such that all entries lie below {config.accumulator_entries}",
            f"{fields['accumulator']} to {last}",
        )
        for entry in entries.tolist():
            self._check_tile(entry, positions, pixels)
        for block, entry in enumerate(entries):
            where = slice(int(entry), int(entry) + outputs)
            if columns:
                by_tile = vectors.reshape(pixels, tiles, config.rows)
                sums = sum(column_product(config, by_tile[:, tile], weights[block, tile], positions, fields["x_count"])
                           for tile in range(tiles))
            else:
                sums = vectors @ weights[block].reshape(-1, config.cols).astype(kind)
            if fields["accumulate"]:
                self._read("accumulator", where)
                sums = sums.astype(np.int64) + self.accumulators[where]
            self._write("accumulator", where)
            self.accumulators[where] = sums.astype(np.int64)  # wraps at 32 bits
        self._statistics.tiles += blocks * tiles
        self._statistics.vectors += blocks * tiles * pixels
        layer = self._statistics.layer_macs
        layer[fields["layer"]] = (
            layer.get(fields["layer"], 0) + blocks * tiles * pixels * config.rows * config.cols
        )

    def _check_columns(self, fields: dict[str, int], weights: np.ndarray) -> None:
        """Rules of column mode: what the lines hold, and that no sum needs vectors outside its tile."""
        config = self.config
        self._require_positive(fields, "valid_columns", "column_step")
        self._require(fields["chunk_count"] == 1, "chunk_count", "1 in column mode", fields["chunk_count"])
        line, rows = fields["x_count"], fields["y_count"]
        longest = config.line_depth - config.depthwise_taps
        self._require(
            config.depthwise_streams == 1 or line <= longest, "x_count", f"at most {longest} in column mode", line
        )
        self._require(
            fields["skip_rows"] < rows, "skip_rows", f"less than y_count, {rows}", fields["skip_rows"]
        )
        self._require(
            fields["valid_columns"] <= line, "valid_columns", f"at most x_count, {line}", fields["valid_columns"]
        )
        positions = output_positions(fields)
        low, high = column_reach(config, weights.reshape(-1, config.rows, config.cols), line)
        self._require(
            positions[0] + low >= 0 and positions[-1] + high < rows * line,
            "weights",
            f"0 where a sum would need vectors outside the {rows * line} of the tile",
            f"{int(positions[0]) + low} to {int(positions[-1]) + high}",
        )

    def _check_tile(self, entry: int, positions: np.ndarray, pixels: int) -> None:
        """An accumulator entry must not be updated again before its last update has been written."""
        before, earlier, period = self._last_tile
        first, last = max(entry, before), min(entry + len(positions), before + len(earlier))
        if first < last:
            # Cycles from the old tile's update of an entry to the new tile's.
            distance = period + positions[first - entry : last - entry] - earlier[first - before : last - before]
            self._require(
                int(distance.min()) >= ACCUMULATE_CYCLES,
                "accumulator",
                f"such that no entry is updated twice within {ACCUMULATE_CYCLES} cycles",
                entry,
            )
        self._last_tile = entry, positions, tile_cycles(self.config, pixels)

    def _tiles(self, fields: dict[str, int], blocks: int, tiles: int) -> np.ndarray:
        """Weights of a COMPUTE command, int8, shape (blocks, tiles, rows, cols)."""
        config = self.config
        start, size = fields["weights"], blocks * tiles * config.tile_bytes
        self._require(
            start % config.axi_bytes == 0,
            "weights",
            f"a multiple of the AXI width, {config.axi_bytes} bytes",
            start,
        )
        self._require(
            start + size <= config.weight_bytes,
            "weights",
            f"such that all {blocks * tiles} tiles lie in the {config.weight_bytes} bytes of the buffer",
            f"{start:#x} to {start + size:#x}",
        )
        where = slice(start, start + size)
        self._read("weight", where)
        return self.weight[where].view(np.int8).reshape(blocks, tiles, config.rows, config.cols)

    def _check_walk(self, walk: WindowWalk, used: np.ndarray | None = None) -> np.ndarray:
        """Check the coordinates and addresses of a window walk; return those that are read."""
        longest = largest_row_bytes(self.config)
        row_bytes = walk.fields["row_bytes"]
        self._require(row_bytes <= longest, "row_bytes", f"at most {longest}", row_bytes)
        reach = longest + 1 - self.config.activation_word
        lowest, highest = int(walk.byte.min(initial=0)), int(walk.byte.max(initial=0))
        self._require(
            -reach <= lowest and highest < reach,
            "first_byte",
            f"such that all bytes of the walk are {-reach} to {reach - 1}",
            f"{lowest} to {highest}",
        )
        touched = walk.touched(used)
        self._check_activation("base", touched)
        self._read("activation", touched)
        return touched

    def _check_activation(self, name: str, addresses: np.ndarray) -> None:
        size = self.config.activation_bytes
        highest = int(addresses.max(initial=0))
        self._require(
            highest < size,
            name,
            f"such that all addresses lie in the {size} bytes of the activation buffer",
            hex(highest),
        )

    # VECTOR and PARAMS

    def _vector(self, fields: dict[str, int]) -> None:
        config = self.config
        self._require_positive(fields, "y_count", "x_count", "channels")
        self._require(
            fields["minimum"] <= fields["maximum"],
            "minimum",
            f"at most maximum, {fields['maximum']}",
            fields["minimum"],
        )
        self._require(fields["rounding"] in list(Rounding), "rounding", "0, 1 or 2", fields["rounding"])
        channels = fields["channels"]
        window = (fields["ky_count"], fields["kx_count"]) if fields["source"] else (config.cols,)
        self._check_work(fields["y_count"], fields["x_count"], channels, *window)
        table = np.arange(channels) % config.table_channels
        bank = fields["bank"]
        if self.check_undefined:
            missing = ~self._table_defined[bank, table]
            self._require(
                not missing.any(),
                "lane tables",
                "filled by PARAMS before they are used",
                f"channel {int(missing.argmax())} of bank {bank}",
            )
        destination = self._destination(fields, channels)
        if fields["source"]:
            sums = self._reduce_window(fields, channels, destination)
        else:
            sums = self._read_accumulators(fields, channels)
        bias = self._bias[bank, table]
        if fields["bias_follows_sign"]:
            bias = np.where(sums < 0, -bias, bias)
        rounding = Rounding(fields["rounding"])
        scale = self._multiplier[bank, table], self._exponent[bank, table]
        scaled = self._requantize(wrap_int32(sums + bias), *scale, rounding)
        results = np.clip(scaled + fields["zero_out"], fields["minimum"], fields["maximum"])
        self._write("activation", destination)
        self.activation.view(np.int8)[destination] = results.astype(np.int8)

    @staticmethod
    def _requantize(
        values: np.ndarray, multiplier: np.ndarray, exponent: np.ndarray, rounding: Rounding
    ) -> np.ndarray:
        if rounding != Rounding.TRUNCATE:
            return requantize(values, multiplier, exponent, rounding.name.lower())
        product = np.abs(values) * multiplier >> (31 - exponent)
        return np.clip(np.where(values < 0, -product, product), INT32_MIN, INT32_MAX)

    def _destination(self, fields: dict[str, int], channels: int) -> np.ndarray:
        """Buffer address of every output byte, shape (y, x, channel)."""
        y = np.arange(fields["y_count"], dtype=np.int64)[:, None, None] * fields["destination_y"]
        x = np.arange(fields["x_count"], dtype=np.int64)[:, None] * fields["destination_x"]
        addresses = (fields["destination"] + y + x + np.arange(channels)) & (ADDRESS_MODULUS - 1)
        self._check_activation("destination", addresses)
        return addresses

    def _read_accumulators(self, fields: dict[str, int], channels: int) -> np.ndarray:
        """Accumulators of each pixel, int64, shape (y, x, channels)."""
        cols, pixels = self.config.cols, fields["y_count"] * fields["x_count"]
        blocks = -(-channels // cols)
        entries = fields["base"] + np.arange(pixels)[:, None] + np.arange(blocks) * fields["block_step"]
        last = int(entries.max())
        self._require(
            last < self.config.accumulator_entries,
            "base",
            f"such that all entries lie below {self.config.accumulator_entries}",
            f"{fields['base']} to {last}",
        )
        self._read("accumulator", entries)
        sums = self.accumulators[entries].reshape(fields["y_count"], fields["x_count"], blocks * cols)
        return sums[..., :channels].astype(np.int64)

    def _reduce_window(self, fields: dict[str, int], channels: int, destination: np.ndarray) -> np.ndarray:
        """Elements of the window walk, scaled and reduced: int64, shape (y, x, channels)."""
        self._require_positive(fields, "ky_count", "kx_count")
        walk = WindowWalk(fields, np.zeros(1, np.int64), channels)
        touched = self._check_walk(walk)
        if touched.size and touched.min() <= destination.max() and destination.min() <= touched.max():
            self._check_in_place(walk, destination)
        elements = walk.gather(self._activation.view(np.int8))[..., 0, :].astype(
            np.int64
        )  # y, x, ky, kx, channel
        if fields["operand_scale"]:
            for odd, (multiplier, exponent) in enumerate(self._operands[fields["bank"]]):
                part = elements[:, :, :, odd::2] - (fields["zero_b"] if odd else fields["zero_a"])
                elements[:, :, :, odd::2] = requantize(part << _OPERAND_SHIFT, multiplier, exponent, "double")
        else:
            elements -= fields["zero_a"]
        if fields["maximum_reduce"]:
            return elements.max(axis=(2, 3))
        return wrap_int32(elements.sum(axis=(2, 3)))

    def _check_in_place(self, walk: WindowWalk, destination: np.ndarray) -> None:
        """A command that overwrites its own source must have read each byte before, whatever the pipeline."""
        lanes = self.config.vector_lanes
        groups = -(-destination.shape[-1] // lanes)
        pixels = np.arange(destination.shape[0] * destination.shape[1]).reshape(destination.shape[:2])
        step = pixels[..., None] * groups + np.arange(destination.shape[-1]) // lanes
        written = np.full(self.config.activation_bytes, np.iinfo(np.int64).max)
        np.minimum.at(written, destination, step)
        steps = np.broadcast_to(step[:, :, None, None, None, :], walk.shape)[walk.inside]
        addresses = walk.addresses[walk.inside]
        late = written[addresses] < steps
        self._require(
            not late.any(),
            "destination",
            "such that the command does not overwrite bytes that it reads later",
            hex(int(addresses[late.argmax()])) if late.any() else "",
        )

    def _check_scale(
        self, name: str, multipliers: np.ndarray, exponents: np.ndarray, highest: int = 30
    ) -> None:
        for value in multipliers[multipliers > INT32_MAX][:1]:
            self._require(False, f"multiplier{name}", "0 to 2**31 - 1", int(value))
        for value in exponents[(exponents < -31) | (exponents > highest)][:1]:
            self._require(False, f"exponent{name}", f"-31 to {highest}", int(value))

    def _params(self, fields: dict[str, int]) -> None:
        config, channels, bank = self.config, fields["channels"], fields["bank"]
        self._require(
            1 <= channels <= config.table_channels, "channels", f"1 to {config.table_channels}", channels
        )
        if fields["softmax"]:
            self._softmax(fields)
            return
        immediate = fields["bias_immediate"], fields["scale_immediate"]
        count = config.table_channels if all(immediate) else channels
        words = self.parameter.view("<i4").astype(np.int64)
        if immediate[0]:
            bias = np.full(count, fields["bias"], np.int64)
        else:
            bias = words[self._parameter_words("bias_base", fields["bias_base"], count)]
        if immediate[1]:
            multiplier = np.full(count, fields["multiplier"], np.int64)
            exponent = np.full(count, fields["exponent"], np.int64)
        else:
            self._require(fields["scale_base"] % 2 == 0, "scale_base", "even", fields["scale_base"])
            pairs = words[self._parameter_words("scale_base", fields["scale_base"], 2 * count)].reshape(-1, 2)
            multiplier = pairs[:, 0] & 0xFFFF_FFFF
            exponent = pairs[:, 1].astype(np.int8).astype(np.int64)  # the low 8 bits
        self._check_scale("", multiplier, exponent)
        if config.residual_add:
            for name in ("a", "b"):
                self._check_scale(
                    f"_{name}",
                    np.array([fields[f"multiplier_{name}"]]),
                    np.array([fields[f"exponent_{name}"]]),
                    highest=0,
                )
        self._bias[bank, :count] = bias
        self._multiplier[bank, :count] = multiplier
        self._exponent[bank, :count] = exponent
        self._table_defined[bank, :count] = True
        self._operands[bank] = tuple((fields[f"multiplier_{n}"], fields[f"exponent_{n}"]) for n in ("a", "b"))

    def _softmax(self, fields: dict[str, int]) -> None:
        """Exponentials as biases, the reciprocal of their sum as the scale of the whole bank."""
        channels, bank, first = fields["channels"], fields["bank"], fields["values"]
        size = self.config.activation_bytes
        self._require(first + channels <= size, "values", f"such that all values lie below {size:#x}", hex(first))
        self._read("activation", slice(first, first + channels))
        values = self.activation.view(np.int8)[first : first + channels].astype(np.int64)
        table = self.parameter.view("<i4").astype(np.int64)[self._parameter_words("bias_base", fields["bias_base"], 256)]
        exponentials = table[values.max() - values]
        lowest = int(exponentials.min())
        self._require(
            lowest >= 0 and int(exponentials.max()) >= (1 << 31) - (1 << 12), "exponentials",
            "0 to 2**31 - 1, that of the largest value nearly 2**31", lowest)  # fmt: skip
        scale, exponent = softmax_scale(exponentials)
        self._require(int(exponent[0]) >= -31, "exponentials", "such that their sum is below 256", channels)
        self._bias[bank, :channels] = exponentials
        self._multiplier[bank], self._exponent[bank] = scale[0], exponent[0]
        self._table_defined[bank] = False
        self._table_defined[bank, :channels] = True

    def _parameter_words(self, name: str, first: int, count: int) -> slice:
        words = self.config.parameter_bytes // 4
        self._require(first + count <= words, name, f"such that all {count} words lie below {words}", first)
        self._read("parameter", slice(4 * first, 4 * (first + count)))
        return slice(first, first + count)
