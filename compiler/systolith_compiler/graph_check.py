"""Checks that the tensors of every operator fit together, so that the compiler may rely on it.

One rule per kind of operator computes the shape of the output from inputs, constants and options; a model whose
output says otherwise is inconsistent. Types and quantisation are the business of who executes the operator.
"""

from collections.abc import Callable
from math import prod
from typing import NoReturn

import numpy as np

from systolith_golden.windows import output_size

from .graph import Graph, ModelError, Operator, Tensor
from .tflite_shapes import strided_slice_index

__all__ = ["check_operators"]

Shape = tuple[int, ...]
_LARGEST_TENSOR = 1 << 31


def check_operators(graph: Graph) -> None:
    """Raise ModelError for the first operator whose tensors do not fit together; unknown kinds are skipped.

    Inputs and outputs of the network must be of a type that numpy has.
    """
    for index in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[index]
        if tensor.dtype.kind == "V":
            raise ModelError(f"Tensor {index} ({tensor.name!r}) has a type that is not supported: {tensor.type_name}")
    for operator in graph.operators:
        if operator.kind in _RULES:
            _Check(graph, operator).run()


class _Check:
    """One operator: its tensors, and `fail` to name it."""

    def __init__(self, graph: Graph, operator: Operator):
        self.graph = graph
        self.operator = operator
        self.options = operator.options

    def fail(self, reason: str) -> NoReturn:
        raise ModelError(f"Operator {self.operator.index} ({self.operator.kind}) is inconsistent: {reason}")

    def require(self, rule: bool, reason: str) -> None:
        if not rule:
            self.fail(reason)

    def run(self) -> None:
        least, most, rule, exact = _RULES[self.operator.kind]
        count = len(self.operator.inputs)
        self.require(least <= count <= most, f"it must have {least} to {most} inputs, not {count}")
        self.require(len(self.operator.outputs) == 1, f"it must have one output, not {len(self.operator.outputs)}")
        for index in (*self.operator.inputs, *self.operator.outputs):
            if index >= 0:
                tensor = self.graph.tensors[index]
                self.require(all(tensor.shape) and prod(tensor.shape) <= _LARGEST_TENSOR,
                             f"{tensor.name!r} must have 1 to {_LARGEST_TENSOR} elements, not shape {tensor.shape}")
                self.require(tensor.quantization is None or tensor.constant or bool(tensor.quantization.scales.all()),
                             f"{tensor.name!r} must have a scale above 0")
        for position in range(min(count, 2 if most == 3 else count)):
            self.require(self.operator.inputs[position] >= 0, f"input {position} is missing")
        shape, output = rule(self), self.graph.output_tensor(self.operator).shape
        fits = shape == output if exact else prod(shape) == prod(output)
        self.require(fits, f"its output must have shape {shape}, not {output}")

    def tensor(self, position: int, rank: int | None = None) -> Tensor:
        """An input, of so many dimensions."""
        tensor = self.graph.input_tensor(self.operator, position)
        if tensor is None:
            self.fail(f"input {position} is missing")
        self.require(rank is None or len(tensor.shape) == rank,
                     f"{tensor.name!r} must have {rank} dimensions, not shape {tensor.shape}")
        return tensor

    def integers(self, position: int) -> list[int] | None:
        """Contents of a constant of integers; None when it is computed, which the host refuses by itself."""
        tensor = self.tensor(position)
        if tensor.data is None:
            return None
        self.require(tensor.data.dtype.kind in "iu", f"{tensor.name!r} must hold integers, not {tensor.dtype}")
        return [int(value) for value in tensor.data.reshape(-1)]

    def axis(self, value: int, rank: int) -> int:
        """An axis counted from 0."""
        self.require(-rank <= value < rank, f"axis {value} must be one of {rank} dimensions")
        return value % rank

    def option(self, *names: str) -> tuple[int, ...]:
        """Options that are counts."""
        values = tuple(self.options.get(name, 1) for name in names)
        for name, value in zip(names, values, strict=True):
            self.require(1 <= value <= 1 << 30, f"{name} must be at least 1, not {value}")
        return values

    def same_type(self, *positions: int) -> None:
        output = self.graph.output_tensor(self.operator)
        for position in positions:
            tensor = self.tensor(position)
            self.require(tensor.dtype == output.dtype,
                         f"{tensor.name!r} and {output.name!r} must have one type, not {tensor.dtype} and {output.dtype}")


