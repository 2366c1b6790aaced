"""Cycle model of serial control: the microprogram is executed, without data, with the times of the blocks it drives.

Nothing overlaps but a row, a tile, a burst or a scaling with the instructions behind it, so the program's cycles are the sum
of its commands'. A command that takes as long as one before is not executed again. When the watchdog's ticks come is not
followed: each command is charged what is to be expected of them, less where they fall into a wait.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from systolith_spec.commands import COMMAND_BYTES, Engine, Opcode, Space, command_for_opcode
from systolith_spec.config import AcceleratorConfig
from systolith_spec.micro_instructions import ARGUMENT_WIDTH, INDIRECT, Action, Condition, Operation
from systolith_spec.microprogram import (
    COMMAND_WORD,
    PARAMETER_WORD,
    TABLE_ENTRY_WORDS,
    TABLE_WORD,
    TOKEN_WORD,
    burst_bytes,
    microprogram,
)
from systolith_spec.registers import register

__all__ = ["SerialRun", "run_serial"]

_WORD = (1 << 32) - 1
_TOKENS = 1 << 15
_UNKNOWN = 0xF9
"""Word of the parameter buffer: an exponent of -7, as scales of layers have it."""
_ARRAY_LATENCY = 5
_SCALE_CYCLES = 24
_SINGLE_PORT_LATENCY = 3
"""Cycles from the last word of a vector to that vector; with two ports 1."""
_TICK_CYCLES = 1024
_LOOK, _LOOK_AGAIN, _LOOK_AND_WAIT = 13, 15, 18
"""Cycles of a look at the watchdog: between two instructions, with a jump, and with a jump to an action that waits."""
_RETIRE = (Action.RETIRE_LOAD, Action.RETIRE_COMPUTE, Action.RETIRE_VECTOR, Action.RETIRE_STORE)


@dataclass
class SerialRun:
    """Counts of a predicted run; times in cycles from the start strobe. ``times``: each command and the cycles it takes."""

    total: int = 0
    per_layer: dict[int, int] = field(default_factory=dict)
    per_layer_compute: dict[int, int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=lambda: {engine.name: 0 for engine in Engine})
    bytes_read: int = 0
    bytes_written: int = 0
    commands: int = 0
    times: list[tuple[bytes, int]] = field(default_factory=list)


def _shape(config: AcceleratorConfig, words: tuple[int, ...]) -> tuple:
    """What of a command its time depends on: with a single-port activation buffer also whether addresses are odd."""
    if config.activation_ports == 1:
        return _counts(words), sum((word & 1) << index for index, word in enumerate(words))
    return _counts(words)


def _counts(words: tuple[int, ...]) -> tuple[int, ...]:
    opcode, header = words[0] & 0xF, words[0] & 0xFF000FFF
    if opcode in (Opcode.LOAD, Opcode.STORE):
        return header, words[1] % 4096, words[3], words[4], words[5] % 4096, words[7] % 4096
    if opcode == Opcode.COMPUTE:
        return header, words[5] & 0xFFFF, words[7], words[11] & 0xFFFF, words[13] & 0xFFFF
    if opcode == Opcode.VECTOR:
        return header, words[5] & 0xFFFF, words[7], words[11]
    return header, words[2], words[5]


class _Machine:
    """The sequencer without data."""

    def __init__(self, config: AcceleratorConfig, memory_latency: int, memory: bytes):
        self._config = config
        self._memory = memory
        self._latency = memory_latency
        program = microprogram(config)
        self.labels = program.labels
        self._words = [(word >> ARGUMENT_WIDTH, word & ((1 << ARGUMENT_WIDTH) - 1)) for word in program.words]
        self.ram = [0] * PARAMETER_WORD + [_UNKNOWN] * PARAMETER_WORD
        for place, value in program.constants.items():
            self.ram[place] = value
        self.time = 0
        self.retired: tuple[int, int] | None = None
        self._accumulator = self._carry = self._index = 0
        self._free = {"walk": 0, "tile": 0, "sums": 0, "scaler": 0, "burst": 0}
        self.look_costs = 0
        """Cycles of looks at the watchdog, times the cycles of its tick."""
        self.looked = 0
        self._back: list[int] = []
        self._positions = self._mode = self._exponent = self._length = self._target = self._address = self._step = 0
        # Words of a vector at an even address, and cycles until it is there.
        self._vector_words, self._vector_latency = (
            (config.activation_word // 2, _SINGLE_PORT_LATENCY) if config.activation_ports == 1 else (1, 1))

    def execute(self, start: int, *ends: int) -> int:
        """Run from an address until one of others is reached; returns that."""
        address = start
        while address not in ends:
            operation, argument = self._words[address]
            address += 1
            self.time += 1
            if operation >= Operation.BRANCH:
                if operation == Operation.BRANCH + Condition.QUIET:
                    self._look(_LOOK_AGAIN if argument == self.labels["fetch"] else _LOOK)
                target = self._branch(operation - Operation.BRANCH, argument, address)
                if target is not None:
                    address = target
                    self.time += 1
            elif operation & ~INDIRECT == Operation.DO:
                self._act(argument, self._word(0, operation & INDIRECT) if operation & INDIRECT else 0)
            else:
                self._calculate(operation & ~INDIRECT, argument, operation & INDIRECT)
        return address

    def _word(self, argument: int, indirect: int) -> int:
        place = argument
        if indirect:
            place = self._index
            self._index = place & ~0xFF | (place + 1) & 0xFF
        return self.ram[place]

    def _calculate(self, operation: int, argument: int, indirect: int) -> None:
        if operation in (Operation.ST, Operation.STC):
            place = self._index if indirect else argument
            if indirect:
                self._word(0, indirect)
            self.ram[place] = self._accumulator if operation == Operation.ST else self.time & _WORD
        elif operation == Operation.SHR:
            self._accumulator >>= 8
        elif operation in (Operation.LDC, Operation.LDR):
            self._accumulator = 0
        else:
            word = self._word(argument, indirect)
            if operation == Operation.LD:
                self._accumulator = word
            elif operation == Operation.AND:
                self._accumulator &= word
            else:
                total = self._accumulator + (word if operation == Operation.ADD else -word)
                self._accumulator, self._carry = total & _WORD, total >> 32 & 1

    def _branch(self, condition: int, argument: int, following: int) -> int | None:
        if condition == Condition.CALL:
            self._back.append(following)
            return argument
        if condition == Condition.RETURN:
            return self._back.pop()
        accumulator = self._accumulator
        holds = (
            condition in (Condition.ALWAYS, Condition.QUIET)
            or (condition == Condition.ZERO and accumulator == 0)
            or (condition == Condition.NOT_ZERO and accumulator != 0)
            or (condition == Condition.NEGATIVE and accumulator >> 31)
            or (condition == Condition.NOT_NEGATIVE and not accumulator >> 31)
            or (condition == Condition.CARRY and self._carry)
            or (condition == Condition.NO_CARRY and not self._carry)
            or (condition == Condition.BURST_OVER and self.time >= self._free["burst"])
        )
        return argument if holds else None

    def _look(self, cost: int, wait: int = 0) -> None:
        """Charge a tick that has come since the last look, or comes in a wait, whose rest hides as much of it."""
        hidden = min(wait, cost)
        self.look_costs += (self.time - self.looked) * (cost - hidden) + cost * hidden - hidden * (hidden + 1) // 2
        self.looked = self.time + wait

    def _load_words(self, address: int, count: int) -> None:
        for data in struct.iter_unpack("<I", self._memory[address & ~3:][:4 * count]):
            self.ram[self._index] = data[0]
            self._word(0, INDIRECT)

    def _wait(self, *blocks: str, look: bool = True) -> None:
        ready = max(self.time, *(self._free[block] for block in blocks))
        if look:
            self._look(_LOOK_AND_WAIT, ready - self.time)
        self.time = ready

    def _reading(self, address: int, step: int, count: int) -> int:
        """Cycles in which the activation buffer takes vectors; one at an odd address of single-port RAM takes a cycle more."""
        odd = 0
        if self._vector_words > 1:
            odd = (count + address % 2) // 2 if step % 2 else address % 2 * count
        return self._vector_words * count + odd

    def _act(self, action: int, word: int) -> None:
        value, free = self._accumulator, self._free
        if action == Action.INDEX:
            self._index = value & 0x1FF
        elif action == Action.INDEX_WORDS:
            self._index = PARAMETER_WORD | value >> 2 & 0xFF
        elif action == Action.POSITIONS:
            self._positions = value & 0xFFFF
        elif action == Action.MODE:
            self._mode = value
        elif action == Action.STEP:
            self._step = value
        elif action == Action.READ_ADDRESS:
            self._address = value
        elif action == Action.WALK:
            free["walk"] = self.time + 1 + self._reading(value, self._step, self._positions)
            arrived = free["walk"] + self._vector_latency - 1
            if self._mode & 1:
                free["walk"] = free["sums"] = arrived
            else:
                free["sums"] = arrived + _ARRAY_LATENCY
        elif action == Action.LOAD_TILE:
            free["tile"] = self.time + 1 + self._config.tile_bytes // 4
        elif action == Action.WAIT_WALK:
            self._wait("walk", "tile")
        elif action == Action.SYNC:
            self._wait("walk", "tile", "sums", "scaler")
        elif action == Action.EXPONENT:
            self._wait("scaler", look=False)
            self._exponent = (word & 0xFF ^ 0x80) - 0x80
        elif action == Action.SCALE:
            right = max(-self._exponent, 0)
            free["scaler"] = self.time + _SCALE_CYCLES + max(self._exponent, 0) + right // 4 + right % 4
        elif action == Action.TARGET:
            self._target = value & 3
        elif action == Action.LENGTH:
            self._length = value & (2 * burst_bytes(self._config) - 1)
        elif action == Action.BURST:
            beats = (self._length + value % 4 + 3) // 4
            if self._target == 3:
                reading = self._reading(self._address, self._step, beats)
                free["burst"] = self.time + 2 + reading + self._vector_latency * beats + self._latency
            else:
                free["burst"] = self.time + 2 + self._latency + (self._length if self._target == 0 else beats)
                if self._target == Space.PARAMETER and self._index >= PARAMETER_WORD:  # else a command
                    self._load_words(value, beats)
        elif action == Action.WAIT_BURST:
            self._wait("burst")
        elif action in _RETIRE:
            self.retired = self.time, value >> 12 & 0xFFF


def run_serial(config: AcceleratorConfig, commands: Iterable[bytes], memory_latency: int, memory: bytes = b"") -> SerialRun:
    """Predict the run of a program; see `cycles.predict`."""
    machine = _Machine(config, memory_latency, memory)
    label, ram = machine.labels, machine.ram
    run = SerialRun()
    known: dict = {}
    look_costs = 0
    tables = slice(TABLE_WORD, TABLE_WORD + 2 * TABLE_ENTRY_WORDS * config.parameter_groups)
    counters = {name: register(name).offset // 4 for name in ("BYTES_READ", "BYTES_WRITTEN")}
    ram[register("WATCHDOG").offset // 4] = 1 << 31
    ram[register("LIMIT").offset // 4] = _WORD
    machine.execute(label["idle"], label["fetch"])
    for data in commands:
        if len(data) != COMMAND_BYTES:
            raise ValueError(f"A command must be {COMMAND_BYTES} bytes, not {len(data)}")
        words = tuple(int.from_bytes(data[4 * i:4 * i + 4], "little") for i in range(COMMAND_BYTES // 4))
        engine = command_for_opcode(words[0] & 0xF).engine
        ram[COMMAND_WORD:COMMAND_WORD + 16] = words
        begin = machine.time
        if engine is None:
            machine.execute(label["fetch"], label["end"])
            break
        run.commands += 1
        opcode = words[0] & 0xF
        # Exponents of scales decide how long a VECTOR takes, and get into the tables by a LOAD and PARAMS.
        contents: tuple[int, ...] = ()
        if opcode == Opcode.VECTOR:
            contents = tuple(ram[tables])
        elif opcode == Opcode.PARAMS and memory:
            contents = words[1], *ram[PARAMETER_WORD:]
        elif opcode == Opcode.LOAD and memory and words[0] >> 24 & 3 == Space.PARAMETER:
            contents = run.commands,  # executed each time
        key = _shape(config, words), contents
        if key not in known:
            ram[TOKEN_WORD:TOKEN_WORD + 16] = [_TOKENS] * 16
            before = [ram[place] for place in counters.values()]
            machine.looked, machine.look_costs = machine.time, 0
            machine.execute(label["fetch"], label["taken"])
            taken = machine.time
            machine.execute(label["taken"], label["retired"])
            retired = machine.retired[0]
            machine.execute(label["retired"], label["given"])
            machine.execute(label["given"], label["fetch"])
            moved = [ram[place] - old for place, old in zip(counters.values(), before, strict=True)]
            known[key] = machine.time - begin, taken - begin, retired - begin, moved, ram[tables], machine.look_costs
        cycles, taken, retired, moved, in_tables, looks = known[key]
        look_costs += looks
        machine.time = begin + cycles
        run.times.append((data, cycles))
        if opcode == Opcode.PARAMS:
            ram[tables] = in_tables
        run.bytes_read += moved[0]
        run.bytes_written += moved[1]
        run.busy[engine.name] += retired - taken
        layer = words[0] >> 12 & 0xFFF
        run.per_layer[layer] = begin + retired
        if engine == Engine.COMPUTE:
            run.per_layer_compute[layer] = begin + retired
    run.bytes_read += COMMAND_BYTES
    run.total = machine.time + look_costs // _TICK_CYCLES
    return run
