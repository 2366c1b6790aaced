"""Quantised networks of any shape for tests, with scales that keep activations spread over the int8 range.

`NetworkBuilder` is used like a small framework: each method appends an operator and returns the index of its
output tensor. A random sample travels along in floating point; its range chooses each tensor's scale and zero
point, as calibration does in a converter. Results of inferences come from the golden models, never from here.
"""

from collections.abc import Collection, Sequence

import numpy as np

from systolith_compiler.graph import Graph, Operator, Quantization, Tensor
from systolith_compiler.tflite_options import default_options
from systolith_golden.arithmetic import ACTIVATION_BOUNDS
from systolith_golden.windows import output_size, same_padding, windows

__all__ = ["EXTRA_STEPS", "STEPS", "NetworkBuilder", "random_graph", "random_inputs", "random_network"]

Pair = tuple[int, int]


def random_inputs(graph: Graph, seed: int) -> list[np.ndarray]:
    """Random contents for every input of a graph, over the whole range of its type."""
    generator = np.random.default_rng(seed)
    arrays = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.dtype.kind == "f":
            arrays.append(generator.normal(size=tensor.shape).astype(tensor.dtype))
        else:
            limits = np.iinfo(tensor.dtype)
            arrays.append(generator.integers(limits.min, limits.max + 1, tensor.shape).astype(tensor.dtype))
    return arrays