def _windows(check: _Check, image: Shape, kernel: Shape) -> Shape:
    """Height and width of the output of a convolution or pool."""
    strides = check.option("stride_h", "stride_w")
    dilations = check.option("dilation_h", "dilation_w")
    padding = check.options["padding"]
    check.require(padding in ("SAME", "VALID"), f"padding must be SAME or VALID, not {padding}")
    sizes = tuple(output_size(image[i + 1], kernel[i], strides[i], dilations[i], padding) for i in (0, 1))
    check.require(min(sizes) >= 1, f"a kernel of {kernel} with dilation {dilations} must fit into {image[1:3]}")
    return sizes


def _scales_and_bias(check: _Check, channels: int) -> None:
    weights, bias = check.tensor(1), check.graph.input_tensor(check.operator, 2)
    scales = 1 if weights.quantization is None else len(weights.quantization.scales)
    check.require(scales in (1, channels), f"it has {scales} weight scales for {channels} output channels")
    check.require(bias is None or prod(bias.shape) == channels,
                  f"the bias must have {channels} elements, not shape {bias.shape if bias else ()}")


def _convolution(check: _Check) -> Shape:
    image, kernel = check.tensor(0, 4).shape, check.tensor(1, 4).shape
    check.require(image[3] % kernel[3] == 0 and kernel[0] % (image[3] // kernel[3]) == 0,
                  f"weights of shape {kernel} do not fit {image[3]} channels")
    _scales_and_bias(check, kernel[0])
    return (image[0], *_windows(check, image, kernel[1:3]), kernel[0])


def _depthwise(check: _Check) -> Shape:
    image, kernel = check.tensor(0, 4).shape, check.tensor(1, 4).shape
    check.require(kernel[0] == 1 and kernel[3] % image[3] == 0, f"weights of shape {kernel} do not fit {image[3]} channels")
    _scales_and_bias(check, kernel[3])
    return (image[0], *_windows(check, image, kernel[1:3]), kernel[3])


def _fully_connected(check: _Check) -> Shape:
    size, weights = prod(check.tensor(0).shape), check.tensor(1, 2).shape
    check.require(size % weights[1] == 0, f"weights of shape {weights} do not fit {size} inputs")
    _scales_and_bias(check, weights[0])
    output = check.graph.output_tensor(check.operator).shape
    check.require(output[-1:] == (weights[0],), f"its output must end in {weights[0]} channels, not have shape {output}")
    return (size // weights[1], weights[0])


def _pool(check: _Check) -> Shape:
    image = check.tensor(0, 4).shape
    return (image[0], *_windows(check, image, check.option("filter_h", "filter_w")), image[3])


def _mean(check: _Check) -> Shape:
    shape, axes = check.tensor(0).shape, check.integers(1)
    if axes is None:
        return check.graph.output_tensor(check.operator).shape
    gone = {check.axis(axis, len(shape)) for axis in axes}
    if check.options.get("keep_dims"):
        return tuple(1 if axis in gone else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _pad(check: _Check) -> Shape:
    shape, margins = check.tensor(0).shape, check.integers(1)
    if margins is None:
        return check.graph.output_tensor(check.operator).shape
    check.require(len(margins) == 2 * len(shape) and min(margins, default=0) >= 0,
                  f"paddings {margins[:16]} do not fit an input of shape {shape}")
    return tuple(size + margins[2 * i] + margins[2 * i + 1] for i, size in enumerate(shape))


def _same(check: _Check) -> Shape:
    return check.tensor(0).shape


def _alias(check: _Check) -> Shape:
    check.same_type(0)
    return check.tensor(0).shape


def _broadcast(check: _Check) -> Shape:
    shapes = check.tensor(0).shape, check.tensor(1).shape
    for position in (0, 1):
        quantization = check.tensor(position).quantization
        check.require(quantization is None or bool(quantization.scales.all()), f"input {position} must have a scale above 0")
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        check.fail(f"shapes {shapes[0]} and {shapes[1]} do not fit together")


def _transpose(check: _Check) -> Shape:
    check.same_type(0)
    shape, order = check.tensor(0).shape, check.integers(1)
    if order is None:
        return check.graph.output_tensor(check.operator).shape
    check.require(sorted(order) == list(range(len(shape))), f"permutation {order[:8]} does not fit shape {shape}")
    return tuple(shape[axis] for axis in order)


def _concatenation(check: _Check) -> Shape:
    check.same_type(*range(len(check.operator.inputs)))
    first = check.tensor(0).shape
    axis = check.axis(check.options["axis"], len(first))
    total = 0
    for position in range(len(check.operator.inputs)):
        shape = check.tensor(position).shape
        check.require(len(shape) == len(first) and shape[:axis] + shape[axis + 1:] == first[:axis] + first[axis + 1:],
                      f"shapes {first} and {shape} do not fit together on axis {axis}")
        total += shape[axis]
    return (*first[:axis], total, *first[axis + 1:])


def _strided_slice(check: _Check) -> Shape:
    check.same_type(0)
    shape = check.tensor(0).shape
    bounds = [check.integers(position) for position in (1, 2, 3)]
    if None in bounds:
        return check.graph.output_tensor(check.operator).shape
    try:
        index = strided_slice_index(shape, *map(np.array, bounds), check.options)
        return () if index is None else np.broadcast_to(np.int8(0), shape)[index].shape
    except (IndexError, ValueError):
        check.fail(f"bounds {bounds} do not fit an input of shape {shape}")


def _gather(check: _Check) -> Shape:
    check.same_type(0)
    shape = check.tensor(0).shape
    axis = check.axis(check.options["axis"], len(shape))
    return (*shape[:axis], *check.tensor(1).shape, *shape[axis + 1:])


def _blocks(check: _Check) -> tuple[Shape, list[int], list[int]]:
    """Input shape, block sizes and margins, for one or two spatial dimensions."""
    shape = check.tensor(0).shape
    block, margins = check.integers(1), check.integers(2)
    if block is None or margins is None:
        check.fail("its block and margins must be constants")
    check.require(len(shape) == len(block) + 2 and len(block) in (1, 2) and len(margins) == 2 * len(block)
                  and min(block) >= 1 and min(margins) >= 0,
                  f"a block of {block[:4]} with margins {margins[:8]} does not fit an input of shape {shape}")
    return shape, block, margins


def _space_to_batch(check: _Check) -> Shape:
    shape, block, margins = _blocks(check)
    sizes = [shape[1 + i] + margins[2 * i] + margins[2 * i + 1] for i in range(len(block))]
    check.require(all(size % by == 0 for size, by in zip(sizes, block, strict=True)),
                  f"a padded image of {sizes} is not divisible by the block {block}")
    return (shape[0] * prod(block), *(size // by for size, by in zip(sizes, block, strict=True)), shape[-1])


def _batch_to_space(check: _Check) -> Shape:
    shape, block, crops = _blocks(check)
    check.require(shape[0] % prod(block) == 0, f"a batch of {shape[0]} is not divisible by the block {block}")
    sizes = [shape[1 + i] * by - crops[2 * i] - crops[2 * i + 1] for i, by in enumerate(block)]
    check.require(min(sizes) >= 1, f"crops {crops} leave nothing of shape {shape}")
    return (shape[0] // prod(block), *sizes, shape[-1])


# Fewest and most inputs, the rule, and whether the output has exactly that shape or only as many elements.
_RULES: dict[str, tuple[int, int, Callable[[_Check], Shape], bool]] = {
    "CONV_2D": (2, 3, _convolution, True),
    "DEPTHWISE_CONV_2D": (2, 3, _depthwise, True),
    "FULLY_CONNECTED": (2, 3, _fully_connected, False),
    "MAX_POOL_2D": (1, 1, _pool, True),
    "AVERAGE_POOL_2D": (1, 1, _pool, True),
    "MEAN": (2, 2, _mean, True),
    "PAD": (2, 2, _pad, True),
    "PADV2": (2, 3, _pad, True),
    "TRANSPOSE": (2, 2, _transpose, True),
    "CONCATENATION": (1, 1 << 16, _concatenation, True),
    "STRIDED_SLICE": (4, 4, _strided_slice, False),
    "GATHER": (2, 2, _gather, False),
    "SPACE_TO_BATCH_ND": (3, 3, _space_to_batch, True),
    "BATCH_TO_SPACE_ND": (3, 3, _batch_to_space, True),
    **{kind: (2, 2, _broadcast, True) for kind in ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE")},
    **{kind: (1, 2, _alias, False) for kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")},
    **{kind: (1, 1, _same, True) for kind in (
        "RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE", "DEQUANTIZE", "SOFTMAX", "LOGISTIC", "TANH", "RSQRT")},
}
