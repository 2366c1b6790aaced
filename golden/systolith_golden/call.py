"""What an operator's implementation is given: the operator, its tensors and their current values."""

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from systolith_compiler.graph import Graph, Operator, Tensor, UnsupportedError

from .arithmetic import activation_range

__all__ = ["Call"]


class Call:
    """One execution of one operator.

    Parameters
    ----------
    graph : Graph
    operator : Operator
    values : mapping of int to np.ndarray
        Contents of every tensor computed so far; constants are taken from the graph.
    rounding : str
        Rounding rule of requantisation, "double" or "single".
    """

    def __init__(
        self, graph: Graph, operator: Operator, values: Mapping[int, np.ndarray], rounding: str = "double"
    ):
        self.graph = graph
        self.operator = operator
        self.options = operator.options
        self.rounding = rounding
        self._values = values

    def reject(self, reason: str) -> NoReturn:
        """Raise UnsupportedError for this operator."""
        raise UnsupportedError(self.graph, self.operator, reason)

    @property
    def output(self) -> Tensor:
        """The only output."""
        if len(self.operator.outputs) != 1:
            self.reject(f"it has {len(self.operator.outputs)} outputs, one is implemented")
        return self.graph.output_tensor(self.operator)

    def tensor(self, position: int) -> Tensor:
        """A mandatory input."""
        tensor = self.graph.input_tensor(self.operator, position)
        if tensor is None:
            self.reject(f"input {position} is missing")
        return tensor

    def optional(self, position: int) -> Tensor | None:
        """An input that may be absent."""
        return self.graph.input_tensor(self.operator, position)

    def value(self, position: int) -> np.ndarray:
        """Contents of a mandatory input."""
        tensor = self.tensor(position)
        return tensor.data if tensor.data is not None else self._values[tensor.index]

    def constant(self, position: int) -> np.ndarray:
        """Contents of an input that has to be part of the model."""
        tensor = self.tensor(position)
        if tensor.data is None:
            self.reject(f"{tensor.name!r} must be a constant")
        return tensor.data

    def require_int8(self, *positions: int) -> None:
        """Check that inputs (all of them by default position 0) and the output are quantised int8."""
        for tensor in (*(self.tensor(position) for position in positions or (0,)), self.output):
            if tensor.dtype != np.int8:
                self.reject(
                    f"{tensor.name!r} is {tensor.type_name or tensor.dtype}, only INT8 is implemented"
                )
            if tensor.quantization is None:
                self.reject(f"{tensor.name!r} is INT8 but not quantised")
            if not tensor.constant and tensor.quantization.per_channel:
                self.reject(f"{tensor.name!r} is an activation with one scale per channel")

    def offset_value(self, position: int) -> np.ndarray:
        """Contents of an int8 input minus its zero point, int32."""
        return self.value(position).astype(np.int32) - np.int32(self.tensor(position).zero_point)

    def finish(self, values: np.ndarray, activation: str | None = None) -> np.ndarray:
        """Add the output's zero point, apply the fused activation, and narrow to the output's type and shape."""
        output = self.output
        return self.clamp(values + output.zero_point, activation)

    def clamp(self, values: np.ndarray, activation: str | None = None) -> np.ndarray:
        """Apply the fused activation and narrow to the output's type and shape."""
        output = self.output
        activation = activation or self.options.get("activation", "NONE")
        try:
            low, high = activation_range(activation, output.scale, output.zero_point, output.dtype)
        except ValueError:
            self.reject(f"the fused activation {activation} is not implemented")
        return self.shaped(np.clip(values, low, high).astype(output.dtype))

    def shaped(self, values: np.ndarray) -> np.ndarray:
        """Give values the output's shape; the element counts have to agree."""
        if values.size != self.output.size:
            self.reject(f"it computes shape {values.shape}, but its output has shape {self.output.shape}")
        return values.reshape(self.output.shape)
