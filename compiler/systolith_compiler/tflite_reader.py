"""Reads a `.tflite` file into a `Graph`, and says in one line what is wrong with a file it cannot read.

A flatbuffer is a web of offsets: a damaged file can point anywhere. Every failure of the flatbuffer runtime
becomes a `ModelError`, lengths are checked against the file's size before anything is read in a loop, and
the finished graph is checked for consistency, so that later stages need not.
"""

import math
import struct
from pathlib import Path

import numpy as np
import tflite
from flatbuffers import number_types

from .graph import Graph, ModelError, Operator, Quantization, Tensor
from .tflite_options import ACTIVATIONS, KIND_TO_TABLE, OPTION_TABLES, PADDINGS, default_options
from .tflite_shapes import fold_shape_arithmetic

__all__ = ["parse_tflite", "read_tflite"]

_TYPE_NAMES = {code: name for name, code in vars(tflite.TensorType).items() if not name.startswith("_")}
_KIND_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}
_TABLE_NAMES = {code: name for name, code in vars(tflite.BuiltinOptions).items() if not name.startswith("_")}

_DTYPES = {
    "FLOAT64": np.float64, "FLOAT32": np.float32, "FLOAT16": np.float16, "BOOL": np.bool_,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
}  # fmt: skip
_OPAQUE = np.dtype(
    "V1"
)  # element types numpy lacks; such tensors can be named in messages, not computed with

_LONGEST_NAME = 200  # damaged files have names of any length, which no message should repeat

# What the flatbuffer runtime and numpy raise when offsets point outside the file or at the wrong thing.
_DAMAGE = (
    struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError,
    AssertionError,
)  # fmt: skip


