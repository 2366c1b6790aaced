"""Instructions of the microprogram: 16 bits, operation and argument.

One accumulator of 32 bits, a RAM of 32-bit words, an index register with increment, and a carry. Bits 15..10 of an
instruction are the operation, bits 9..0 its argument: an address of the RAM, of the program, or a number of an action.
"""

from enum import IntEnum

__all__ = ["ARGUMENT_WIDTH", "INDIRECT", "INSTRUCTION_WIDTH", "PROGRAM_WORDS", "Action", "Condition", "Operation"]

INSTRUCTION_WIDTH = 16
ARGUMENT_WIDTH = 10
PROGRAM_WORDS = 1 << ARGUMENT_WIDTH
INDIRECT = 8
"""Added to an operation: the index register addresses the RAM in place of the argument, and is incremented."""


class Operation(IntEnum):
    """Operation of an instruction. m is the word of the RAM."""

    LD = 0x00   # accumulator = m
    ADD = 0x01  # accumulator += m; carry
    SUB = 0x02  # accumulator -= m; carry: borrow
    AND = 0x03  # accumulator &= m
    SHR = 0x04  # accumulator >>= 8, zeros enter
    LDC = 0x05  # accumulator = sum of the selected column; the next column is selected
    LDR = 0x06  # accumulator = reduced window
    ST = 0x10   # m = accumulator
    STC = 0x11  # m = cycles since the start
    DO = 0x20   # action `argument`
    BRANCH = 0x30  # + condition: go on at `argument` if it holds; a bubble follows if it does


class Condition(IntEnum):
    """When a branch is taken."""

    ALWAYS = 0
    ZERO = 1          # accumulator is 0; not directly behind its change
    NOT_ZERO = 2
    NEGATIVE = 3      # bit 31 of the accumulator
    NOT_NEGATIVE = 4
    CARRY = 5         # of the last ADD or SUB
    NO_CARRY = 6
    QUIET = 7         # nothing needs attention
    ABORTED = 8       # the host has asked for the end of the run
    BURST_OVER = 9    # the burst engine is idle
    BURST_FAILED = 10  # the last burst was answered with an error
    DECODE_ERROR = 11  # that was DECERR
    STOPPED = 12      # no run has been started
    CALL = 13         # always; the next address is kept
    RETURN = 14       # go on behind the last CALL that has not returned; two may be open


class Action(IntEnum):
    """What an instruction DO does; `a` is the accumulator."""

    NOP = 0
    INDEX = 1         # index = a
    INDEX_WORDS = 2   # index = word of the parameter buffer at byte a
    WRITE_ADDRESS = 3  # of the activation buffer = a
    WEIGHT_ADDRESS = 4  # byte address of the weight buffer = a
    READ_ADDRESS = 5  # of the activation buffer = a
    WALK = 6          # read address = a; walk a row
    STEP = 7          # bytes from position to position = a
    LOW = 8           # byte in the row of the first position = a
    HIGH = 9          # the same less the bytes of the row = a
    POSITIONS = 10    # of a row = a
    ENTRY = 11        # accumulator entry = a; column 0
    PAD = 12          # value outside the slab = a
    MODE = 13         # bit 0: reduce windows, bit 1: maximum
    ACCUMULATE = 14   # bit 24: sums are added to the accumulator entries; else they overwrite them
    ROW = 15          # the next row walked lies in the slab if there is a carry
    LOAD_TILE = 16    # load a weight tile
    WAIT_WALK = 17    # until row and tile are done, or something needs attention
    SYNC = 18         # until the sums are written and the scaler is idle, or something needs attention
    CLEAR = 19        # begin a window
    ZERO_OUT = 20
    MINIMUM = 21
    MAXIMUM = 22
    ROUNDING = 23
    EXPONENT = 24     # wait for the scaler; its exponent = m
    SCALE = 25        # scale a by the multiplier m; write the result
    TARGET = 26       # of bursts = a: Space, or 3: from the activation buffer to memory
    LENGTH = 27       # bytes of the burst = a
    BURST = 28        # start a burst at memory address a
    WAIT_BURST = 29   # until the burst is over, or something needs attention
    REST = 30         # the tick has been attended to
    KILL = 31         # forget the row and tile under way
    DONE = 32         # end of the run
    FAILED = 33       # the same, with an error
    OPEN = 34         # let the host reach the registers
    RETIRE_LOAD = 36  # a is the header of the command that has retired
    RETIRE_COMPUTE = 37
    RETIRE_VECTOR = 38
    RETIRE_STORE = 39
