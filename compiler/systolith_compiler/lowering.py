"""From a graph of TFLite operators to layers: folds zero points into biases, fuses, and decides what runs where."""

from collections.abc import Callable

import numpy as np

from systolith_golden.arithmetic import activation_range, add_parameters, mean_multiplier, quantize_multiplier
from systolith_golden.interpreter import check_supported
from systolith_golden.operators import macs
from systolith_golden.tables import softmax_exponentials
from systolith_golden.windows import output_size, same_padding
from systolith_spec.commands import Rounding

from .graph import Graph, Operator, Tensor, UnsupportedError
from .graph_check import check_operators
from .layers import HostLayer, Layer, MatrixLayer, Requantization, Residual, SoftmaxLayer, Storage, View, WindowLayer

__all__ = ["Lowered", "lower"]

_IDENTITY = (1 << 30, 1)  # multiplier and exponent that change nothing: x * 2 * 2**30 / 2**31
_MAX_WINDOW = 255         # kernel rows and columns of a window walk
_ALIASES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of a tensor; leading dimensions beyond three join the height."""
    dims = (1, 1, 1, *shape)
    return int(np.prod(dims[:-2])), dims[-2], dims[-1]


class Lowered:
    """Result of `lower`: layers in execution order, and where each tensor lives.

    Attributes
    ----------
    graph : Graph
    layers : list of Layer
    views : dict of int to View
        By tensor index, for every activation that exists in memory.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.layers: list[Layer] = []
        self.views: dict[int, View] = {}


def lower(graph: Graph, *, rounding: Rounding = Rounding.DOUBLE, residual_add: bool = True, pooling: bool = True,
          softmax_channels: int = 0, on_host: frozenset[int] = frozenset()) -> Lowered:
    """Lower a graph.

    Parameters
    ----------
    graph : Graph
    rounding : Rounding
        Rule of every requantisation: DOUBLE is TensorFlow Lite Micro's.
    residual_add, pooling : bool
        Optional units of the accelerator; without them their operators run on the host.
    softmax_channels : int
        Most channels of a SOFTMAX on the accelerator.
    on_host : frozenset of int
        Operators that must run on the host in any case.

    Raises
    ------
    UnsupportedError
        An operator or type that neither the accelerator nor the host can execute.
    ModelError
        The tensors of an operator do not fit together.
    """
    check_supported(graph)
    check_operators(graph)
    return _Lowering(graph, rounding, residual_add, pooling, softmax_channels, on_host).result


