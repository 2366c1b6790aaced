"""Checks an image before anything of it runs: steps, programs and tensors fit its memory and its configuration.

What depends on the contents of buffers is left to the machine model, which checks every access.
"""

from bisect import bisect_right
from itertools import pairwise

import numpy as np

from systolith_golden.command_check import LARGEST_TRANSFER, missing_unit, transfer_extent
from systolith_golden.machine_error import MachineError
from systolith_golden.token_counters import TokenCounters
from systolith_spec.commands import COMMAND_BYTES, Opcode, decode
from systolith_spec.config import AcceleratorConfig

from .image_header import ImageError, Step, TensorRecord

__all__ = ["check_program", "check_steps", "check_tensors"]

_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "bool")
_LARGEST_SIZE = 1 << 31


def check_steps(steps: list[Step], size: int) -> list[range]:
    """Check the steps, whose programs are in the first `size` bytes; return the bytes of each, in order of their addresses.

    Raises
    ------
    ImageError
    """
    programs: set[range] = set()
    for number, step in enumerate(steps):
        if (step.program is None) == (step.operator is None):
            raise ImageError(f"step {number} must be either a program or an operator of the host")
        if step.operator is not None:
            if step.operator < 0 or step.commands:
                raise ImageError(f"step {number} must name an operator from 0 on and no commands")
            continue
        program = range(step.program, step.program + COMMAND_BYTES * step.commands)
        if step.commands < 1 or program.start < 0 or program.stop > size:
            raise ImageError(f"step {number} must have its commands inside the {size} bytes that are only read, "
                             f"not {program.start} to {program.stop}")
        if program.start % COMMAND_BYTES:
            raise ImageError(f"step {number} must begin at a multiple of {COMMAND_BYTES} bytes, not {program.start}")
        programs.add(program)
    ordered = sorted(programs, key=lambda program: program.start)
    for first, second in pairwise(ordered):
        if first.stop > second.start:
            raise ImageError(f"programs at {first.start} and {second.start} must not overlap")
    return ordered


def check_tensors(tensors: list[TensorRecord], programs: list[range], size: int) -> None:
    """Every tensor has a known type and lies inside memory and outside all programs; raises ImageError."""
    for tensor in tensors:
        label = f"tensor {tensor.index} ({tensor.name[:80]!r})"
        if tensor.dtype not in _DTYPES:
            raise ImageError(f"{label} must have a known type, not {tensor.dtype[:40]!r}")
        if tensor.index < 0 or len(tensor.shape) > 8 or any(not 0 <= side <= _LARGEST_SIZE for side in tensor.shape):
            raise ImageError(f"{label} must have a valid index and shape, not {tensor.shape[:9]}")
        if tensor.offset < 0 or tensor.offset + tensor.size > size:
            raise ImageError(f"{label} must lie inside the {size} bytes of memory, "
                             f"not at {tensor.offset} to {tensor.offset + tensor.size}")
        if _meets_any(range(tensor.offset, tensor.offset + tensor.size), programs):
            raise ImageError(f"{label} must lie outside all programs")


def check_program(config: AcceleratorConfig, memory: np.ndarray, writable: int, program: range) -> None:
    """Check the commands of a program, whatever the contents of buffers.

    Each command is known and asks for no unit that the configuration leaves out; transfers stay inside memory and
    buffers; what is stored goes to the bytes of memory from `writable` on, weights and parameters come from those below;
    tokens balance; END is the last command and no other.

    Raises
    ------
    ImageError
    """
    tokens = TokenCounters()
    last = len(program) // COMMAND_BYTES - 1
    for index, start in enumerate(program[::COMMAND_BYTES]):
        try:
            command, fields = decode(memory[start:start + COMMAND_BYTES].tobytes())
        except ValueError as error:
            raise ImageError(f"program at {program.start}, command {index}: {error}") from None
        where = f"program at {program.start}, command {index} ({command.name})"
        if (command.opcode == Opcode.END) != (index == last):
            raise ImageError(f"{where}: END must be the last of the {last + 1} commands, and no other")
        if command.engine is None:
            break
        if missing := missing_unit(config, command.name, fields):
            raise ImageError(f"{where}: {missing[0]} must be 0 in a configuration without {missing[1]}")
        if command.opcode in (Opcode.LOAD, Opcode.STORE):
            _check_transfer(config, _memory_range(command.opcode, fields, writable, len(memory)), fields, where)
        try:
            tokens.take(index, command.name, command.engine, fields["wait"])
            tokens.give(index, command.name, command.engine, fields["signal"])
        except MachineError as error:
            raise ImageError(f"program at {program.start}: {error}") from None
    try:
        tokens.finish(last)
    except MachineError as error:
        raise ImageError(f"program at {program.start}: {error}") from None


def _memory_range(opcode: int, fields: dict[str, int], writable: int, size: int) -> range:
    """Offsets that a transfer may touch."""
    if opcode == Opcode.STORE:
        return range(writable, size)
    return range(writable if fields["space"] else size)


def _check_transfer(config: AcceleratorConfig, memory: range, fields: dict[str, int], where: str) -> None:
    sizes = (config.activation_bytes, config.weight_bytes, config.parameter_bytes)
    space = fields.get("space", 0)
    if space >= len(sizes):
        raise ImageError(f"{where}: space must be 0, 1 or 2, not {space}")
    for name in ("length", "count_1", "count_2"):
        if fields[name] < 1:
            raise ImageError(f"{where}: {name} must be at least 1, not 0")
    if fields["length"] * fields["count_1"] * fields["count_2"] > LARGEST_TRANSFER:
        raise ImageError(f"{where}: a transfer must move at most {LARGEST_TRANSFER} bytes")
    for side, allowed in (("memory", memory), ("buffer", range(sizes[space]))):
        extent = transfer_extent(fields, side)
        if extent.start < allowed.start or extent.stop > allowed.stop:
            raise ImageError(f"{where}: {side} must be inside {allowed.start:#x} to {allowed.stop:#x}, "
                             f"not {extent.start:#x} to {extent.stop:#x}")


def _meets_any(extent: range, programs: list[range]) -> bool:
    """Whether a range has bytes in common with any program; these are in order."""
    following = bisect_right(programs, extent.start, key=lambda program: program.stop)
    return len(extent) > 0 and following < len(programs) and programs[following].start < extent.stop
