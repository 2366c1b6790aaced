"""Writes a `Graph` as a `.tflite` file, so that networks of any shape can be made without TensorFlow.

The files are meant for tests: they hold what the reader reads and what TensorFlow Lite Micro needs.
"""

from pathlib import Path

import flatbuffers
import numpy as np
import tflite

from systolith_compiler.graph import Graph, Operator, Tensor
from systolith_compiler.tflite_options import ACTIVATIONS, KIND_TO_TABLE, OPTION_TABLES, PADDINGS

__all__ = ["serialize_tflite", "write_tflite"]

_PADDING_CODES = {name: code for code, name in PADDINGS.items()}
_ACTIVATION_CODES = {name: code for code, name in ACTIVATIONS.items()}
_TYPE_CODES = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
}
_ALIGNMENT = 16  # runtimes read constants in place


def write_tflite(graph: Graph, path: str | Path) -> None:
    """Write a model file; see `serialize_tflite`."""
    Path(path).write_bytes(serialize_tflite(graph))


def serialize_tflite(
    graph: Graph, *, external_buffers: bool = False, omit_zero_points: bool = False
) -> bytes:
    """Contents of a model file.

    Parameters
    ----------
    graph : Graph
        Operators in execution order; tensors whose `index` is their position.
    external_buffers : bool
        Put constants behind the flatbuffer, as converters do with models above 2 GiB.
    omit_zero_points : bool
        Leave out zero points that are all zero, as some converters do.

    Returns
    -------
    bytes
        The same bytes for the same graph.
    """
    if not external_buffers:
        return _Writer(graph, omit_zero_points, None).contents()
    # Offsets are fixed-width fields, so a first pass with made-up ones finds the length of the flatbuffer.
    length = len(_Writer(graph, omit_zero_points, 1 << 40).contents())
    start = -(-length // _ALIGNMENT) * _ALIGNMENT
    writer = _Writer(graph, omit_zero_points, start)
    return writer.contents().ljust(start, b"\0") + writer.appended


class _Writer:
    """Builds one flatbuffer; `external` is the file offset of appended constants, or None."""

    def __init__(self, graph: Graph, omit_zero_points: bool, external: int | None):
        self.graph = graph
        self.omit_zero_points = omit_zero_points
        self.external = external
        self.appended = b""
        self.builder = flatbuffers.Builder(1 << 16)

    def contents(self) -> bytes:
        graph, builder = self.graph, self.builder
        kinds = sorted({operator.kind for operator in graph.operators})
        constants = [tensor for tensor in graph.tensors if tensor.constant]
        numbers = {tensor.index: number for number, tensor in enumerate(constants, start=1)}
        buffers = [self.buffer(b""), *(self.buffer(tensor.data.tobytes()) for tensor in constants)]
        tensors = [self.tensor(tensor, numbers.get(tensor.index, 0)) for tensor in graph.tensors]
        operators = [self.operator(operator, kinds.index(operator.kind)) for operator in graph.operators]
        subgraph = self.subgraph(tensors, operators)
        codes_vector = self.tables([self.code(kind) for kind in kinds])
        subgraphs_vector = self.tables([subgraph])
        buffers_vector = self.tables(buffers)
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, codes_vector)
        tflite.ModelAddSubgraphs(builder, subgraphs_vector)
        tflite.ModelAddBuffers(builder, buffers_vector)
        builder.Finish(tflite.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def tables(self, offsets: list[int]) -> int:
        """A vector of tables."""
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def numbers(self, values, dtype) -> int:
        """A vector of numbers."""
        return self.builder.CreateNumpyVector(np.array(values, dtype))

    def buffer(self, contents: bytes) -> int:
        builder = self.builder
        if contents and self.external is not None:
            offset = self.external + len(self.appended)
            self.appended += contents.ljust(-(-len(contents) // _ALIGNMENT) * _ALIGNMENT, b"\0")
            tflite.BufferStart(builder)
            tflite.BufferAddOffset(builder, offset)
            tflite.BufferAddSize(builder, len(contents))
            return tflite.BufferEnd(builder)
        data = None
        if contents:
            builder.Prep(_ALIGNMENT, len(contents))
            data = builder.CreateByteVector(contents)
        tflite.BufferStart(builder)
        if data is not None:
            tflite.BufferAddData(builder, data)
        return tflite.BufferEnd(builder)

    def quantization(self, tensor: Tensor) -> int | None:
        quantization = tensor.quantization
        if quantization is None:
            return None
        scales = self.numbers(quantization.scales, np.float32)
        zero_points = None
        if not self.omit_zero_points or np.any(quantization.zero_points):
            zero_points = self.numbers(quantization.zero_points, np.int64)
        tflite.QuantizationParametersStart(self.builder)
        tflite.QuantizationParametersAddScale(self.builder, scales)
        if zero_points is not None:
            tflite.QuantizationParametersAddZeroPoint(self.builder, zero_points)
        tflite.QuantizationParametersAddQuantizedDimension(self.builder, quantization.axis)
        return tflite.QuantizationParametersEnd(self.builder)

    def tensor(self, tensor: Tensor, buffer: int) -> int:
        builder = self.builder
        shape = self.numbers(tensor.shape, np.int32)
        name = builder.CreateString(tensor.name)
        quantization = self.quantization(tensor)
        tflite.TensorStart(builder)
        tflite.TensorAddShape(builder, shape)
        tflite.TensorAddType(builder, _TYPE_CODES[tensor.dtype])
        tflite.TensorAddBuffer(builder, buffer)
        tflite.TensorAddName(builder, name)
        if quantization is not None:
            tflite.TensorAddQuantization(builder, quantization)
        return tflite.TensorEnd(builder)

    def code(self, kind: str) -> int:
        number = getattr(tflite.BuiltinOperator, kind)
        tflite.OperatorCodeStart(self.builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self.builder, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(self.builder, number)
        tflite.OperatorCodeAddVersion(self.builder, 1)
        return tflite.OperatorCodeEnd(self.builder)

    def options(self, operator: Operator, table: str) -> int:
        """The option table of an operator; keys that `options` lacks get the schema's default."""
        values = {}
        for field in OPTION_TABLES[table]:
            value = operator.options.get(field.name, field.default)
            match field.form:
                case "activation":
                    value = _ACTIVATION_CODES[value]
                case "padding":
                    value = _PADDING_CODES[value]
                case "ints":
                    value = self.numbers(value, np.int32)
            values[field.accessor] = value
        getattr(tflite, f"{table}Start")(self.builder)
        for accessor, value in values.items():
            getattr(tflite, f"{table}Add{accessor}")(self.builder, value)
        return getattr(tflite, f"{table}End")(self.builder)

    def operator(self, operator: Operator, code: int) -> int:
        builder = self.builder
        table = KIND_TO_TABLE.get(operator.kind)
        options = None if table is None else self.options(operator, table)
        inputs = self.numbers(operator.inputs, np.int32)
        outputs = self.numbers(operator.outputs, np.int32)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, code)
        tflite.OperatorAddInputs(builder, inputs)
        tflite.OperatorAddOutputs(builder, outputs)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, table))
            tflite.OperatorAddBuiltinOptions(builder, options)
        return tflite.OperatorEnd(builder)

    def subgraph(self, tensors: list[int], operators: list[int]) -> int:
        builder, graph = self.builder, self.graph
        tensors_vector = self.tables(tensors)
        operators_vector = self.tables(operators)
        inputs = self.numbers(graph.inputs, np.int32)
        outputs = self.numbers(graph.outputs, np.int32)
        name = builder.CreateString(graph.name)
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors_vector)
        tflite.SubGraphAddInputs(builder, inputs)
        tflite.SubGraphAddOutputs(builder, outputs)
        tflite.SubGraphAddOperators(builder, operators_vector)
        tflite.SubGraphAddName(builder, name)
        return tflite.SubGraphEnd(builder)
