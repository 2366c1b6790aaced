"""The C driver as a Python object, for tests: compiled to a shared library, its platform functions in Python."""

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from systolith_export.c_header import counter_registers
from systolith_export.integration import DRIVER_FILES, integration_files

__all__ = ["CDriver", "DriverError", "Platform", "build_driver"]

RESULTS = ("OK", "RUNNING", "FAILED", "NO_DEVICE", "WRONG_VERSION", "NO_IMAGE", "DAMAGED_IMAGE", "WRONG_CONFIGURATION",
           "NO_ROOM", "MISALIGNED", "NOT_FOUND", "HOST_OPERATOR")
"""Names of ``enum systolith_result`` without their prefix, in order."""

_U32, _POINTER = ctypes.c_uint32, ctypes.c_void_p
_READ = ctypes.CFUNCTYPE(_U32, _POINTER, _U32)
_WRITE = ctypes.CFUNCTYPE(None, _POINTER, _U32, _U32)
_WAIT = ctypes.CFUNCTYPE(None, _POINTER)
_CACHE = ctypes.CFUNCTYPE(None, _POINTER, _POINTER, _U32)


class DriverError(Exception):
    """A function of the driver answered with something other than SYSTOLITH_OK; the message is its name."""


@dataclass(frozen=True)
class Platform:
    """How the driver reaches the hardware: the functions of ``struct systolith_platform`` without their context.

    Attributes
    ----------
    read, write : callable
        ``read(offset)`` and ``write(offset, value)``.
    wait : callable or None
        Sleeps until the interrupt; None to poll.
    clean, invalidate : callable
        Called with offset and size in the memory given to the driver.
    """

    read: Callable[[int], int]
    write: Callable[[int, int], None]
    wait: Callable[[], None] | None
    clean: Callable[[int, int], None]
    invalidate: Callable[[int, int], None]


def _structure(name, **fields):
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


_Platform = _structure("_Platform", context=_POINTER, read=_READ, write=_WRITE, wait=_WAIT, clean=_CACHE, invalidate=_CACHE)
_Error = _structure("_Error", **dict.fromkeys(("code", "engine", "response", "address", "position", "program"), _U32))
_Image = _structure("_Image", header=_POINTER, header_size=_U32, contents=_POINTER, size=_U32)
_Step = _structure("_Step", on_host=ctypes.c_int, program=_U32, operator_index=_U32)
_Tensor = _structure("_Tensor", offset=_U32, size=_U32)
_Device = _structure("_Device", platform=_Platform, image=_POINTER, memory=_POINTER, address=_U32, program=_U32,
                     state=ctypes.c_int, error=_Error)
_Counters = _structure("_Counters", **{entry.name.lower(): _U32 for entry in counter_registers()})


def build_driver(folder: Path) -> Path:
    """Compile the driver as C99, warnings being errors; return the shared library in `folder`."""
    for name, text in integration_files("test", {}, "0").items():
        (folder / name).write_text(text)
    library = folder / "systolith.so"
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-g", "-shared", "-fPIC", "-o",
                    library, folder / DRIVER_FILES[1]], check=True)
    return library


def _check(result: int) -> None:
    if result:
        raise DriverError(RESULTS[result])


