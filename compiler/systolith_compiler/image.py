"""The image file: everything a target needs to run a compiled network.

Layout: 8 bytes magic ``SYSTOLTH``, then little-endian uint32 format version, uint32 header length, uint32
CRC-32 of header and contents, the header (JSON, UTF-8), and the contents of main memory. The header holds the
configuration, the programs and host operators in order, the tensor table and the layers.
"""

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from systolith_spec.commands import COMMAND_BYTES
from systolith_spec.config import AcceleratorConfig, ConfigurationError

__all__ = ["FORMAT_VERSION", "Image", "ImageError", "LayerRecord", "Step", "TensorRecord"]

_MAGIC = b"SYSTOLTH"
_PREFIX = struct.Struct("<8sIII")
FORMAT_VERSION = 1


class ImageError(Exception):
    """An image file cannot be used; the message is one line that says why."""


@dataclass(frozen=True)
class TensorRecord:
    """A tensor in main memory that the host writes or reads.

    Attributes
    ----------
    index : int
        Tensor index in the model.
    name : str
    shape : list of int
    dtype : str
        numpy name.
    offset : int
        Byte offset from the image's base.
    scale, zero_point : float, int or None
    """

    index: int
    name: str
    shape: list[int]
    dtype: str
    offset: int
    scale: float | None = None
    zero_point: int | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Step:
    """A program on the accelerator (`operator` is None) or one operator on the host."""

    program: int | None = None
    commands: int = 0
    operator: int | None = None


@dataclass(frozen=True)
class LayerRecord:
    """One layer, for reports."""

    index: int
    op: str
    name: str
    macs: int
    host: bool = False


@dataclass(frozen=True, kw_only=True)
class Image:
    """A compiled network.

    Attributes
    ----------
    model : str
    config : AcceleratorConfig
    memory : np.ndarray
        uint8, contents of main memory from the base on.
    steps : list of Step
    inputs, outputs, scratch : list of TensorRecord
        `scratch` are tensors that host operators read or write.
    layers : list of LayerRecord
    rounding : str
    """

    model: str
    config: AcceleratorConfig
    memory: np.ndarray
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
        header = json.dumps({
            "model": self.model, "config": self.config.as_dict(), "rounding": self.rounding,
            "steps": [asdict(step) for step in self.steps], "inputs": [asdict(t) for t in self.inputs],
            "outputs": [asdict(t) for t in self.outputs], "scratch": [asdict(t) for t in self.scratch],
            "layers": [asdict(layer) for layer in self.layers],
        }).encode()
        body = header + self.memory.tobytes()
        Path(path).write_bytes(_PREFIX.pack(_MAGIC, FORMAT_VERSION, len(header), zlib.crc32(body)) + body)

    @classmethod
    def load(cls, path: str | Path) -> "Image":
        """Read an image file.

        Raises
        ------
        ImageError
            It is not an image, damaged, or of another version.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ImageError(f"Cannot read {path}: {error.strerror}") from None
        if len(data) < _PREFIX.size or data[:8] != _MAGIC:
            raise ImageError(f"{path} is not an image file")
        _, version, length, checksum = _PREFIX.unpack_from(data)
        if version != FORMAT_VERSION:
            raise ImageError(f"{path} has format version {version}, this program reads version {FORMAT_VERSION}")
        body = data[_PREFIX.size:]
        if length > len(body) or zlib.crc32(body) != checksum:
            raise ImageError(f"{path} is damaged: its checksum does not match")
        try:
            header = json.loads(body[:length])
            return cls(
                model=header["model"], config=AcceleratorConfig(**header["config"]), rounding=header["rounding"],
                memory=np.frombuffer(body[length:], np.uint8), steps=[Step(**step) for step in header["steps"]],
                inputs=[TensorRecord(**t) for t in header["inputs"]], outputs=[TensorRecord(**t) for t in header["outputs"]],
                scratch=[TensorRecord(**t) for t in header["scratch"]],
                layers=[LayerRecord(**layer) for layer in header["layers"]])
        except (ValueError, KeyError, TypeError, ConfigurationError) as error:
            raise ImageError(f"{path} has a header that cannot be used: {error}") from None
