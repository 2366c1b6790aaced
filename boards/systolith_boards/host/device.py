"""A board as the target of a compiled image."""

import time

import numpy as np

from systolith.command_processor import register_constants
from systolith_boards.host.link import Link, LinkError
from systolith_compiler.image import Image, Step
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import PRESETS
from systolith_spec.registers import ID_VALUE, REGISTERS, VERSION_VALUE, ErrorCode, register

__all__ = ["BoardTarget", "RunError", "device_config"]

_START, _CLEAR, _ABORT = 1, 2, 4
_BUSY, _DONE = 1, 2
_COUNTERS = [entry for entry in REGISTERS if entry.offset >= register("CYCLES").offset]
_WATCHDOG_CYCLES = 1 << 20


class RunError(RuntimeError):
    """A program ended with an error, or not at all; the message is one line."""


def _constants(link: Link) -> dict[str, int]:
    """The registers that say how the accelerator is built.

    Raises
    ------
    LinkError
        There is no accelerator, or one of another version.
    """
    if link.read_register(register("ID").offset) != ID_VALUE:
        raise LinkError("The board has no accelerator of this program behind its registers")
    version = link.read_register(register("VERSION").offset)
    if version != VERSION_VALUE:
        raise LinkError(f"The accelerator on the board has version {version:#x} of registers and commands, this program "
                        f"{VERSION_VALUE:#x}: build its bitstream anew")
    entries = [entry for entry in REGISTERS if entry.name.startswith("CONFIG_")]
    values = link.read_registers(entry.offset for entry in entries)
    return {entry.name: value for entry, value in zip(entries, values, strict=True)}


def _differences(config: AcceleratorConfig, found: dict[str, int]) -> list[str]:
    expected = register_constants(config)
    return [f"{name} {expected[name]} instead of {value}" for name, value in found.items() if expected[name] != value]


def device_config(link: Link) -> AcceleratorConfig:
    """The preset that the accelerator on a board was built from, as far as its registers tell.

    Raises
    ------
    LinkError
        It is none of the presets.
    """
    found = _constants(link)
    for config in PRESETS.values():
        if not _differences(config, found):
            return config
    raise LinkError(f"The accelerator on the board ({found['CONFIG_ROWS']}x{found['CONFIG_COLS']}) is none of the presets: "
                    "give its configuration with --config")


class BoardTarget:
    """The accelerator of a board and its memory as a target; counts each program run.

    Parameters
    ----------
    link : Link
    image : Image
        Written to the start of main memory.
    timeout : float
        Seconds that a program may take.

    Attributes
    ----------
    counters : dict of str to int
        Performance counters, added up since `begin`.

    Raises
    ------
    LinkError
        The board does not answer, or was built for another configuration, or its memory is too small.
    """

    def __init__(self, link: Link, image: Image, *, timeout: float = 60.0):
        self._link = link
        self._timeout = timeout
        self.counters: dict[str, int] = {}
        identity = link.identify()
        if not identity.accelerator:
            raise LinkError(f"The bitstream on {identity.board} has no accelerator")
        if differences := _differences(image.config, _constants(link)):
            raise LinkError(f"The accelerator on {identity.board} is not {image.config.name!r}: the network is compiled for "
                            + "; ".join(differences))
        if image.memory.size > identity.memory_bytes:
            raise LinkError(f"The network needs {image.memory.size:,} bytes of main memory, {identity.board} has "
                            f"{identity.memory_bytes:,}")
        self._stop()
        self._link.write_memory(0, image.memory.tobytes())
        for name, value in (("BASE", 0), ("LIMIT", image.memory.size), ("WRITABLE", image.writable),
                            ("WATCHDOG", _WATCHDOG_CYCLES), ("INTERRUPT", 0)):
            self._write(name, value)

    def begin(self) -> None:
        """Forget the counters of the sample before."""
        self.counters = {entry.name: 0 for entry in _COUNTERS}

    def read(self, offset: int, size: int) -> np.ndarray:
        return np.frombuffer(self._link.read_memory(offset, size), np.uint8)

    def write(self, offset: int, data: np.ndarray) -> None:
        self._link.write_memory(offset, data.tobytes())

    async def run(self, step: Step) -> None:
        self._write("PROGRAM", step.program)
        self._write("CONTROL", _START)
        deadline = time.monotonic() + self._timeout
        while not self._read("STATUS") & _DONE:
            if time.monotonic() > deadline:
                self._stop()
                raise RunError(f"The program has not ended within {self._timeout:g} s")
        if error := self._read("ERROR"):
            code, address = error & 0xFF, self._read("ERROR_ADDRESS")
            name = ErrorCode(code).name if code in list(ErrorCode) else str(code)
            self._write("CONTROL", _CLEAR)
            raise RunError(f"{name} of engine {error >> 8 & 15} at address {address:#x}")
        values = self._link.read_registers(entry.offset for entry in _COUNTERS)
        for entry, value in zip(_COUNTERS, values, strict=True):
            self.counters[entry.name] += value
        self._write("CONTROL", _CLEAR)

    def _stop(self) -> None:
        """End a run that someone has left behind."""
        if self._read("STATUS") & _BUSY:
            self._write("CONTROL", _ABORT)
        self._write("CONTROL", _CLEAR)

    def _read(self, name: str) -> int:
        return self._link.read_register(register(name).offset)

    def _write(self, name: str, value: int) -> None:
        self._link.write_register(register(name).offset, value)
