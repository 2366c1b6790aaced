"""What the header of an image file says, and reading it from JSON that may hold anything."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["ImageError", "LayerRecord", "Step", "TensorRecord", "read_record", "read_records", "read_value"]


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
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


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


def read_value(value: Any, kind: Any, what: str) -> Any:
    """Return a JSON value if it has a type (`float` takes whole numbers too).

    Raises
    ------
    ImageError
        It has another type.
    """
    if get_origin(kind) is list:
        return [read_value(entry, get_args(kind)[0], what) for entry in read_value(value, list, what)]
    kinds = get_args(kind) or (kind,)
    fitting = type(value) in kinds or (type(value) is int and float in kinds)
    if not fitting:
        names = " or ".join(getattr(k, "__name__", str(k)) for k in kinds)
        raise ImageError(f"{what} must be {names}, not {str(value)[:40]!r}")
    return value


def read_record(value: Any, record: type, what: str) -> Any:
    """Make a dataclass from a JSON object: every key a field, every value of the field's type."""
    hints = get_type_hints(record)
    values = read_value(value, dict, what)
    if unknown := values.keys() - hints.keys():
        raise ImageError(f"{what} must not have {sorted(unknown)[0][:40]!r}")
    for field in dataclasses.fields(record):
        if field.name not in values and field.default is dataclasses.MISSING:
            raise ImageError(f"{what} must have {field.name!r}")
    return record(**{name: read_value(entry, hints[name], f"{what}: {name}") for name, entry in values.items()})


def read_records(value: Any, record: type, what: str) -> list:
    """Make a list of dataclasses from a JSON array."""
    return [read_record(entry, record, f"{what} {i}") for i, entry in enumerate(read_value(value, list, what))]
