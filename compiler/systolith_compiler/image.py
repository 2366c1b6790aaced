"""The image file: everything a target needs to run a compiled network.

Layout: 8 bytes magic ``SYSTOLTH``, then little-endian uint32 format version, uint32 header length, uint32
CRC-32 of header and contents, the header (JSON, UTF-8), and the contents of main memory. The header holds the
configuration, the programs and host operators in order, the tensor table and the layers. A reader trusts
nothing: whatever `Image.load` returns has passed `Image.check`.
"""

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from systolith_golden.command_check import LARGEST_OFFSET
from systolith_spec.commands import COMMAND_BYTES
from systolith_spec.config import AcceleratorConfig, ConfigurationError

from .image_check import check_program, check_steps, check_tensors
from .image_header import ImageError, LayerRecord, Step, TensorRecord, read_record, read_records, read_value

__all__ = ["FORMAT_VERSION", "Image", "ImageError", "LayerRecord", "Step", "TensorRecord"]

_MAGIC = b"SYSTOLTH"
_PREFIX = struct.Struct("<8sIII")
FORMAT_VERSION = 2
_ROUNDINGS = ("double", "single")


@dataclass(frozen=True, kw_only=True)
class Image:
    """A compiled network.

    Attributes
    ----------
    model : str
    config : AcceleratorConfig
    memory : np.ndarray
        uint8, contents of main memory from the base on.
    writable : int
        First byte of `memory` that programs write, register WRITABLE: a multiple of 64. Programs, weights, constants and
        what the host gives lie below.
    steps : list of Step
    inputs, outputs, scratch : list of TensorRecord
        `scratch` are tensors that host operators read or write.
    layers : list of LayerRecord
    rounding : str
    """

    model: str
    config: AcceleratorConfig
    memory: np.ndarray
    writable: int
    steps: list[Step]
    inputs: list[TensorRecord]
    outputs: list[TensorRecord]
    scratch: list[TensorRecord] = field(default_factory=list)
    layers: list[LayerRecord] = field(default_factory=list)
    rounding: str = "double"

    def commands(self, step: Step) -> list[bytes]:
        """The commands of a program."""
        data = self.memory[step.program:step.program + COMMAND_BYTES * step.commands].tobytes()
        return [data[i:i + COMMAND_BYTES] for i in range(0, len(data), COMMAND_BYTES)]

    def save(self, path: str | Path) -> None:
        """Write the image file."""
        Path(path).write_bytes(self.serialize())

    def serialize(self) -> bytes:
        """Contents of the image file."""
        header = json.dumps({
            "model": self.model, "config": self.config.as_dict(), "rounding": self.rounding,
            "writable": self.writable,
            "steps": [asdict(step) for step in self.steps], "inputs": [asdict(t) for t in self.inputs],
            "outputs": [asdict(t) for t in self.outputs], "scratch": [asdict(t) for t in self.scratch],
            "layers": [asdict(layer) for layer in self.layers],
        }).encode()
        body = header + self.memory.tobytes()
        return _PREFIX.pack(_MAGIC, FORMAT_VERSION, len(header), zlib.crc32(body)) + body

    @classmethod
    def load(cls, path: str | Path) -> "Image":
        """Read an image file; see `parse`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ImageError(f"Cannot read {path}: {error.strerror}") from None
        return cls.parse(data, origin=str(path))

    @classmethod
    def parse(cls, data: bytes, *, origin: str = "image") -> "Image":
        """Read an image from memory. `origin` begins every error message.

        Raises
        ------
        ImageError
            It is not an image, damaged, of another version, or its contents break a rule.
        """
        if len(data) < _PREFIX.size or data[:8] != _MAGIC:
            raise ImageError(f"{origin} is not an image file")
        _, version, length, checksum = _PREFIX.unpack_from(data)
        if version != FORMAT_VERSION:
            raise ImageError(f"{origin} has format version {version}, this program reads version {FORMAT_VERSION}")
        body = data[_PREFIX.size:]
        if length > len(body) or zlib.crc32(body) != checksum:
            raise ImageError(f"{origin} is damaged: its checksum does not match")
        try:
            image = cls._from_header(_parse(body[:length]), np.frombuffer(body[length:], np.uint8))
            image.check()
        except (ImageError, ConfigurationError) as error:
            raise ImageError(f"{origin} cannot be used: {str(error)[:500]}") from None
        return image

    @classmethod
    def _from_header(cls, header: dict, memory: np.ndarray) -> "Image":
        for name in ("model", "rounding", "config", "writable", "steps", "inputs", "outputs", "scratch", "layers"):
            if name not in header:
                raise ImageError(f"the header must have {name!r}")
        return cls(
            model=read_value(header["model"], str, "model"), rounding=read_value(header["rounding"], str, "rounding"),
            config=read_record(header["config"], AcceleratorConfig, "configuration"), memory=memory,
            writable=read_value(header["writable"], int, "writable"),
            steps=read_records(header["steps"], Step, "step"), inputs=read_records(header["inputs"], TensorRecord, "input"),
            outputs=read_records(header["outputs"], TensorRecord, "output"),
            scratch=read_records(header["scratch"], TensorRecord, "scratch tensor"),
            layers=read_records(header["layers"], LayerRecord, "layer"))

    def check(self) -> None:
        """Check that steps, tensors and commands fit the memory and the configuration.

        Raises
        ------
        ImageError
            What does not, and where.
        """
        size = self.memory.size
        if size > LARGEST_OFFSET:
            raise ImageError(f"memory must be at most {LARGEST_OFFSET} bytes, not {size}")
        if self.rounding not in _ROUNDINGS:
            raise ImageError(f"rounding must be one of {', '.join(_ROUNDINGS)}, not {self.rounding[:40]!r}")
        if not 0 <= self.writable <= size or self.writable % 64:
            raise ImageError(f"writable must be a multiple of 64 from 0 to {size}, not {self.writable}")
        programs = check_steps(self.steps, self.writable)
        check_tensors([*self.inputs, *self.outputs, *self.scratch], programs, size)
        for program in programs:
            check_program(self.config, self.memory, self.writable, program)


def _parse(text: bytes) -> dict:
    """The header's JSON object, without anything around it: a wrong length must not go unnoticed."""
    try:
        header = json.loads(text) if text[:1] == b"{" and text[-1:] == b"}" else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ImageError("its header is not a JSON object")
    return header