class _Lowering:
    """State of one lowering: the graph is visited operator by operator, in execution order."""

    def __init__(self, graph: Graph, rounding: Rounding, residual_add: bool, pooling: bool, softmax_channels: int,
                 on_host: frozenset[int]):
        self.graph = graph
        self.rounding = rounding
        self.residual_add = residual_add and pooling
        self.pooling = pooling
        self.softmax_channels = softmax_channels
        self.result = Lowered(graph)
        self.consumed: set[int] = set()          # operators already covered by an earlier layer
        self.pads: dict[int, tuple[int, tuple[int, int], tuple[int, int]]] = {}
        self.concatenated = self._plan_concatenations()
        handlers: dict[str, Callable[[Operator], bool]] = {
            "CONV_2D": self.convolution, "DEPTHWISE_CONV_2D": self.convolution, "FULLY_CONNECTED": self.fully_connected,
            "MAX_POOL_2D": self.pool, "AVERAGE_POOL_2D": self.pool, "MEAN": self.mean, "PAD": self.pad, "PADV2": self.pad,
            "ADD": self.add, "RELU": self.rescale, "RELU_N1_TO_1": self.rescale, "RELU6": self.rescale,
            "QUANTIZE": self.rescale, "CONCATENATION": self.concatenation, "SPACE_TO_BATCH_ND": self.space_to_batch,
            "SOFTMAX": self.softmax,
            **{kind: self.alias for kind in _ALIASES},
        }
        for index in graph.inputs:
            self.new_view(graph.tensors[index])
        for operator in graph.operators:
            if operator.index in self.consumed:
                continue
            handler = None if operator.index in on_host else handlers.get(operator.kind)
            if handler is None or not handler(operator):
                self.host(operator)

    # Tensors and views.

    def new_view(self, tensor: Tensor) -> View:
        """Give a tensor a place: its slot in a concatenation when it has one, else a storage of its own."""
        if tensor.index in self.concatenated:
            output, axis, position = self.concatenated[tensor.index]
            if output not in self.result.views:
                self.new_view(self.graph.tensors[output])
            whole = self.result.views[output]
            height, width, channels = _image_shape(tensor.shape)
            offset = whole.offset + position * (whole.row_pitch, whole.pixel_pitch, 1)[axis]
            view = View(whole.storage, offset, height, width, channels, whole.pixel_pitch, whole.row_pitch)
        else:
            storage = Storage(tensor.name, tensor.size * tensor.dtype.itemsize)
            view = View.dense(storage, *_image_shape(tensor.shape))
        self.result.views[tensor.index] = view
        return view

    def view(self, index: int) -> View:
        """Place of a tensor; constants get a storage with contents on first use."""
        if index not in self.result.views:
            tensor = self.graph.tensors[index]
            if tensor.data is None:
                raise UnsupportedError(self.graph, self.graph.consumers(index)[0],
                                       f"nothing computes its input {tensor.name!r}")
            storage = Storage(tensor.name, tensor.data.nbytes, np.ascontiguousarray(tensor.data))
            self.result.views[index] = View.dense(storage, *_image_shape(tensor.shape))
        return self.result.views[index]

    def is_int8(self, *indices: int) -> bool:
        """Whether all tensors are int8 with one scale."""
        tensors = [self.graph.tensors[index] for index in indices]
        return all(t.dtype == np.int8 and t.quantization is not None and not t.quantization.per_channel for t in tensors)

    def sole_consumer(self, index: int) -> Operator | None:
        """The only operator that reads a tensor; None when there are several or it is a graph output."""
        consumers = self.graph.consumers(index)
        return consumers[0] if len(consumers) == 1 and index not in self.graph.outputs else None

    def emit(self, layer: Layer) -> bool:
        """Append a layer; returns True so that handlers can end with it."""
        self.result.layers.append(layer)
        return True

    def common(self, operators: list[Operator], op: str, output: View) -> dict:
        """Constructor arguments that all layers share."""
        return {
            "name": self.graph.tensors[operators[-1].outputs[0]].name, "op": op, "output": output,
            "operators": [operator.index for operator in operators],
            "macs": sum(macs(self.graph, operator) for operator in operators),
        }

    def clamp_of(self, operator: Operator, activation: str | None = None) -> dict:
        """Output zero point and clamp of an operator."""
        output = self.graph.output_tensor(operator)
        activation = activation or operator.options.get("activation", "NONE")
        try:
            low, high = activation_range(activation, output.scale, output.zero_point)
        except ValueError:
            raise UnsupportedError(self.graph, operator, f"the fused activation {activation} is not implemented") from None
        return {"zero_out": output.zero_point, "minimum": low, "maximum": high, "rounding": int(self.rounding)}

    def uniform(self, operator: Operator, multiplier: int, exponent: int, bias: int = 0, **changes) -> Requantization:
        """Requantisation with one entry for all channels."""
        if exponent > 30:
            raise UnsupportedError(self.graph, operator, "a requantisation factor of 2**30 or more cannot be applied")
        arrays = {"bias": np.array([bias]), "multiplier": np.array([multiplier]), "exponent": np.array([exponent])}
        return Requantization(**{**arrays, **self.clamp_of(operator), **changes})

    # Operators that cost nothing.

    def alias(self, operator: Operator) -> bool:
        source = self.view(operator.inputs[0])
        output = self.graph.output_tensor(operator)
        if not source.is_dense or output.index in self.concatenated:
            return self.copy(operator, source)
        self.result.views[output.index] = source.reshaped(*_image_shape(output.shape))
        return True

    def copy(self, operator: Operator, source: View) -> bool:
        """Copy a tensor whose bytes must move although its values do not change."""
        output = self.graph.output_tensor(operator)
        if not self.pooling or not self.is_int8(operator.inputs[0], output.index):
            return False
        target = self.new_view(output)
        if not target.is_dense and (target.height, target.width, target.channels) != (
                source.height, source.width, source.channels):
            return False
        into = source if target.is_dense else target
        clamps = {"zero_out": 0, "minimum": -128, "maximum": 127}
        return self.emit(WindowLayer(
            **self.common([operator], operator.kind, View(target.storage, target.offset, into.height, into.width,
                                                          into.channels, into.channels, into.width * into.channels)
                          if target.is_dense else target),
            source=source, kernel=(1, 1), strides=(1, 1), padding=(0, 0), pad_value=0, zero_in=0, maximum=False,
            requantization=self.uniform(operator, *_IDENTITY, **clamps)))

    def _plan_concatenations(self) -> dict[int, tuple[int, int, int]]:
        """Inputs of CONCATENATION that can be computed in place: tensor -> (output, axis of 3, position)."""
        plan = {}
        graph = self.graph
        for operator in graph.operators:
            if operator.kind != "CONCATENATION" or not self.is_int8(*operator.inputs, *operator.outputs):
                continue
            axis = self._concatenation_axis(operator)
            if axis is None or operator.options.get("activation", "NONE") != "NONE":
                continue
            position = 0
            for index in operator.inputs:
                tensor = graph.tensors[index]
                producer = graph.producer(index)
                makes = producer is not None and producer.kind in (
                    "CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D", "DEPTHWISE_CONV_2D", "PAD", "PADV2")
                alone = self.sole_consumer(index) is not None and operator.inputs.count(index) == 1
                same = tensor.scale == graph.output_tensor(operator).scale
                if makes and alone and same and tensor.data is None and len(tensor.shape) == 4:
                    plan[index] = (operator.outputs[0], axis, position)
                position += _image_shape(tensor.shape)[axis]
        # A concatenation whose own output sits in another one would nest pitches: keep the outer one only.
        return {index: entry for index, entry in plan.items() if entry[0] not in plan}

    def _concatenation_axis(self, operator: Operator) -> int | None:
        """Axis among (height, width, channels); None when leading dimensions are in the way."""
        shape = self.graph.output_tensor(operator).shape
        axis = operator.options["axis"] % len(shape)
        from_end = axis - len(shape)
        if from_end < -3 or any(dim != 1 for dim in shape[:-3]):
            return None
        return from_end + 3

    def concatenation(self, operator: Operator) -> bool:
        axis = self._concatenation_axis(operator)
        activation = operator.options.get("activation", "NONE")
        if axis is None or activation != "NONE" or not self.pooling or not self.is_int8(
                *operator.inputs, *operator.outputs):
            return False
        output = self.graph.output_tensor(operator)
        if output.index not in self.result.views:
            self.new_view(output)
        whole = self.result.views[output.index]
        position = 0
        for index in operator.inputs:
            dims = _image_shape(self.graph.tensors[index].shape)
            if index not in self.concatenated:
                offset = whole.offset + position * (whole.row_pitch, whole.pixel_pitch, 1)[axis]
                target = View(whole.storage, offset, *dims, whole.pixel_pitch, whole.row_pitch)
                source = self.view(index)
                if (source.height, source.width, source.channels) != dims:
                    source = source.reshaped(*dims)
                self.emit(WindowLayer(
                    **self.common([operator], operator.kind, target), source=source, kernel=(1, 1), strides=(1, 1),
                    padding=(0, 0), pad_value=0, zero_in=0, maximum=False, requantization=self.uniform(
                        operator, *_IDENTITY, zero_out=0, minimum=-128, maximum=127)))
            position += dims[axis]
        return True

    # Matrix products.

    def geometry(self, operator: Operator, kernel: tuple[int, int]):
        """Strides, dilations and padding of a convolution or pool."""
        options = operator.options
        image = self.graph.tensors[operator.inputs[0]].shape
        strides = options["stride_h"], options["stride_w"]
        dilations = options.get("dilation_h", 1), options.get("dilation_w", 1)
        padding = (0, 0)
        if options["padding"] == "SAME":
            sizes = [output_size(image[i + 1], kernel[i], strides[i], dilations[i], "SAME") for i in (0, 1)]
            padding = tuple(same_padding(image[i + 1], kernel[i], strides[i], dilations[i], sizes[i]) for i in (0, 1))
        return strides, dilations, padding

    def product(self, operators: list[Operator], matrix: Operator, source_index: int, weights: np.ndarray, **geometry) -> bool:
        """A product layer; `matrix` holds weights, bias and scales, the last of `operators` the output."""
        graph = self.graph
        weight = graph.tensors[matrix.inputs[1]]
        output_op = operators[-1]
        channels = weights.shape[0]
        bias = graph.input_tensor(matrix, 2)
        zero_in = graph.tensors[matrix.inputs[0]].zero_point
        base = np.zeros(channels, np.int64) if bias is None else bias.data.astype(np.int64).reshape(-1)
        folded = base - zero_in * weights.reshape(channels, -1).astype(np.int64).sum(axis=1)
        folded = folded.astype(np.int32).astype(np.int64)
        scales = weight.quantization.scales.astype(np.float64)
        output = graph.output_tensor(matrix)
        pairs = np.array([quantize_multiplier(s) for s in graph.tensors[matrix.inputs[0]].scale * scales / output.scale])
        if pairs[:, 1].max() > 30:
            raise UnsupportedError(graph, matrix, "a requantisation factor of 2**30 or more cannot be applied")
        requantization = Requantization(bias=folded, multiplier=pairs[:, 0], exponent=pairs[:, 1], **self.clamp_of(matrix))
        name = "+".join([operator.kind for operator in operators] + (
            [matrix.options["activation"]] if matrix.options.get("activation", "NONE") != "NONE" else []))
        common = self.common(operators, name, self.new_view(graph.output_tensor(output_op)))
        source = self.view(source_index)
        # Many outputs of a single channel are a plain convolution, whose kernel rows are contiguous.
        depthwise = matrix.kind == "DEPTHWISE_CONV_2D" and (source.channels > 1 or channels == 1)
        return self.emit(MatrixLayer(**common, source=source, weights=weights, pad_value=zero_in,
                                     requantization=requantization, depthwise=depthwise, **geometry))

    def matrix_ready(self, operator: Operator, what: str) -> np.ndarray | None:
        """Constant int8 weights without zero point, or None (the host takes the operator)."""
        weight = self.graph.input_tensor(operator, 1)
        bias = self.graph.input_tensor(operator, 2)
        source = self.graph.tensors[operator.inputs[0]]
        output = self.graph.output_tensor(operator)
        for tensor in (source, weight, output):
            if tensor.dtype != np.int8 or tensor.quantization is None:
                raise UnsupportedError(self.graph, operator, f"{tensor.name!r} is {tensor.type_name or tensor.dtype}"
                                       f"{'' if tensor.quantization else ' without scale'}; {what} needs quantised INT8")
        if weight.data is None or np.any(weight.quantization.zero_points != 0):
            return None
        if bias is not None and (bias.data is None or bias.dtype != np.int32):
            raise UnsupportedError(self.graph, operator, f"the bias {bias.name!r} must be a constant of type INT32")
        return weight.data

    def convolution(self, operator: Operator) -> bool:
        weights = self.matrix_ready(operator, operator.kind)
        source = self.graph.tensors[operator.inputs[0]]
        if weights is None or len(source.shape) != 4 or weights.ndim != 4:
            return False
        depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        if depthwise:
            weights = weights[0].transpose(2, 0, 1)[..., np.newaxis]
            grouped = weights.shape[0] % source.shape[3] != 0
        else:
            grouped = weights.shape[3] != source.shape[3]
        kernel = weights.shape[1:3]
        if grouped or source.shape[0] != 1 or max(kernel) > _MAX_WINDOW:
            return False
        strides, dilations, padding = self.geometry(operator, kernel)
        index, operators = operator.inputs[0], [operator]
        if index in self.pads:
            index, before, _ = self.pads[index]
            padding = tuple(padding[i] + before[i] for i in (0, 1))
            operators.insert(0, self.graph.producer(operator.inputs[0]))
        return self.product(operators, operator, index, weights, strides=strides, dilations=dilations, padding=padding)

    def space_to_batch(self, operator: Operator) -> bool:
        """Dilated convolution as converters write it: SPACE_TO_BATCH_ND, CONV_2D, BATCH_TO_SPACE_ND."""
        graph = self.graph
        matrix = self.sole_consumer(operator.outputs[0])
        last = self.sole_consumer(matrix.outputs[0]) if matrix and matrix.kind in (
            "CONV_2D", "DEPTHWISE_CONV_2D") and matrix.inputs[0] == operator.outputs[0] else None
        if last is None or last.kind != "BATCH_TO_SPACE_ND":
            return False
        tables = [graph.tensors[op.inputs[i]].data for op in (operator, last) for i in (1, 2)]
        if any(table is None or table.size not in (2, 4) for table in tables):
            return False
        block, pads, unblock, crops = (table.reshape(-1) for table in tables)
        weights = self.matrix_ready(matrix, matrix.kind)
        source, output = graph.tensors[operator.inputs[0]], graph.output_tensor(last)
        options = matrix.options
        plain = options["stride_h"] == options["stride_w"] == 1 and options.get("dilation_h", 1) == options.get(
            "dilation_w", 1) == 1 and options["padding"] == "VALID"
        if (weights is None or not plain or len(block) != 2 or len(pads) != 4 or np.any(block != unblock)
                or len(source.shape) != 4 or source.shape[0] != 1 or output.shape[0] != 1 or max(weights.shape[1:3]) > 255):
            return False
        if matrix.kind == "DEPTHWISE_CONV_2D":
            weights = weights[0].transpose(2, 0, 1)[..., np.newaxis]
        elif weights.shape[3] != source.shape[3]:
            return False
        self.consumed |= {matrix.index, last.index}
        return self.product([operator, matrix, last], matrix, operator.inputs[0], weights, strides=(1, 1),
                            dilations=(int(block[0]), int(block[1])),
                            padding=(int(pads[0] - crops[0]), int(pads[2] - crops[2])))

    def fully_connected(self, operator: Operator) -> bool:
        weights = self.matrix_ready(operator, operator.kind)
        if weights is None or weights.ndim != 2:
            return False
        source = self.view(operator.inputs[0])
        rows, rest = divmod(source.size, weights.shape[1])
        if rest or rows == 0 or operator.options.get("weights_format", 0) != 0:
            return False
        if not source.is_dense:
            return False
        self.result.views[operator.inputs[0]], kept = source.reshaped(1, rows, weights.shape[1]), source
        done = self.product([operator], operator, operator.inputs[0], weights[:, np.newaxis, np.newaxis, :],
                            strides=(1, 1), dilations=(1, 1), padding=(0, 0))
        self.result.views[operator.inputs[0]] = kept
        layer = self.result.layers[-1]
        if layer.output.is_dense:
            layer.output = layer.output.reshaped(1, rows, weights.shape[0])
        return done

    # Windows.

    def window(self, operator: Operator, kernel, strides, padding, **arguments) -> bool:
        output = self.graph.output_tensor(operator)
        arguments.setdefault("source", self.view(operator.inputs[0]))
        return self.emit(WindowLayer(**self.common([operator], operator.kind, self.new_view(output)), kernel=kernel,
                                     strides=strides, padding=padding, **arguments))

    def pool(self, operator: Operator) -> bool:
        options = operator.options
        kernel = options["filter_h"], options["filter_w"]
        source = self.graph.tensors[operator.inputs[0]]
        if not self.pooling or len(source.shape) != 4 or source.shape[0] != 1 or max(kernel) > _MAX_WINDOW:
            return False
        if not self.is_int8(operator.inputs[0], operator.outputs[0]):
            return False
        strides, _, padding = self.geometry(operator, kernel)
        average = operator.kind == "AVERAGE_POOL_2D"
        if average and kernel[0] * kernel[1] > 4087:
            return False  # the reciprocal is exact up to here: 128.5 * n**2 <= 2**31
        requantization = self.uniform(operator, *_IDENTITY, zero_out=0)
        return self.window(operator, kernel, strides, padding, pad_value=0 if average else -128, zero_in=0,
                           maximum=not average, average=average, requantization=requantization)

    def mean(self, operator: Operator) -> bool:
        source = self.graph.tensors[operator.inputs[0]]
        table = self.graph.tensors[operator.inputs[1]].data
        if not self.pooling or table is None or not self.is_int8(operator.inputs[0], operator.outputs[0]):
            return False
        axes = {int(axis) % len(source.shape) for axis in table.reshape(-1)}
        view = self.view(operator.inputs[0])
        if len(source.shape) == 4 and source.shape[0] == 1 and axes == {1, 2}:
            kernel = view.height, view.width
        else:
            return False
        count = kernel[0] * kernel[1]
        if max(kernel) > _MAX_WINDOW or count >= 1 << 23:
            return False
        factor = quantize_multiplier(source.scale / self.graph.output_tensor(operator).scale)
        multiplier, exponent = mean_multiplier(*factor, count)
        output = self.graph.output_tensor(operator)
        done = self.window(operator, kernel, (1, 1), (0, 0), pad_value=0, zero_in=source.zero_point, maximum=False,
                           requantization=self.uniform(operator, multiplier, exponent))
        layer = self.result.layers[-1]
        if layer.output.is_dense:
            layer.output = layer.output.reshaped(1, 1, output.shape[-1])
        return done

    def pad(self, operator: Operator) -> bool:
        graph = self.graph
        table = graph.tensors[operator.inputs[1]].data
        source, output = graph.tensors[operator.inputs[0]], graph.output_tensor(operator)
        if table is None or len(source.shape) != 4 or not self.is_int8(source.index, output.index):
            return False
        pads = table.reshape(4, 2).astype(int)
        value = output.zero_point
        constant = graph.input_tensor(operator, 2)
        if constant is not None:
            if constant.data is None:
                return False
            value = int(constant.data.reshape(-1)[0])
        if np.any(pads[0]) or np.any(pads < 0):
            return False
        plain_spatial = not np.any(pads[3])
        folds = plain_spatial and value == source.zero_point == output.zero_point and all(
            consumer.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and consumer.inputs[0] == output.index
            and consumer.options["padding"] == "VALID" for consumer in graph.consumers(output.index))
        if folds and output.index not in graph.outputs and graph.consumers(output.index):
            self.view(source.index)
            self.pads[output.index] = (source.index, (int(pads[1, 0]), int(pads[2, 0])), (int(pads[1, 1]), int(pads[2, 1])))
            return True
        if not self.pooling or not plain_spatial:
            return False
        return self.window(operator, (1, 1), (1, 1), (int(pads[1, 0]), int(pads[2, 0])), pad_value=value, zero_in=0,
                           maximum=False, requantization=self.uniform(operator, *_IDENTITY, zero_out=0, minimum=-128,
                                                                      maximum=127))

    def softmax(self, operator: Operator) -> bool:
        """SOFTMAX over the last axis: exponentials become biases, the reciprocal of their sum the scale."""
        source, output = self.graph.tensors[operator.inputs[0]], self.graph.output_tensor(operator)
        if not self.is_int8(source.index, output.index) or source.shape[-1] > self.softmax_channels:
            return False
        table = softmax_exponentials(source.scale, operator.options["beta"])
        if (output.scale, output.zero_point) != (1 / 256, -128) or table is None:
            return False
        requantization = self.uniform(operator, *_IDENTITY, zero_out=-128, minimum=-128, maximum=127,
                                      rounding=int(Rounding.DOUBLE))
        return self.emit(SoftmaxLayer(
            **self.common([operator], operator.kind, self.new_view(output)), source=self.view(source.index), kernel=(1, 1),
            strides=(1, 1), padding=(0, 0), pad_value=0, zero_in=0, maximum=False, requantization=requantization,
            exponentials=table))

    # Elementwise.

    def rescale(self, operator: Operator) -> bool:
        """QUANTIZE, RELU and friends: subtract the zero point, scale, clamp."""
        if not self.pooling or not self.is_int8(operator.inputs[0], operator.outputs[0]):
            return False
        source, output = self.graph.tensors[operator.inputs[0]], self.graph.output_tensor(operator)
        if operator.kind == "RELU6":
            low, high = activation_range("RELU6", source.scale, source.zero_point)
            requantization = self.uniform(operator, *_IDENTITY, zero_out=0, minimum=low, maximum=high)
            return self.elementwise(operator, 0, requantization)
        factor = quantize_multiplier(source.scale / output.scale)
        if factor[1] > 22:
            return False
        activation = operator.kind if operator.kind != "QUANTIZE" else "NONE"
        requantization = self.uniform(operator, *factor, **self.clamp_of(operator, activation))
        return self.elementwise(operator, source.zero_point, requantization)

    def elementwise(self, operator: Operator, zero_in: int, requantization: Requantization) -> bool:
        return self.window(operator, (1, 1), (1, 1), (0, 0), pad_value=0, zero_in=zero_in, maximum=False,
                           requantization=requantization)

    def add(self, operator: Operator) -> bool:
        graph = self.graph
        first, second = (graph.tensors[index] for index in operator.inputs)
        output = graph.output_tensor(operator)
        if not self.residual_add or first.shape != second.shape or first.shape != output.shape or not self.is_int8(
                first.index, second.index, output.index):
            return False
        if first.data is not None and second.data is not None:
            return False
        p = add_parameters(first.scale, second.scale, output.scale)
        if p.exponent_out > 0:
            return False
        residual = Residual(first.zero_point, second.zero_point, p.multiplier_1, p.exponent_1, p.multiplier_2,
                            p.exponent_2, self.uniform(operator, p.multiplier_out, p.exponent_out))
        self.larger_product_last(operator)
        if self.fuse_residual(operator, first, second, residual) or self.fuse_residual(
                operator, second, first, residual.swapped()):
            return True
        return self.window(operator, (1, 1), (1, 1), (0, 0), pad_value=0, zero_in=0, maximum=False,
                           requantization=residual.requantization, residual=residual, source_b=self.view(second.index),
                           source=self.view(first.index))

    def larger_product_last(self, operator: Operator) -> None:
        """Exchange the two products that an addition joins, so that it is fused into the longer one.

        The vector unit needs longer for the addition than the array for the 1x1 convolution of a shortcut.
        """
        if len(self.result.layers) < 2:
            return
        before, last = self.result.layers[-2:]
        joined = {id(self.result.views.get(index)) for index in operator.inputs}
        if (isinstance(before, MatrixLayer) and isinstance(last, MatrixLayer) and before.macs > last.macs
                and joined == {id(before.output), id(last.output)} and before.residual is None and last.residual is None
                and before.output.storage not in [view.storage for view in last.sources]):
            self.result.layers[-2:] = last, before

    def fuse_residual(self, operator: Operator, mine: Tensor, other: Tensor, residual: Residual) -> bool:
        """Fuse an addition into the product just before it."""
        last = self.result.layers[-1] if self.result.layers else None
        if (not isinstance(last, MatrixLayer) or last.residual or mine.data is not None or mine.index == other.index
                or self.sole_consumer(mine.index) is None or self.result.views.get(mine.index) is not last.output
                or mine.index in self.concatenated or operator.outputs[0] in self.concatenated):
            return False
        source = self.view(other.index)
        if not source.is_dense:
            return False
        last.residual, last.residual_source = residual, source
        last.op += "+" + operator.kind
        last.operators.append(operator.index)
        last.name = self.graph.output_tensor(operator).name
        last.output.storage.name = last.name
        self.result.views[operator.outputs[0]] = last.output
        return True

    # What is left.

    def host(self, operator: Operator) -> None:
        """Leave an operator to the host."""
        if operator.inputs and operator.inputs[0] in self.pads:
            raise UnsupportedError(self.graph, operator, "its padded input was fused away")
        inputs = [self.view(index) for index in operator.inputs if index >= 0 and self.graph.tensors[index].data is None]
        self.emit(HostLayer(**self.common([operator], operator.kind, self.new_view(self.graph.output_tensor(operator))),
                            inputs=inputs, reason="not implemented on the accelerator"))