class NetworkBuilder:
    """Builds a network operator by operator.

    Methods that take `source` work on that tensor, by default on the output of the latest operator.

    Parameters
    ----------
    seed : int
        Of weights, scales and the sample; the same calls with the same seed give the same graph.
    input_shape : sequence of int
        With the batch axis in front: (1, H, W, C) for images.
    name : str

    Attributes
    ----------
    input : int
        Tensor index of the network's input.
    latest : int
        Output of the latest operator.
    """

    def __init__(self, seed: int, input_shape: Sequence[int], name: str = "random"):
        self.name = name
        self.rng = np.random.default_rng(seed)
        self._tensors: list[Tensor] = []
        self._operators: list[Operator] = []
        self._samples: dict[int, np.ndarray] = {}
        self._inputs: list[int] = []
        self.input = self.latest = self.add_input(input_shape)

    # Tensors

    def add_input(self, shape: Sequence[int]) -> int:
        """One more input of the network."""
        sample = self.rng.uniform(-1, 1, tuple(shape)) * self.rng.uniform(0.5, 4)
        sample += self.rng.uniform(-1, 1) * sample.max() * 0.5
        self._inputs.append(self._activation("input", sample, self._calibrate(sample)))
        return self._inputs[-1]

    def unused(self) -> tuple[int, ...]:
        """Results that no operator reads."""
        read = {index for operator in self._operators for index in operator.inputs}
        return tuple(operator.outputs[0] for operator in self._operators if operator.outputs[0] not in read)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._tensors[tensor].shape

    def tensor(self, tensor: int) -> Tensor:
        """A tensor by its index."""
        return self._tensors[tensor]

    def constant(self, shape: Sequence[int], magnitude: float = 1.0) -> int:
        """A constant int8 tensor with random contents, for ADD, SUB and MUL."""
        sample = self.rng.normal(size=tuple(shape)) * magnitude
        quantization = self._calibrate(sample)
        index = self._constant("constant", self._quantized(sample, quantization), quantization)
        self._samples[index] = sample
        return index

    def graph(self, *outputs: int) -> Graph:
        """The network so far; its output is the latest tensor unless others are named."""
        return Graph(
            self.name, list(self._tensors), list(self._operators), tuple(self._inputs), outputs or (self.latest,)
        )

    def _append(self, name: str, shape, dtype, quantization, data=None) -> int:
        index = len(self._tensors)
        type_name = np.dtype(dtype).name.upper()
        self._tensors.append(
            Tensor(index, f"{name}_{index}", tuple(shape), np.dtype(dtype), quantization, data, type_name)
        )
        return index

    def _constant(self, name: str, data: np.ndarray, quantization: Quantization | None = None) -> int:
        data = np.ascontiguousarray(data)
        data.setflags(write=False)
        return self._append(name, data.shape, data.dtype, quantization, data)

    def _activation(self, name: str, sample: np.ndarray, quantization: Quantization) -> int:
        index = self._append(name, sample.shape, np.int8, quantization)
        low, high = ((code - quantization.zero_point) * quantization.scale for code in (-128, 127))
        self._samples[index] = np.clip(sample, low, high)
        return index

    def _calibrate(self, sample: np.ndarray) -> Quantization:
        """Scale and zero point for the range of a sample, stretched or shrunk a little at random."""
        low, high = min(float(sample.min()), 0.0), max(float(sample.max()), 0.0)
        scale = max((high - low) / 255 * self.rng.uniform(0.7, 1.3), 1e-6)
        zero_point = int(np.clip(np.round(-128 - low / scale), -128, 127))
        return Quantization.per_tensor(np.float32(scale), zero_point)

    @staticmethod
    def _quantized(sample: np.ndarray, quantization: Quantization) -> np.ndarray:
        codes = np.round(sample / quantization.scale) + quantization.zero_point
        return np.clip(codes, -128, 127).astype(np.int8)

    def _emit(
        self, kind: str, inputs: Sequence[int], sample: np.ndarray, quantization=None, **options
    ) -> int:
        """Append an operator; without a quantisation, the output's is calibrated."""
        output = self._activation(kind.lower(), sample, quantization or self._calibrate(sample))
        index = len(self._operators)
        self._operators.append(
            Operator(index, kind, tuple(inputs), (output,), {**default_options(kind), **options})
        )
        self.latest = output
        return output

    def _source(self, source: int | None) -> int:
        return self.latest if source is None else source

    # Products with weights

    def _weights(self, shape: Sequence[int], axis: int, per_channel: bool) -> tuple[int, np.ndarray]:
        codes = self.rng.integers(-127, 128, shape).astype(np.int8)
        if per_channel:
            scales = (10.0 ** self.rng.uniform(-3.5, -1.5, shape[axis])).astype(np.float32)
        else:
            scales = np.array([10.0 ** self.rng.uniform(-3, -2)], np.float32)
        quantization = Quantization(scales, np.zeros(len(scales), np.int64), axis if per_channel else 0)
        broadcast = [1] * len(shape)
        broadcast[axis] = -1
        real = codes * scales.astype(np.float64).reshape(broadcast)
        return self._constant("weights", codes, quantization), real

    def _bias(self, source: int, weights: int, products: np.ndarray, extreme: bool) -> tuple[int, np.ndarray]:
        """A bias of the products' magnitude; with `extreme`, codes up to 2**30 as dead channels have them."""
        channels = products.shape[-1]
        scales = self._tensors[source].scale * self._tensors[weights].quantization.scales.astype(np.float64)
        real = self.rng.normal(size=channels) * (products.std() + 1e-9)
        codes = np.clip(np.round(real / scales), -(2**30), 2**30)
        if extreme:
            codes[self.rng.integers(channels)] = self.rng.choice([-1, 1]) * (2**30 + self.rng.integers(256))
        quantization = Quantization(scales.astype(np.float32), np.zeros(len(scales), np.int64), 0)
        return self._constant("bias", codes.astype(np.int32), quantization), codes * scales

    def _product(
        self,
        kind: str,
        source: int,
        weights: int,
        products: np.ndarray,
        bias: bool,
        extreme: bool,
        options: dict,
    ) -> int:
        inputs = [source, weights]
        if bias:
            bias_tensor, offsets = self._bias(source, weights, products, extreme)
            inputs.append(bias_tensor)
            typical = products + np.where(np.abs(offsets) > 20 * products.std(), 0, offsets)
            products = products + offsets
        else:
            # As converters write an absent bias; -1 for a convolution crashes TensorFlow Lite Micro or LiteRT.
            if kind == "FULLY_CONNECTED":
                inputs.append(-1)
            typical = products
        quantization = self._calibrate(self._activated(typical, options["activation"]))
        return self._emit(
            kind, inputs, self._activated(products, options["activation"]), quantization, **options
        )

    @staticmethod
    def _activated(sample: np.ndarray, activation: str) -> np.ndarray:
        low, high = ACTIVATION_BOUNDS[activation]
        return np.clip(sample, low, high) if (low, high) != (None, None) else sample

    def _windows(
        self, source: int, kernel: Pair, stride: Pair, dilation: Pair, padding: str, fill=0.0
    ) -> np.ndarray:
        image = self.shape(source)
        sizes = tuple(output_size(image[i + 1], kernel[i], stride[i], dilation[i], padding) for i in (0, 1))
        if min(sizes) < 1:
            raise ValueError(f"Kernel {kernel} with dilation {dilation} must fit an image of {image[1:3]}")
        before = (0, 0)
        if padding == "SAME":
            before = tuple(
                same_padding(image[i + 1], kernel[i], stride[i], dilation[i], sizes[i]) for i in (0, 1)
            )
        return windows(
            self._samples[source],
            kernel=kernel,
            strides=stride,
            dilations=dilation,
            before=before,
            sizes=sizes,
            fill=fill,
        )

    def conv(
        self,
        channels: int,
        *,
        kernel: Pair = (3, 3),
        stride: Pair = (1, 1),
        dilation: Pair = (1, 1),
        padding: str = "SAME",
        activation: str = "NONE",
        per_channel: bool = True,
        bias: bool = True,
        extreme: bool = False,
        source: int | None = None,
    ) -> int:
        """CONV_2D with random weights; `extreme` gives one channel a bias near 2**30."""
        source = self._source(source)
        views = self._windows(source, kernel, stride, dilation, padding)
        weights, real = self._weights((channels, *kernel, self.shape(source)[3]), 0, per_channel)
        products = np.tensordot(views, real, axes=((3, 4, 5), (1, 2, 3)))
        options = _window_options(stride, dilation, padding, activation)
        return self._product("CONV_2D", source, weights, products, bias, extreme, options)

    def depthwise(
        self,
        *,
        multiplier: int = 1,
        kernel: Pair = (3, 3),
        stride: Pair = (1, 1),
        dilation: Pair = (1, 1),
        padding: str = "SAME",
        activation: str = "NONE",
        per_channel: bool = True,
        bias: bool = True,
        source: int | None = None,
    ) -> int:
        """DEPTHWISE_CONV_2D with random weights; `multiplier` outputs per input channel."""
        source = self._source(source)
        views = np.repeat(self._windows(source, kernel, stride, dilation, padding), multiplier, axis=5)
        weights, real = self._weights((1, *kernel, views.shape[5]), 3, per_channel)
        products = (views * real).sum(axis=(3, 4))
        options = _window_options(stride, dilation, padding, activation) | {"depth_multiplier": multiplier}
        return self._product("DEPTHWISE_CONV_2D", source, weights, products, bias, False, options)

    def fully_connected(
        self,
        channels: int,
        *,
        activation: str = "NONE",
        per_channel: bool = False,
        bias: bool = True,
        keep_num_dims: bool = False,
        extreme: bool = False,
        source: int | None = None,
    ) -> int:
        """FULLY_CONNECTED with random weights; reads the last axis, or everything after the batch."""
        source = self._source(source)
        sample = self._samples[source]
        rows = sample if keep_num_dims else sample.reshape(sample.shape[0], -1)
        weights, real = self._weights((channels, rows.shape[-1]), 0, per_channel)
        options = {"activation": activation, "keep_num_dims": keep_num_dims}
        return self._product("FULLY_CONNECTED", source, weights, rows @ real.T, bias, extreme, options)

    def dilated_conv(
        self,
        channels: int,
        *,
        kernel: Pair = (3, 3),
        dilation: Pair = (2, 2),
        padding: str = "SAME",
        activation: str = "NONE",
        depthwise: bool = False,
        source: int | None = None,
    ) -> int:
        """A dilated convolution as converters write it: SPACE_TO_BATCH_ND, CONV_2D, BATCH_TO_SPACE_ND."""
        source = self._source(source)
        margins, crops = [], []
        for axis in (0, 1):
            total = (kernel[axis] - 1) * dilation[axis] if padding == "SAME" else 0
            size = self.shape(source)[axis + 1]
            extra = -(size + total) % dilation[axis]
            margins.append((total // 2, total - total // 2 + extra))
            crops.append((0, extra))
        self._space_to_batch(source, dilation, margins)
        if depthwise:
            self.depthwise(kernel=kernel, padding="VALID", activation=activation)
        else:
            self.conv(channels, kernel=kernel, padding="VALID", activation=activation)
        return self._batch_to_space(self.latest, dilation, crops)

    def _space_to_batch(self, source: int, block: Pair, margins: list[Pair]) -> int:
        image = np.pad(self._samples[source], ((0, 0), *margins, (0, 0)))
        batch, height, width, depth = image.shape
        blocks = image.reshape(batch, height // block[0], block[0], width // block[1], block[1], depth)
        sample = blocks.transpose(2, 4, 0, 1, 3, 5).reshape(-1, height // block[0], width // block[1], depth)
        inputs = [source, self._indices("block", block), self._indices("paddings", margins)]
        return self._emit("SPACE_TO_BATCH_ND", inputs, sample, self._tensors[source].quantization)

    def _batch_to_space(self, source: int, block: Pair, crops: list[Pair]) -> int:
        batch, height, width, depth = self.shape(source)
        blocks = self._samples[source].reshape(*block, batch // (block[0] * block[1]), height, width, depth)
        whole = blocks.transpose(2, 3, 0, 4, 1, 5).reshape(-1, height * block[0], width * block[1], depth)
        sample = whole[:, : whole.shape[1] - crops[0][1], : whole.shape[2] - crops[1][1]]
        inputs = [source, self._indices("block", block), self._indices("crops", crops)]
        return self._emit("BATCH_TO_SPACE_ND", inputs, sample, self._tensors[source].quantization)

    def _indices(self, name: str, values) -> int:
        return self._constant(name, np.array(values, np.int32))

    # Elements

    def add(self, first: int, second: int, *, activation: str = "NONE") -> int:
        """ADD; shapes broadcast."""
        sample = self._activated(self._samples[first] + self._samples[second], activation)
        return self._emit("ADD", (first, second), sample, activation=activation)

    def subtract(self, first: int, second: int, *, activation: str = "NONE") -> int:
        """SUB; shapes broadcast."""
        sample = self._activated(self._samples[first] - self._samples[second], activation)
        return self._emit("SUB", (first, second), sample, activation=activation)

    def multiply(self, first: int, second: int, *, activation: str = "NONE") -> int:
        """MUL; shapes broadcast."""
        sample = self._activated(self._samples[first] * self._samples[second], activation)
        return self._emit("MUL", (first, second), sample, activation=activation)

    def relu(self, source: int | None = None) -> int:
        """RELU as an operator of its own, rescaling to the range that is left."""
        source = self._source(source)
        return self._emit("RELU", (source,), np.maximum(self._samples[source], 0))

    def relu6(self, source: int | None = None) -> int:
        """RELU6 as an operator of its own, with the input's quantisation, which must be able to express 6.

        TensorFlow Lite Micro aborts where 6 lies above the range, so a QUANTIZE widens such an input first.
        """
        source = self._source(source)
        tensor = self._tensors[source]
        if np.round(6 / tensor.scale) + tensor.zero_point > 127:
            low = min(float(self._samples[source].min()), 0.0)
            scale = (self.rng.uniform(6.2, 9) - low) / 255
            source = self.quantize(source, Quantization.per_tensor(scale, round(-128 - low / scale)))
        sample = np.clip(self._samples[source], 0, 6)
        return self._emit("RELU6", (source,), sample, self._tensors[source].quantization)

    def quantize(self, source: int | None = None, quantization: Quantization | None = None) -> int:
        """QUANTIZE from int8 to int8, to a random quantisation of the same range unless one is given."""
        source = self._source(source)
        return self._emit("QUANTIZE", (source,), self._samples[source], quantization)

    def softmax(self, source: int | None = None, beta: float = 1.0) -> int:
        """SOFTMAX over the last axis."""
        source = self._source(source)
        exponentials = np.exp(
            beta * (self._samples[source] - self._samples[source].max(axis=-1, keepdims=True))
        )
        sample = exponentials / exponentials.sum(axis=-1, keepdims=True)
        return self._emit("SOFTMAX", (source,), sample, Quantization.per_tensor(1 / 256, -128), beta=beta)

    def logistic(self, source: int | None = None) -> int:
        """LOGISTIC."""
        source = self._source(source)
        sample = 1 / (1 + np.exp(-np.clip(self._samples[source], -50, 50)))
        return self._emit("LOGISTIC", (source,), sample, Quantization.per_tensor(1 / 256, -128))

    def tanh(self, source: int | None = None) -> int:
        """TANH."""
        source = self._source(source)
        return self._emit(
            "TANH", (source,), np.tanh(self._samples[source]), Quantization.per_tensor(1 / 128, 0)
        )

    # Pools and reductions

    def max_pool(
        self,
        *,
        kernel: Pair = (2, 2),
        stride: Pair = (2, 2),
        padding: str = "VALID",
        activation: str = "NONE",
        source: int | None = None,
    ) -> int:
        """MAX_POOL_2D."""
        source = self._source(source)
        views = self._windows(source, kernel, stride, (1, 1), padding, fill=-np.inf)
        sample = self._activated(views.max(axis=(3, 4)), activation)
        options = _pool_options(kernel, stride, padding, activation)
        return self._emit("MAX_POOL_2D", (source,), sample, self._tensors[source].quantization, **options)

    def average_pool(
        self,
        *,
        kernel: Pair = (2, 2),
        stride: Pair = (2, 2),
        padding: str = "VALID",
        activation: str = "NONE",
        source: int | None = None,
    ) -> int:
        """AVERAGE_POOL_2D."""
        source = self._source(source)
        views = self._windows(source, kernel, stride, (1, 1), padding, fill=np.nan)
        sample = self._activated(np.nanmean(views, axis=(3, 4)), activation)
        options = _pool_options(kernel, stride, padding, activation)
        return self._emit("AVERAGE_POOL_2D", (source,), sample, self._tensors[source].quantization, **options)

    def mean(
        self, axes: Sequence[int] = (1, 2), *, keep_dims: bool = False, source: int | None = None
    ) -> int:
        """MEAN over some axes."""
        source = self._source(source)
        sample = self._samples[source].mean(axis=tuple(axes), keepdims=keep_dims)
        return self._emit("MEAN", (source, self._indices("axes", axes)), sample, keep_dims=keep_dims)

    # Moves

    def pad(self, margins: Sequence[Pair], source: int | None = None) -> int:
        """PAD with (before, after) for every axis."""
        source = self._source(source)
        sample = np.pad(self._samples[source], margins)
        inputs = (source, self._indices("paddings", margins))
        return self._emit("PAD", inputs, sample, self._tensors[source].quantization)

    def reshape(self, shape: Sequence[int], source: int | None = None) -> int:
        """RESHAPE; one size may be -1."""
        source = self._source(source)
        sample = self._samples[source].reshape(tuple(shape))
        inputs = (source, self._indices("shape", sample.shape))
        quantization = self._tensors[source].quantization
        return self._emit("RESHAPE", inputs, sample, quantization, new_shape=sample.shape)

    def transpose(self, permutation: Sequence[int], source: int | None = None) -> int:
        """TRANSPOSE."""
        source = self._source(source)
        sample = np.transpose(self._samples[source], permutation)
        inputs = (source, self._indices("permutation", permutation))
        return self._emit("TRANSPOSE", inputs, sample, self._tensors[source].quantization)

    def concat(self, tensors: Sequence[int], axis: int = 3) -> int:
        """CONCATENATION; operands of another quantisation than the first get a QUANTIZE, as converters do."""
        target = self._tensors[tensors[0]].quantization
        aligned = [
            tensor
            if (self._tensors[tensor].scale, self._tensors[tensor].zero_point)
            == (target.scale, target.zero_point)
            else self.quantize(tensor, target)
            for tensor in tensors
        ]
        sample = np.concatenate([self._samples[tensor] for tensor in aligned], axis=axis)
        return self._emit("CONCATENATION", aligned, sample, target, axis=axis)


def _window_options(stride: Pair, dilation: Pair, padding: str, activation: str) -> dict:
    return {
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h": dilation[0],
        "dilation_w": dilation[1],
        "padding": padding,
        "activation": activation,
    }


def _pool_options(kernel: Pair, stride: Pair, padding: str, activation: str) -> dict:
    return {
        "filter_h": kernel[0],
        "filter_w": kernel[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "padding": padding,
        "activation": activation,
    }


# What `random_network` draws from by default: what runs on the accelerator.
STEPS = (
    "conv", "conv", "conv", "dilated_conv", "strided_conv", "residual", "add_constant", "concat", "max_pool",
    "average_pool", "pad", "relu", "relu6", "quantize",
)  # fmt: skip
# Steps that are drawn only when asked for.
EXTRA_STEPS = ("depthwise", "dilated_depthwise", "subtract", "multiply", "transpose", "tanh", "logistic")

_ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def random_network(
    seed: int,
    *,
    steps: Collection[str] = STEPS,
    count: tuple[int, int] = (3, 7),
    max_size: int = 12,
    max_channels: int = 20,
    softmax: bool = True,
) -> Graph:
    """A small valid network of random operators and odd shapes.

    Parameters
    ----------
    seed : int
        The same seed gives the same network.
    steps : collection of str
        Names from `STEPS` and `EXTRA_STEPS`; repeated names are drawn more often.
    count : tuple of int
        Fewest and most steps before the classifier.
    max_size, max_channels : int
        Bounds of image sides and of channels.
    softmax : bool
        Whether the network may end in a SOFTMAX.

    Returns
    -------
    Graph
        One image input and one output. Ends, by chance, in the last image, in a mean or a pool over the whole
        image, or in one or two FULLY_CONNECTED, with or without SOFTMAX.
    """
    draw = _Draw(seed, max_size, max_channels)
    names = list(steps)
    unknown = set(names) - set(STEPS) - set(EXTRA_STEPS)
    if unknown:
        raise ValueError(
            f"Steps must be among {', '.join(dict.fromkeys(STEPS + EXTRA_STEPS))}, not {unknown!r}"
        )
    for _ in range(int(draw.rng.integers(count[0], count[1] + 1))):
        getattr(draw, names[draw.rng.integers(len(names))])()
    draw.finish(softmax)
    return draw.net.graph()


def random_graph(
    seed: int, *, limit: int | None = None, count: tuple[int, int] = (2, 8), max_size: int = 10, max_channels: int = 16
) -> Graph:
    """A small valid network with one or two inputs, results that several operators read, and several outputs.

    Parameters
    ----------
    seed : int
        The same seed gives the same network.
    limit : int, optional
        Draw only so many steps, the first of those that there would be: shrinks a network that fails.
    count : tuple of int
        Fewest and most steps.
    max_size, max_channels : int
        Bounds of image sides and of channels.

    Returns
    -------
    Graph
        Steps of all kinds. Every result that no operator reads is an output, and sometimes one that is read too.
    """
    draw = _Draw(seed, max_size, max_channels)
    net, names = draw.net, STEPS + EXTRA_STEPS
    net.name = f"graph_{seed}"
    images = [net.input]
    if draw.chance(0.4):
        images.append(net.add_input((*net.shape(net.input)[:3], int(draw.rng.integers(1, 10)))))
    steps = int(draw.rng.integers(count[0], count[1] + 1))
    for step in range(steps if limit is None else min(limit, steps)):
        if step == 0 and len(images) > 1:
            net.latest = net.concat(images)
        elif draw.chance(0.4):
            net.latest = images[draw.rng.integers(len(images))]
        if draw.chance(0.25) and (same := [image for image in images if net.shape(image) == net.shape(net.latest)]):
            net.add(net.latest, same[draw.rng.integers(len(same))], activation=draw.pick(*_ACTIVATIONS))
        else:
            getattr(draw, names[draw.rng.integers(len(names))])()
        images.append(net.latest)
    if draw.chance(0.5):
        draw.finish(softmax=True)
    outputs = net.unused()
    if draw.chance(0.2) and images[-1] not in (*outputs, *images[:1]):
        outputs += (images[-1],)
    return net.graph(*outputs)


class _Draw:
    """The steps of `random_network`."""

    def __init__(self, seed: int, max_size: int, max_channels: int):
        self.rng = np.random.default_rng(seed)
        self.max_channels = max_channels
        size = self.rng.integers(3, max_size + 1, 2)
        shape = (1, int(size[0]), int(size[1]), int(self.rng.integers(1, 10)))
        self.net = NetworkBuilder(seed, shape, f"random_{seed}")

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    @property
    def size(self) -> Pair:
        return self.net.shape(self.net.latest)[1:3]

    def channels(self) -> int:
        return int(self.rng.integers(1, self.max_channels + 1))

    def window(self, padding: str, largest: int = 5, dilation: Pair = (1, 1)) -> Pair:
        """A kernel that fits the image."""
        limits = []
        for size, spacing in zip(self.size, dilation, strict=True):
            fitting = (size - 1) // spacing + 1
            limits.append(largest if padding == "SAME" else min(largest, fitting))
        return tuple(int(self.rng.integers(1, limit + 1)) for limit in limits)

    def conv(self, stride: Pair = (1, 1)) -> None:
        padding = self.pick("SAME", "VALID")
        dilation = self.pick((1, 1), (1, 1), (2, 1), (2, 2), (1, 3)) if stride == (1, 1) else (1, 1)
        self.net.conv(
            self.channels(),
            kernel=self.window(padding, dilation=dilation),
            stride=stride,
            dilation=dilation,
            padding=padding,
            activation=self.pick(*_ACTIVATIONS),
            per_channel=self.chance(0.8),
            bias=self.chance(0.85),
            extreme=self.chance(0.15),
        )

    def strided_conv(self) -> None:
        self.conv(stride=self.pick((2, 2), (1, 2), (3, 1), (2, 3)))

    def dilated_conv(self, depthwise: bool = False) -> None:
        padding = self.pick("SAME", "VALID")
        dilation = self.pick((2, 2), (2, 1), (3, 2))
        kernel = self.window(padding, 3, dilation)
        self.net.dilated_conv(
            self.channels(),
            kernel=kernel,
            dilation=dilation,
            padding=padding,
            activation=self.pick(*_ACTIVATIONS),
            depthwise=depthwise,
        )

    def dilated_depthwise(self) -> None:
        self.dilated_conv(depthwise=True)

    def depthwise(self) -> None:
        padding = self.pick("SAME", "VALID")
        stride, dilation = self.pick(
            ((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 2), (1, 1)), ((1, 1), (2, 2)), ((1, 1), (1, 3))
        )
        channels = self.net.shape(self.net.latest)[3]
        self.net.depthwise(
            multiplier=self.pick(1, 1, 2, 3) if channels * 3 <= 2 * self.max_channels else 1,
            kernel=self.window(padding, dilation=dilation),
            stride=stride,
            dilation=dilation,
            padding=padding,
            activation=self.pick(*_ACTIVATIONS),
            per_channel=self.chance(0.8),
            bias=self.chance(0.85),
        )

    def branches(self) -> tuple[int, int]:
        """The latest tensor and a convolution of it with the same shape, in either order."""
        start = self.net.latest
        channels = self.net.shape(start)[3]
        end = self.net.conv(channels, kernel=self.window("SAME", 3), activation=self.pick(*_ACTIVATIONS))
        return self.pick((start, end), (end, start))

    def residual(self) -> None:
        self.net.add(*self.branches(), activation=self.pick(*_ACTIVATIONS))

    def subtract(self) -> None:
        self.net.subtract(*self.branches(), activation=self.pick(*_ACTIVATIONS))

    def multiply(self) -> None:
        self.net.multiply(*self.branches(), activation=self.pick(*_ACTIVATIONS))

    def add_constant(self) -> None:
        latest = self.net.latest
        shape = self.net.shape(latest)
        self.net.add(latest, self.net.constant(self.pick(shape[3:], shape, (1, 1, 1, shape[3]))))

    def concat(self) -> None:
        start = self.net.latest
        other = self.net.conv(self.channels(), kernel=self.window("SAME", 3), activation="RELU")
        self.net.concat(
            self.pick((start, other), (other, start), (other, start, other)), axis=self.pick(3, -1)
        )

    def max_pool(self, average: bool = False) -> None:
        padding = self.pick("SAME", "VALID")
        pool = self.net.average_pool if average else self.net.max_pool
        pool(
            kernel=self.window(padding, 4),
            stride=self.pick((1, 1), (2, 2), (2, 1), (1, 3)),
            padding=padding,
            activation=self.pick(*_ACTIVATIONS),
        )

    def average_pool(self) -> None:
        self.max_pool(average=True)

    def pad(self) -> None:
        margins = self.rng.integers(0, 3, (2, 2)).tolist()
        self.net.pad(((0, 0), *map(tuple, margins), (0, 0)))

    def relu(self) -> None:
        self.net.relu()

    def relu6(self) -> None:
        self.net.relu6()

    def quantize(self) -> None:
        self.net.quantize()

    def transpose(self) -> None:
        self.net.transpose(self.pick((0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 3, 2)))

    def tanh(self) -> None:
        self.net.tanh()

    def logistic(self) -> None:
        self.net.logistic()

    def finish(self, softmax: bool) -> None:
        """Reduce the image, or not, and classify, or not."""
        net = self.net
        match self.pick("none", "mean", "mean_kept", "average", "maximum", "reshape"):
            case "none":
                return
            case "mean":
                net.mean((1, 2))
            case "mean_kept":
                net.mean((1, 2), keep_dims=True)
            case "average":
                net.average_pool(kernel=self.size, stride=self.size)
            case "maximum":
                net.max_pool(kernel=self.size, stride=self.size)
        net.reshape((1, -1))
        if self.chance(0.5):
            net.fully_connected(self.channels(), activation="RELU", per_channel=self.chance(0.5))
        if self.chance(0.7):
            net.fully_connected(self.channels(), bias=self.chance(0.7), extreme=self.chance(0.1))
        if softmax and net.shape(net.latest)[1] <= 200 and self.chance(0.5):  # the sum has to stay below 256
            net.softmax()
