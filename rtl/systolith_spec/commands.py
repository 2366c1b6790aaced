"""The command set: one declarative table that RTL, compiler, machine model, docs and C header read.

Every command is 64 bytes: sixteen little-endian 32-bit words. Word 0 is the header, the same for all
commands. The command processor looks only at the header; it routes the command to the queue of its engine.

Conventions used by the field descriptions
------------------------------------------
* *buffer address*: byte address in the activation buffer or weight buffer.
* *memory offset*: byte offset in main memory, relative to the ``BASE`` register.
* A *window walk* addresses a tensor slab held in the activation buffer as dense NHWC. A slab has ``rows``
  rows of ``row_bytes`` valid bytes each. The walk visits (row, byte) coordinates; byte lanes outside
  ``0 <= byte < row_bytes`` or in a row outside ``0 <= row < rows`` read as ``pad`` (the zero point).
  ``base`` is the buffer address of byte 0 of row ``first_row`` (so it already contains
  ``first_row * row pitch``); address arithmetic is modulo 2**24. All bytes of a walk lie within
  twice the size of the activation buffer on both sides of byte 0 (`widths`).
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "COMMAND_BYTES", "COMMAND_WORDS", "Command", "COMMANDS", "Engine", "Field", "FieldError", "Opcode", "Rounding", "Space",
    "command_for_opcode", "decode", "encode",
]

COMMAND_WORDS = 16
COMMAND_BYTES = 4 * COMMAND_WORDS


class Engine(IntEnum):
    """The four decoupled engines; the value is the bit position in token masks."""

    LOAD = 0
    COMPUTE = 1
    VECTOR = 2
    STORE = 3


class Opcode(IntEnum):
    """Opcode of a command (header bits 3..0)."""

    END = 0
    LOAD = 1
    COMPUTE = 2
    VECTOR = 3
    PARAMS = 4
    STORE = 5


class Space(IntEnum):
    """On-chip destination of a LOAD."""

    ACTIVATION = 0
    WEIGHT = 1
    PARAMETER = 2


class FieldError(ValueError):
    """A value does not fit the field of a command."""


class Rounding(IntEnum):
    """Rounding rule of the requantizer (see the golden model's ``requantize``)."""

    DOUBLE = 0
    SINGLE = 1
    TRUNCATE = 2


@dataclass(frozen=True, kw_only=True)
class Field:
    """One bit field of a command.

    Attributes
    ----------
    name : str
    word : int
        32-bit word that holds the field, 0 to 15. Fields never cross words.
    lsb, width : int
        Position and width in bits.
    signed : bool
        Two's complement when true.
    description : str
    """

    name: str
    word: int
    lsb: int
    width: int
    signed: bool = False
    description: str = ""

    @property
    def minimum(self) -> int:
        """Smallest value that the field holds."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Largest value that the field holds."""
        return (1 << (self.width - self.signed)) - 1


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command: its opcode, the engine that executes it (None: the command processor) and its fields."""

    name: str
    opcode: Opcode
    engine: Engine | None
    description: str
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """Look a field up by name."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"Command {self.name} has no field {name!r}")


def _f(name: str, word: int, lsb: int, width: int, description: str, signed: bool = False) -> Field:
    return Field(name=name, word=word, lsb=lsb, width=width, signed=signed, description=description)


_HEADER = (
    _f("opcode", 0, 0, 4, "operation"),
    _f("wait", 0, 4, 4, "one bit per engine: take one token from that engine before starting"),
    _f("signal", 0, 8, 4, "one bit per engine: give one token to that engine when the command has retired"),
    _f("layer", 0, 12, 12, "layer the command belongs to, for traces and reports; no effect on results"),
)

_WINDOW = (
    _f("base", 1, 0, 24, "buffer address of byte 0 of row first_row of the slab"),
    _f("pad", 1, 24, 8, "value read outside the slab (zero point)", signed=True),
    _f("first_row", 2, 0, 16, "row of the first output row at kernel row 0; negative in the top padding", signed=True),
    _f("rows", 2, 16, 16, "rows of the slab"),
    _f("first_byte", 3, 0, 24, "byte in the row of the first output column at kernel column 0; negative in the "
                               "left padding", signed=True),
    _f("row_bytes", 4, 0, 24, "valid bytes of a row, less than twice the activation buffer"),
    _f("y_count", 5, 0, 16, "output rows"),
    _f("y_row_step", 5, 16, 16, "input rows from one output row to the next (stride)"),
    _f("y_addr_step", 6, 0, 24, "the same in buffer bytes: y_row_step * row pitch"),
    _f("x_count", 7, 0, 16, "output columns"),
    _f("ky_count", 7, 16, 8, "kernel rows"),
    _f("kx_count", 7, 24, 8, "kernel columns walked one by one (1 when a kernel row is one contiguous run)"),
    _f("x_byte_step", 8, 0, 24, "bytes from one output column to the next: stride * pixel pitch", signed=True),
    _f("ky_row_step", 8, 24, 8, "input rows from one kernel row to the next (dilation)"),
    _f("ky_addr_step", 9, 0, 24, "the same in buffer bytes: ky_row_step * row pitch"),
    _f("kx_byte_step", 10, 0, 24, "bytes from one kernel column to the next: dilation * pixel pitch", signed=True),
)

_TRANSFER = (
    _f("memory", 1, 0, 32, "memory offset of the first byte"),
    _f("buffer", 2, 0, 24, "buffer address of the first byte"),
    _f("length", 3, 0, 24, "contiguous bytes of a run, at least 1"),
    _f("count_1", 4, 0, 16, "runs in the inner loop, at least 1"),
    _f("count_2", 4, 16, 16, "repeats of the inner loop, at least 1"),
    _f("memory_step_1", 5, 0, 32, "memory bytes from run to run (modulo 2**32)"),
    _f("buffer_step_1", 6, 0, 24, "buffer bytes from run to run"),
    _f("memory_step_2", 7, 0, 32, "memory bytes from inner loop to inner loop (modulo 2**32)"),
    _f("buffer_step_2", 8, 0, 24, "buffer bytes from inner loop to inner loop"),
)

COMMANDS: tuple[Command, ...] = (
    Command(
        name="END", opcode=Opcode.END, engine=None, fields=_HEADER,
        description="End of the program: the interrupt is raised once every engine has retired all its commands.",
    ),
    Command(
        name="LOAD", opcode=Opcode.LOAD, engine=Engine.LOAD,
        description="Copy count_2 x count_1 runs of length bytes from main memory into an on-chip buffer. Weight and "
                    "parameter space: memory offset and buffer address are multiples of the AXI width in bytes.",
        fields=_HEADER + (_f("space", 0, 24, 2, "destination: 0 activation, 1 weight, 2 parameter buffer"),) + _TRANSFER,
    ),
    Command(
        name="COMPUTE", opcode=Opcode.COMPUTE, engine=Engine.COMPUTE,
        description="Stream an implicit im2col through the systolic array. For block, ky, kx, chunk (outermost first) "
                    "one weight tile of rows x cols bytes is taken from the weight buffer, each tile directly behind "
                    "the one before; under it the vectors of all (y, x) stream through: rows bytes from byte "
                    "first_byte + x*x_byte_step + kx*kx_byte_step + chunk*rows of row "
                    "first_row + y*y_row_step + ky*ky_row_step. Sums go to accumulator entry "
                    "accumulator + block*block_step + y*x_count + x; the first tile of a block overwrites it unless "
                    "accumulate is set. Weight tile: row r (cols bytes) belongs to byte lane r. With column_mode (depthwise "
                    "convolution; S = depthwise_streams, P = rows // S) column c multiplies only byte lane "
                    "min(c, rows - 1): with d[n] that lane of the n-th position (y, x), n = y*x_count + x, its sum is that "
                    "over the rows r of the array, g = min(r // P, S - 1), k = r - g*P, of weight (r, c) times "
                    "d[n - g*x_count + k]. Only "
                    "positions with y >= skip_rows, x < valid_columns and x a multiple of column_step give sums; those are "
                    "counted in place of y*x_count + x. Every d that a weight other than 0 multiplies for such a sum must "
                    "lie in the tile; chunk_count is 1.",
        fields=_HEADER + (
            _f("accumulate", 0, 24, 1, "1: the first tile of a block adds to the accumulator entry"),
            _f("column_mode", 0, 25, 1, "1: every column has its own byte lane; 0 without depthwise_streams"),
        ) + _WINDOW + (
            _f("chunk_count", 11, 0, 16, "chunks of rows bytes along a contiguous run, at least 1"),
            _f("accumulator", 11, 16, 16, "first accumulator entry; entries >= accumulator_depth are the second half"),
            _f("weights", 12, 0, 24, "weight buffer address of the first tile, a multiple of the AXI width in bytes"),
            _f("block_count", 13, 0, 16, "blocks of cols output channels, at least 1"),
            _f("block_step", 13, 16, 16, "accumulator entries from block to block"),
            _f("valid_columns", 14, 0, 16, "column mode: positions of a row up to the last that gives a sum, at least 1"),
            _f("skip_rows", 14, 16, 8, "column mode: first rows of a tile, which give no sums; less than y_count"),
            _f("column_step", 14, 24, 8, "column mode: positions from sum to sum in a row, at least 1"),
        ),
    ),
    Command(
        name="VECTOR", opcode=Opcode.VECTOR, engine=Engine.VECTOR,
        description="For y, x, group (groups of vector_lanes channels) reduce a source to one 32-bit value a lane, add "
                    "the bias, requantize, add zero_out, clamp to [minimum, maximum] and write the int8 lanes to "
                    "buffer address destination + y*destination_y + x*destination_x + group*vector_lanes; lanes at or "
                    "beyond channels are not written. Source accumulator: entry base + y*x_count + x + "
                    "(channel // cols)*block_step, column channel % cols. Source activation: the window walk over ky, kx "
                    "(kx fastest), byte lane group*vector_lanes + lane, reduced by sum or maximum. With operand_scale "
                    "every element is first (x - zero_a) * 2**20 requantized (rule double) by operand multiplier A at "
                    "even kx, with zero_b and B at odd kx (TFLite ADD); without it, it is x - zero_a. Bias, multiplier "
                    "and exponent come from entry group (modulo parameter_groups) of the lane tables' bank.",
        fields=_HEADER + (
            _f("source", 0, 24, 1, "0 accumulator buffer, 1 activation buffer"),
            _f("maximum_reduce", 0, 25, 1, "activation source: 0 sum, 1 maximum over the window"),
            _f("operand_scale", 0, 26, 1, "activation source: scale each element as TFLite ADD does"),
            _f("bias_follows_sign", 0, 27, 1, "1: the bias is subtracted when the sum is negative (average pooling)"),
            _f("rounding", 0, 28, 2, "0 double, 1 single, 2 truncate toward zero"),
            _f("bank", 0, 30, 1, "bank of the lane tables"),
            _f("fence", 0, 31, 1, "1: wait until all earlier commands of the vector engine have retired"),
        ) + _WINDOW + (
            _f("zero_a", 3, 24, 8, "zero point subtracted from elements (operand A)", signed=True),
            _f("zero_b", 4, 24, 8, "zero point of operand B", signed=True),
            _f("zero_out", 6, 24, 8, "zero point added after requantization", signed=True),
            _f("minimum", 9, 24, 8, "lower clamp", signed=True),
            _f("maximum", 10, 24, 8, "upper clamp", signed=True),
            _f("channels", 11, 0, 24, "channels of an output pixel, at least 1"),
            _f("destination", 12, 0, 24, "buffer address of the first output byte"),
            _f("destination_y", 13, 0, 24, "bytes from output row to output row"),
            _f("destination_x", 14, 0, 24, "bytes from output pixel to output pixel"),
            _f("block_step", 15, 0, 16, "accumulator source: entries from block to block of cols channels"),
        ),
    ),
    Command(
        name="PARAMS", opcode=Opcode.PARAMS, engine=Engine.VECTOR,
        description="Fill entries 0 .. ceil(channels / vector_lanes) - 1 of a bank of the lane tables: channel i goes to "
                    "lane i % vector_lanes of entry i // vector_lanes. Bias i is 32-bit word bias_base + i of the "
                    "parameter buffer; scale i is the words scale_base + 2*i (multiplier) and + 1 (exponent, low 8 bits). "
                    "Either may be immediate instead, the same for every channel and then written to all entries "
                    "of the bank when both are immediate. Also sets the operand multipliers of the bank. With softmax, "
                    "bias i is instead word bias_base + max(x) - x[i] of the parameter buffer (a table of exponentials in "
                    "Q0.31), x[i] being the int8 value at buffer address values + i, and all entries of the bank get the "
                    "scale 2**8 / sum of the exponentials, as TFLite's SOFTMAX rounds it; such a command runs alone in "
                    "the vector engine.",
        fields=_HEADER + (
            _f("bias_immediate", 0, 24, 1, "1: bias from this command"),
            _f("scale_immediate", 0, 25, 1, "1: multiplier and exponent from this command"),
            _f("softmax", 0, 26, 1, "1: exponentials as biases, the reciprocal of their sum as scale"),
            _f("bank", 0, 30, 1, "bank of the lane tables"),
            _f("bias_base", 1, 0, 16, "parameter buffer word of bias 0"),
            _f("scale_base", 1, 16, 16, "parameter buffer word of scale 0, even"),
            _f("channels", 2, 0, 16, "channels to fill, 1 to parameter_groups * vector_lanes"),
            _f("bias", 3, 0, 32, "immediate bias", signed=True),
            _f("multiplier", 4, 0, 32, "immediate multiplier, 0 or 2**30 .. 2**31 - 1 (truncate: 0 .. 2**31 - 1)"),
            _f("exponent", 5, 0, 8, "immediate exponent, -31 .. 30 (positive: shift left)", signed=True),
            _f("exponent_a", 5, 8, 8, "exponent of operand A, -31 .. 0", signed=True),
            _f("exponent_b", 5, 16, 8, "exponent of operand B, -31 .. 0", signed=True),
            _f("multiplier_a", 6, 0, 32, "multiplier of operand A"),
            _f("multiplier_b", 7, 0, 32, "multiplier of operand B"),
            _f("values", 8, 0, 24, "softmax: buffer address of the first value"),
        ),
    ),
    Command(
        name="STORE", opcode=Opcode.STORE, engine=Engine.STORE, fields=_HEADER + _TRANSFER,
        description="Copy count_2 x count_1 runs of length bytes from the activation buffer to main memory.",
    ),
)

_BY_NAME = {command.name: command for command in COMMANDS}
_BY_OPCODE = {command.opcode: command for command in COMMANDS}
# Word, lowest bit, mask, smallest and largest value of each field: compilers encode commands by the million.
_PLACES = {command.name: {field.name: (field.word, field.lsb, (1 << field.width) - 1, field.minimum, field.maximum)
                          for field in command.fields} for command in COMMANDS}
_WORDS = struct.Struct(f"<{COMMAND_WORDS}I")


def command_for_opcode(opcode: int) -> Command:
    """Return the command with this opcode, or raise ValueError."""
    if opcode not in _BY_OPCODE:
        raise ValueError(f"Opcode must be one of {sorted(int(o) for o in _BY_OPCODE)}, not {opcode!r}")
    return _BY_OPCODE[Opcode(opcode)]


def encode(name: str, **values: int) -> bytes:
    """Encode a command; fields that are not named are 0.

    Raises
    ------
    KeyError
        The command has no such field.
    FieldError
        A value does not fit its field.
    """
    places = _PLACES[name]
    words = [0] * COMMAND_WORDS
    words[0] = int(_BY_NAME[name].opcode)
    for key, value in values.items():
        if key not in places:
            raise KeyError(f"Command {name} has no field {key!r}")
        word, lsb, mask, low, high = places[key]
        value = int(value)
        if not low <= value <= high:
            raise FieldError(f"Field {key} of {name} must be {low} to {high}, not {value!r}")
        words[word] |= (value & mask) << lsb
    return _WORDS.pack(*words)


def decode(data: bytes) -> tuple[Command, dict[str, int]]:
    """Decode 64 bytes into (command, field values); raises ValueError for an unknown opcode."""
    if len(data) != COMMAND_BYTES:
        raise ValueError(f"A command must be {COMMAND_BYTES} bytes, not {len(data)}")
    words = [int.from_bytes(data[4 * i:4 * i + 4], "little") for i in range(COMMAND_WORDS)]
    command = command_for_opcode(words[0] & 0xF)
    values = {}
    for field in command.fields:
        raw = (words[field.word] >> field.lsb) & ((1 << field.width) - 1)
        values[field.name] = raw - (1 << field.width) if field.signed and raw >> (field.width - 1) else raw
    return command, values
