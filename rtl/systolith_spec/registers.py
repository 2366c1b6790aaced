"""The register map of the AXI4-Lite subordinate: one table for RTL, host software, docs and C header."""

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["ErrorCode", "ID_VALUE", "Register", "REGISTERS", "RegisterField", "VERSION_VALUE", "register"]

ID_VALUE = 0x53595354
"""ASCII "SYST"."""
VERSION_VALUE = 0x0000_0300
"""Version of the command set and register map: major << 16 | minor << 8 | patch."""


class ErrorCode(IntEnum):
    """Why a run stopped (register ERROR, field code)."""

    NONE = 0
    READ_RESPONSE = 1      # AXI read answered SLVERR or DECERR; ERROR_ADDRESS is that of the burst, or of the command read
    WRITE_RESPONSE = 2     # AXI write answered SLVERR or DECERR; ERROR_ADDRESS is the address of the burst
    BAD_COMMAND = 3        # unknown opcode or field; ERROR_ADDRESS is the address of the command
    WATCHDOG = 4           # no engine retired a command for WATCHDOG cycles
    TOKEN_OVERFLOW = 5     # a token counter is full: the program is not well formed
    OUT_OF_RANGE = 6       # beyond LIMIT, STORE below WRITABLE, command not below it, or length 0; ERROR_ADDRESS: where


@dataclass(frozen=True, kw_only=True)
class RegisterField:
    """A bit field of a register."""

    name: str
    lsb: int
    width: int
    description: str


@dataclass(frozen=True, kw_only=True)
class Register:
    """One 32-bit register.

    Attributes
    ----------
    name : str
    offset : int
        Byte offset.
    access : str
        "ro" (status), "rw" (held), "wo" (strobe: reads as zero).
    description : str
    reset : int
    fields : tuple of RegisterField
    """

    name: str
    offset: int
    access: str
    description: str
    reset: int = 0
    fields: tuple[RegisterField, ...] = ()


def _field(name, lsb, width, description):
    return RegisterField(name=name, lsb=lsb, width=width, description=description)


def _table() -> tuple[Register, ...]:
    rows = [
        ("ID", 0x000, "ro", "Constant 0x53595354 (\"SYST\")", ()),
        ("VERSION", 0x004, "ro", "Version of command set and registers: major << 16 | minor << 8 | patch", ()),
        ("CONTROL", 0x008, "wo", "Strobes", (
            _field("start", 0, 1, "start the program at BASE + PROGRAM; ignored while busy"),
            _field("clear", 1, 1, "clear done, error and the interrupt"),
            _field("abort", 2, 1, "stop a run: drop all queued commands and reset the engines"))),
        ("STATUS", 0x00C, "ro", "State of the run", (
            _field("busy", 0, 1, "a program is running"),
            _field("done", 1, 1, "the last program has ended, with or without error"),
            _field("error", 2, 1, "the last program stopped with an error"))),
        ("ERROR", 0x010, "ro", "Reason of the first error", (
            _field("code", 0, 8, "see the table of error codes"),
            _field("engine", 8, 4, "engine: 0 LOAD, 1 COMPUTE, 2 VECTOR, 3 STORE, 15 command processor"),
            _field("response", 12, 2, "AXI response (2 SLVERR, 3 DECERR)"))),
        ("ERROR_ADDRESS", 0x014, "ro", "Address of the first error", ()),
        ("BASE", 0x018, "rw", "Byte address of the image in main memory, a multiple of 4096", ()),
        ("PROGRAM", 0x01C, "rw", "Byte offset of the first command from BASE, a multiple of 64", ()),
        ("LIMIT", 0x020, "rw", "Bytes from BASE that a program may touch; 0: no limit", ()),
        ("WATCHDOG", 0x024, "rw", "Cycles without a retired command until the run is stopped; 0: never", ()),
        ("INTERRUPT", 0x028, "rw", "Interrupt enable", (_field("enable", 0, 1, "raise irq while done is set"),)),
        ("WRITABLE", 0x02C, "rw", "First byte offset from BASE that a program may write: a STORE below it is out of range, "
                                    "and so are commands from it on; 0: both anywhere up to LIMIT", ()),
        ("CONFIG_ROWS", 0x040, "ro", "Array rows", ()),
        ("CONFIG_COLS", 0x044, "ro", "Array columns", ()),
        ("CONFIG_ACTIVATION", 0x048, "ro", "Activation buffer, bytes", ()),
        ("CONFIG_WEIGHT", 0x04C, "ro", "Weight buffer, bytes", ()),
        ("CONFIG_PARAMETER", 0x050, "ro", "Parameter buffer, bytes", ()),
        ("CONFIG_ACCUMULATOR", 0x054, "ro", "Accumulator entries of one half", ()),
        ("CONFIG_LANES", 0x058, "ro", "Vector lanes", ()),
        ("CONFIG_GROUPS", 0x05C, "ro", "Entries of a bank of the lane tables", ()),
        ("CONFIG_AXI", 0x060, "ro", "AXI data width, bits", ()),
        ("CONFIG_FEATURES", 0x064, "ro", "Optional units", (
            _field("residual_add", 0, 1, "operand scaler"), _field("pooling", 1, 1, "activation source"),
            _field("softmax", 2, 1, "exponentials and reciprocal"),
            _field("engine_counters", 3, 1, "counters of busy and stalled cycles; without them they read as 0"),
            _field("depthwise_streams", 8, 8, "kernel rows at once in column mode; 0: no column mode"))),
        ("CONFIG_BANKS", 0x068, "ro", "Banks of the activation buffer", ()),
        ("CYCLES", 0x080, "ro", "Cycles from the start strobe to the end of the program", ()),
        ("BYTES_READ", 0x084, "ro", "Bytes of AXI read beats (commands included)", ()),
        ("BYTES_WRITTEN", 0x088, "ro", "Bytes of AXI write beats", ()),
        ("COMMANDS", 0x08C, "ro", "Commands dispatched", ()),
    ]
    offset = 0x0A0
    for engine in ("LOAD", "COMPUTE", "VECTOR", "STORE"):
        for suffix, text in (
                ("BUSY", "cycles with work in flight"),
                ("STALL_TOKEN", "cycles a command waited for a token"),
                ("STALL_INPUT", "cycles the engine could not go on because its source had nothing or was occupied "
                                "(LOAD: no read data; COMPUTE: weights not yet loaded or activation bank taken; "
                                "VECTOR: source port taken; STORE: activation bank taken)"),
                ("STALL_OUTPUT", "cycles the engine could not go on because its destination was occupied (LOAD and "
                                 "VECTOR: activation bank taken; COMPUTE: never; STORE: write channel not ready)")):
            rows.append((f"{engine}_{suffix}", offset, "ro", f"{engine} engine: {text}", ()))
            offset += 4
    return tuple(Register(name=n, offset=o, access=a, description=d, fields=f) for n, o, a, d, f in rows)


REGISTERS: tuple[Register, ...] = _table()


def register(name: str) -> Register:
    """Look a register up by name."""
    for entry in REGISTERS:
        if entry.name == name:
            return entry
    raise KeyError(f"There is no register {name!r}")