class CDriver:
    """One device of the driver and the memory that it shares with the accelerator.

    Parameters
    ----------
    library : Path
        Result of `build_driver`.
    platform : Platform
    memory : ctypes array
        Main memory from the image's address on, as the processor sees it.
    """

    def __init__(self, library: Path, platform: Platform, memory):
        self._library = ctypes.CDLL(str(library))
        self._library.systolith_error_text.restype = ctypes.c_char_p
        self._library.systolith_engine_name.restype = ctypes.c_char_p
        self._memory = memory
        start = ctypes.addressof(memory)
        # The structure keeps no reference to its functions; this object does.
        self._platform = _Platform(
            None, _READ(lambda _, offset: platform.read(offset)),
            _WRITE(lambda _, offset, value: platform.write(offset, value)),
            _WAIT(lambda _: self._wait(platform.wait)) if platform.wait else _WAIT(),
            _CACHE(lambda _, data, size: platform.clean(data - start, size)),
            _CACHE(lambda _, data, size: platform.invalidate(data - start, size)))
        self._device, self._image, self._file = _Device(), _Image(), None

    def _wait(self, wait: Callable[[], None]) -> None:
        wait()
        self._library.systolith_interrupt(ctypes.byref(self._device))

    def open(self, watchdog: int) -> None:
        """Check the device and set it up."""
        _check(self._library.systolith_open(ctypes.byref(self._device), ctypes.byref(self._platform), _U32(watchdog)))

    def open_image(self, data: bytes) -> None:
        """Check the contents of an image file."""
        self._file = ctypes.create_string_buffer(data, len(data))
        _check(self._library.systolith_image_open(ctypes.byref(self._image), self._file, _U32(len(data))))

    def load(self, address: int, room: int | None = None) -> None:
        """Copy the image to main memory."""
        _check(self._library.systolith_load(ctypes.byref(self._device), ctypes.byref(self._image), self._memory,
                                            _U32(address), _U32(len(self._memory) if room is None else room)))

    def steps(self) -> list[tuple[bool, int]]:
        """For each step whether it is the host's, and its program's offset or the operator's index."""
        steps, step = [], _Step()
        while not (result := self._library.systolith_step(ctypes.byref(self._image), _U32(len(steps)), ctypes.byref(step))):
            steps.append((bool(step.on_host), step.operator_index if step.on_host else step.program))
        if RESULTS[result] != "NOT_FOUND":
            _check(result)
        return steps

    def tensor(self, names: str, index: int) -> tuple[int, int]:
        """Offset and bytes of a tensor."""
        tensor = self._tensor(names, index)
        return tensor.offset, tensor.size

    def _tensor(self, names: str, index: int):
        tensor = _Tensor()
        _check(self._library.systolith_tensor(ctypes.byref(self._image), names.encode(), _U32(index), ctypes.byref(tensor)))
        return tensor

    def write(self, index: int, array: np.ndarray) -> None:
        """Set an input."""
        data = np.ascontiguousarray(array)
        tensor = self._tensor("inputs", index)
        assert data.nbytes == tensor.size
        _check(self._library.systolith_write(ctypes.byref(self._device), ctypes.byref(tensor), _POINTER(data.ctypes.data)))

    def read(self, index: int) -> bytes:
        """Contents of an output."""
        tensor = self._tensor("outputs", index)
        data = ctypes.create_string_buffer(tensor.size)
        _check(self._library.systolith_read(ctypes.byref(self._device), ctypes.byref(tensor), data))
        return data.raw

    def start(self, program: int) -> None:
        """Start a program."""
        _check(self._library.systolith_start(ctypes.byref(self._device), _U32(program)))

    def finish(self) -> None:
        """Wait for the end of a program."""
        _check(self._library.systolith_finish(ctypes.byref(self._device)))

    def abort(self) -> None:
        """Stop a run."""
        self._library.systolith_abort(ctypes.byref(self._device))

    def run(self) -> None:
        """Run all programs of the image."""
        _check(self._library.systolith_run(ctypes.byref(self._device)))

    def counters(self) -> dict[str, int]:
        """Counters of the last run by name of their register."""
        counters = _Counters()
        self._library.systolith_read_counters(ctypes.byref(self._device), ctypes.byref(counters))
        return {entry.name: getattr(counters, entry.name.lower()) for entry in counter_registers()}

    def error(self) -> dict[str, int]:
        """Reason of the last run's error."""
        return {name: getattr(self._device.error, name) for name, _ in _Error._fields_}

    def words(self, code: int, engine: int) -> tuple[str, str]:
        """What the driver calls an error code and an engine."""
        return (self._library.systolith_error_text(_U32(code)).decode(),
                self._library.systolith_engine_name(_U32(engine)).decode())