def read_tflite(path: str | Path) -> Graph:
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        A `.tflite` file. Its stem becomes the graph's name.

    Returns
    -------
    Graph
        Tensors keep the file's indices. Operators keep the file's indices too, but those that only compute
        shapes (SHAPE, STRIDED_SLICE, PACK as Keras exports them) are evaluated and left out.

    Raises
    ------
    ModelError
        The file is missing, not a model, damaged, or holds more than one subgraph.
    """
    path = Path(path)
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse_tflite(contents, name=path.stem, origin=str(path))


def parse_tflite(contents: bytes, *, name: str = "model", origin: str = "model") -> Graph:
    """Read a model from memory; see `read_tflite`. `origin` begins every error message."""
    if not contents:
        raise ModelError(f"{origin}: the file is empty")
    if len(contents) < 8 or contents[4:8] != b"TFL3":
        raise ModelError(f"{origin}: not a TensorFlow Lite model (the identifier 'TFL3' is missing)")
    try:
        with np.errstate(all="ignore"):
            graph = fold_shape_arithmetic(_Parser(contents).graph(name))
    except ModelError as error:
        raise ModelError(f"{origin}: {str(error)[:1500]}") from None
    except _DAMAGE as error:
        raise ModelError(
            f"{origin}: the file is truncated or damaged ({type(error).__name__} while reading)"
        ) from None
    return graph


class _Parser:
    """Walks the tables of one model."""

    def __init__(self, contents: bytes):
        self.contents = contents
        self.model = tflite.Model.GetRootAs(contents, 0)

    def graph(self, name: str) -> Graph:
        count = self.length(self.model.SubgraphsLength(), "subgraphs")
        if count != 1:
            raise ModelError(f"the model must have exactly one subgraph, not {count}")
        self.kinds = self.read_kinds()
        subgraph = self.model.Subgraphs(0)
        written = self.written_tensors(subgraph)
        tensors = [
            self.tensor(subgraph.Tensors(i), i, i in written)
            for i in range(self.length(subgraph.TensorsLength(), "tensors"))
        ]
        operators = [
            self.operator(subgraph.Operators(i), i)
            for i in range(self.length(subgraph.OperatorsLength(), "operators"))
        ]
        graph = Graph(name, tensors, operators, _indices(subgraph, "Inputs"), _indices(subgraph, "Outputs"))
        _check(graph)
        return graph

    def length(self, value: int, what: str) -> int:
        """A vector length that the file can hold (each entry takes at least four bytes)."""
        if value * 4 > len(self.contents):
            raise ModelError(f"the file is truncated or damaged (it claims {value} {what})")
        return value

    def read_kinds(self) -> list[str]:
        kinds = []
        for i in range(self.length(self.model.OperatorCodesLength(), "operator codes")):
            code = self.model.OperatorCodes(i)
            # Files from before 2020 have only the deprecated 8-bit code; newer ones put 127 there if it is too
            # large, and some writers leave it out. The binding's own BuiltinCode() gets the last case wrong.
            number = max(_builtin_code(code), code.DeprecatedBuiltinCode())
            kind = _KIND_NAMES.get(number, f"BUILTIN({number})")
            if kind == "CUSTOM":
                custom = code.CustomCode() or b"?"
                kind = f"CUSTOM({custom.decode(errors='replace')[:_LONGEST_NAME]})"
            kinds.append(kind)
        return kinds

    def written_tensors(self, subgraph) -> set[int]:
        """Tensors that are the graph's inputs or some operator's output."""
        written = set(_indices(subgraph, "Inputs"))
        for i in range(self.length(subgraph.OperatorsLength(), "operators")):
            written.update(_indices(subgraph.Operators(i), "Outputs"))
        return written

    def tensor(self, table, index: int, written: bool) -> Tensor:
        name = (table.Name() or b"").decode(errors="replace")[:_LONGEST_NAME]
        shape = [int(size) for size in _vector(table, "Shape")]
        if shape and shape[0] == -1:
            shape[0] = 1  # a free batch
        if len(shape) > 8 or any(size < 0 or size > 1 << 31 for size in shape):
            raise ModelError(f"tensor {index} ({name!r}) has a shape that is not fixed or not valid: {shape}")
        type_name = _TYPE_NAMES.get(table.Type(), f"type {table.Type()}")
        dtype = np.dtype(_DTYPES.get(type_name, _OPAQUE))
        data = None if written else self.constant(table, index, name, tuple(shape), dtype)
        if table.IsVariable():
            raise ModelError(
                f"tensor {index} ({name!r}) is a variable, but state between inferences is not supported"
            )
        return Tensor(
            index,
            name,
            tuple(shape),
            dtype,
            self.quantization(table, index, name, shape, dtype),
            data,
            type_name,
        )

    def constant(
        self, table, index: int, name: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> np.ndarray | None:
        number = table.Buffer()
        if number >= self.model.BuffersLength():
            raise ModelError(
                f"tensor {index} ({name!r}) refers to buffer {number}, which the file does not have"
            )
        buffer = self.model.Buffers(number)
        if (
            buffer.Offset() > 1
        ):  # 0 and 1 mean "inside the flatbuffer"; models above 2 GiB append their buffers
            start, size = buffer.Offset(), buffer.Size()
            if start + size > len(self.contents):
                raise ModelError(f"tensor {index} ({name!r}) has its data beyond the end of the file")
            contents = np.frombuffer(self.contents, np.uint8, size, start)
        else:
            contents = buffer.DataAsNumpy() if not buffer.DataIsNone() else np.empty(0, np.uint8)
        expected = math.prod(shape) * dtype.itemsize
        if len(contents) == 0 and expected > 0:
            return None
        if dtype == _OPAQUE:
            return np.array(contents).view("V1")
        if len(contents) != expected:
            raise ModelError(
                f"tensor {index} ({name!r}) has {len(contents)} bytes of data, its shape needs {expected}"
            )
        data = np.array(contents).view(dtype.newbyteorder("<")).astype(dtype).reshape(shape)
        data.setflags(write=False)
        return data

    def quantization(
        self, table, index: int, name: str, shape: list[int], dtype: np.dtype
    ) -> Quantization | None:
        parameters = table.Quantization()
        if parameters is None or parameters.ScaleLength() == 0:
            return None
        scales = _vector(parameters, "Scale").astype(np.float32)
        if not np.all(np.isfinite(scales)) or np.any(scales < 0):
            raise ModelError(f"tensor {index} ({name!r}) has a scale that is negative or not finite")
        if parameters.ZeroPointLength():
            zero_points = _vector(parameters, "ZeroPoint").astype(np.int64)
        else:
            zero_points = np.zeros(len(scales), np.int64)
        if len(zero_points) == 1:
            zero_points = np.repeat(zero_points, len(scales))
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            if np.any(zero_points < limits.min) or np.any(zero_points > limits.max):
                raise ModelError(f"tensor {index} ({name!r}) has a zero point outside the range of its type")
        axis = parameters.QuantizedDimension()
        consistent = len(zero_points) == len(scales)
        if len(scales) > 1:
            consistent &= 0 <= axis < len(shape) and shape[axis] == len(scales)
        if not consistent:
            raise ModelError(
                f"tensor {index} ({name!r}) has {len(scales)} scales and {len(zero_points)} zero points for "
                f"axis {axis} of shape {tuple(shape)}"
            )
        return Quantization(scales, zero_points, axis)

    def operator(self, table, index: int) -> Operator:
        number = table.OpcodeIndex()
        if not 0 <= number < len(self.kinds):
            raise ModelError(
                f"operator {index} refers to operator code {number}, which the file does not have"
            )
        kind = self.kinds[number]
        return Operator(
            index, kind, _indices(table, "Inputs"), _indices(table, "Outputs"), _options(table, kind)
        )


def _builtin_code(code) -> int:
    """The 32-bit operator code, field 3 of the table; 0 when absent."""
    offset = code._tab.Offset(4 + 2 * 3)
    return code._tab.Get(number_types.Int32Flags, offset + code._tab.Pos) if offset else 0


def _options(table, kind: str) -> dict:
    """Options of an operator: the schema's defaults, overridden by what the file holds."""
    options = default_options(kind)
    name = _TABLE_NAMES.get(table.BuiltinOptionsType(), "")
    union = table.BuiltinOptions()
    if name not in OPTION_TABLES or union is None or KIND_TO_TABLE.get(kind, name) != name:
        return options
    reader = getattr(tflite, name)()
    reader.Init(union.Bytes, union.Pos)
    for field in OPTION_TABLES[name]:
        if field.form == "ints":
            options[field.name] = tuple(int(value) for value in _vector(reader, field.accessor))
            continue
        value = getattr(reader, field.accessor)()
        match field.form:
            case "activation":
                value = ACTIVATIONS.get(value, f"activation {value}")
            case "padding":
                value = PADDINGS.get(value, f"padding {value}")
        options[field.name] = value
    return options


