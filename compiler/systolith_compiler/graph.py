"""A quantised network as plain data: tensors, operators and how they are connected.

Everything that reads, runs, compiles or writes a network works on `Graph`. The classes hold no behaviour
beyond looking things up, so that the golden models and the compiler share them without sharing code.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Graph", "ModelError", "Operator", "Quantization", "Tensor", "UnsupportedError"]


class ModelError(Exception):
    """A model cannot be read or is inconsistent; the message is one line that says why."""


class UnsupportedError(ModelError):
    """A model is valid, but one of its operators is outside what is implemented.

    Parameters
    ----------
    graph : Graph
        The network, from which tensor names are taken.
    operator : Operator
        The offending operator.
    reason : str
        What is unsupported, as a clause without a full stop.
    """

    def __init__(self, graph: "Graph", operator: "Operator", reason: str):
        self.kind = operator.kind
        self.index = operator.index
        self.reason = reason
        self.tensor_names = tuple(
            graph.tensors[t].name for t in (*operator.inputs, *operator.outputs) if t >= 0
        )
        inputs = ", ".join(repr(graph.tensors[t].name) for t in operator.inputs if t >= 0)
        outputs = ", ".join(repr(graph.tensors[t].name) for t in operator.outputs if t >= 0)
        super().__init__(
            f"Operator {operator.index} ({operator.kind}, inputs {inputs or 'none'}, outputs {outputs or 'none'}) "
            f"is not supported: {reason}"
        )


@dataclass(frozen=True, eq=False)
class Quantization:
    """Affine quantisation: real = scale * (stored - zero_point).

    Attributes
    ----------
    scales : np.ndarray
        float32, one entry per tensor or one per channel.
    zero_points : np.ndarray
        int64, same length as `scales`.
    axis : int
        Channel axis the entries belong to; meaningful only when there are several.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    axis: int = 0

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int = 0) -> "Quantization":
        """One scale and zero point for a whole tensor."""
        return cls(np.array([scale], np.float32), np.array([zero_point], np.int64))

    @property
    def scale(self) -> float:
        """The scale of a tensor quantised as a whole, float32 widened exactly to a Python float."""
        return float(self.scales[0])

    @property
    def zero_point(self) -> int:
        """The zero point of a tensor quantised as a whole."""
        return int(self.zero_points[0])

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return len(self.scales) > 1


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a network.

    Attributes
    ----------
    index : int
        Position in `Graph.tensors`, the same as in the model file.
    name : str
        Name in the model file; not necessarily unique.
    shape : tuple of int
        Dimensions, batch first; a free batch of -1 is read as 1.
    dtype : np.dtype
        Element type. Types that numpy lacks (strings, int4, ...) are `np.dtype("V1")`; see `type_name`.
    quantization : Quantization or None
        None for tensors without scale (float data, shapes, indices).
    data : np.ndarray or None
        Contents of a constant, read-only, of `shape` and `dtype`; None for activations.
    type_name : str
        Element type in the file's words, such as "INT8" or "STRING", for messages.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    quantization: Quantization | None = None
    data: np.ndarray | None = None
    type_name: str = ""

    @property
    def constant(self) -> bool:
        """Whether the contents are part of the model."""
        return self.data is not None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def scale(self) -> float:
        """Scale of a tensor quantised as a whole. Raises ModelError when there is none."""
        return self._quantized().scale

    @property
    def zero_point(self) -> int:
        """Zero point of a tensor quantised as a whole. Raises ModelError when there is none."""
        return self._quantized().zero_point

    def _quantized(self) -> Quantization:
        if self.quantization is None:
            raise ModelError(
                f"Tensor {self.index} ({self.name!r}, {self.type_name or self.dtype}) is not quantised"
            )
        return self.quantization


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator of a network, in execution order.

    Attributes
    ----------
    index : int
        Position in the model file. Equal to the position in `Graph.operators` unless operators in front of it
        were evaluated while reading (shape arithmetic).
    kind : str
        TFLite's name, such as "CONV_2D"; "CUSTOM(name)" for custom operators.
    inputs, outputs : tuple of int
        Indices into `Graph.tensors`; -1 marks an optional input that is absent.
    options : dict
        TFLite's option fields in snake_case. Enumerations are strings: `padding` is "SAME" or "VALID",
        `activation` is "NONE", "RELU", "RELU6", "RELU_N1_TO_1", ...
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: tensors, and operators in execution order.

    Attributes
    ----------
    name : str
        For messages and reports.
    tensors : list of Tensor
    operators : list of Operator
    inputs, outputs : tuple of int
        Tensor indices, in the order of the model's signature.
    """

    name: str
    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def producer(self, tensor: int) -> Operator | None:
        """The operator that writes a tensor; None for inputs and constants."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: int) -> list[Operator]:
        """The operators that read a tensor, in execution order."""
        return [op for op in self.operators if tensor in op.inputs]

    def input_tensor(self, operator: Operator, position: int) -> Tensor | None:
        """The tensor at an input position of an operator; None when absent."""
        if position >= len(operator.inputs) or operator.inputs[position] < 0:
            return None
        return self.tensors[operator.inputs[position]]

    def output_tensor(self, operator: Operator, position: int = 0) -> Tensor:
        """The tensor at an output position of an operator."""
        return self.tensors[operator.outputs[position]]