def _vector(table, accessor: str) -> np.ndarray:
    """A vector of numbers, empty when absent."""
    if getattr(table, f"{accessor}Length")() == 0:
        return np.empty(0, np.int64)
    return np.array(getattr(table, f"{accessor}AsNumpy")())


def _indices(table, accessor: str) -> tuple[int, ...]:
    return tuple(int(value) for value in _vector(table, accessor))


def _check(graph: Graph) -> None:
    """Every tensor index exists, and every tensor is written (once) before it is read."""
    count = len(graph.tensors)
    for tensor in (*graph.inputs, *graph.outputs):
        if not 0 <= tensor < count:
            raise ModelError(
                f"the model's inputs and outputs refer to tensor {tensor}, which it does not have"
            )
    ready = set(graph.inputs) | {tensor.index for tensor in graph.tensors if tensor.constant}
    for operator in graph.operators:
        label = f"operator {operator.index} ({operator.kind})"
        for tensor in operator.inputs:
            if not -1 <= tensor < count:
                raise ModelError(f"{label} refers to tensor {tensor}, which the model does not have")
            if tensor >= 0 and tensor not in ready:
                raise ModelError(
                    f"{label} reads tensor {tensor} ({graph.tensors[tensor].name!r}) before it is written"
                )
        for tensor in operator.outputs:
            if not 0 <= tensor < count:
                raise ModelError(f"{label} refers to tensor {tensor}, which the model does not have")
            if tensor in ready:
                raise ModelError(
                    f"{label} writes tensor {tensor} ({graph.tensors[tensor].name!r}) a second time"
                )
            ready.add(tensor)
    for tensor in graph.outputs:
        if tensor not in ready:
            raise ModelError(f"output tensor {tensor} ({graph.tensors[tensor].name!r}) is never written")
    if not graph.inputs or not graph.outputs:
        raise ModelError("the model has no inputs or no outputs")
