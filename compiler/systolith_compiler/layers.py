"""What the accelerator executes: a network lowered to layers on views of storages.

A *storage* is a run of bytes that holds one or more tensors; a *view* is a tensor's place in it, as
(height, width, channels) with pitches. RESHAPE and CONCATENATION become views, not work. A *layer* is
one unit of scheduling: a matrix product with its requantisation (and, fused, a residual addition), a
window reduction, or an operator left to the host.
"""

from dataclasses import dataclass, field, replace

import numpy as np

__all__ = ["Columns", "HostLayer", "Layer", "MatrixLayer", "Requantization", "Residual", "Storage", "View", "WindowLayer"]


@dataclass(eq=False)
class Storage:
    """A run of bytes that tensors live in.

    Attributes
    ----------
    name : str
    size : int
        Bytes.
    data : np.ndarray or None
        int8 contents when constant.
    columns : Columns or None
        Contents, when they are another storage's in another layout.
    """

    name: str
    size: int
    data: np.ndarray | None = None
    columns: "Columns | None" = None


@dataclass(frozen=True, eq=False)
class View:
    """A tensor's place in a storage: byte (y, x, c) lies at offset + y*row_pitch + x*pixel_pitch + c."""

    storage: Storage
    offset: int
    height: int
    width: int
    channels: int
    pixel_pitch: int
    row_pitch: int

    @classmethod
    def dense(cls, storage: Storage, height: int, width: int, channels: int, offset: int = 0) -> "View":
        """View without gaps."""
        return cls(storage, offset, height, width, channels, channels, width * channels)

    @property
    def size(self) -> int:
        """Bytes of the tensor itself."""
        return self.height * self.width * self.channels

    @property
    def is_dense(self) -> bool:
        """Whether the tensor's bytes are contiguous."""
        return (self.pixel_pitch == self.channels or self.width == 1) and (
            self.row_pitch == self.width * self.pixel_pitch or self.height == 1) and (
            self.width == 1 or self.pixel_pitch == self.channels)

    def reshaped(self, height: int, width: int, channels: int) -> "View":
        """The same contiguous bytes with other dimensions."""
        return View.dense(self.storage, height, width, channels, self.offset)


@dataclass(frozen=True, eq=False)
class Columns:
    """An image in main memory as strips, see `column_strips`.

    Strip i holds, for every row of the image, the pixels from i * stride - padding on, `width` of them; those
    outside the image have the value `pad`.
    """

    source: View
    width: int
    stride: int
    padding: int
    pad: int

    def inside(self, strip: int) -> tuple[int, int]:
        """First and one past the last column of the image in a strip."""
        first = strip * self.stride - self.padding
        last = min(first + self.width, self.source.width)
        return min(max(first, 0), last), last


@dataclass(frozen=True, eq=False)
class Requantization:
    """From 32-bit sums to int8: add bias, scale by multiplier * 2**(exponent - 31), add zero_out, clamp.

    Attributes
    ----------
    bias, multiplier, exponent : np.ndarray
        int64, one entry per output channel, or one for all.
    zero_out, minimum, maximum : int
        int8 range.
    rounding : int
        A `Rounding` value.
    bias_follows_sign : bool
        Subtract the bias from negative sums.
    """

    bias: np.ndarray
    multiplier: np.ndarray
    exponent: np.ndarray
    zero_out: int
    minimum: int
    maximum: int
    rounding: int = 0
    bias_follows_sign: bool = False

    @property
    def uniform(self) -> bool:
        """One entry for all channels."""
        return len(self.bias) == len(self.multiplier) == len(self.exponent) == 1


@dataclass(frozen=True, eq=False)
class Residual:
    """TFLite ADD: operand A is the first, operand B the second source; out = requantize(A' + B')."""

    zero_a: int
    zero_b: int
    multiplier_a: int
    exponent_a: int
    multiplier_b: int
    exponent_b: int
    requantization: Requantization

    def swapped(self) -> "Residual":
        """The same addition with the operands exchanged."""
        return replace(self, zero_a=self.zero_b, zero_b=self.zero_a, multiplier_a=self.multiplier_b,
                       exponent_a=self.exponent_b, multiplier_b=self.multiplier_a, exponent_b=self.exponent_a)


@dataclass(eq=False)
class Layer:
    """Common to all layers.

    Attributes
    ----------
    name : str
        Name of the output tensor.
    op : str
        What it does, in TFLite's terms, fused operators joined by "+".
    operators : list of int
        Indices of the operators it covers.
    macs : int
        Useful multiply-accumulates.
    output : View
    """

    name: str
    op: str
    operators: list[int]
    macs: int
    output: View

    @property
    def sources(self) -> list[View]:
        """Views the layer reads."""
        raise NotImplementedError


@dataclass(eq=False)
class MatrixLayer(Layer):
    """A convolution, depthwise convolution or matrix product.

    Attributes
    ----------
    source : View
        Input.
    weights : np.ndarray
        int8, (output channels, kernel height, kernel width, input channels); for depthwise the last
        dimension is 1.
    depthwise : bool
        Output channel o reads only input channel o // (output channels / input channels).
    strides, dilations, padding : tuple of int
        Vertical, horizontal; padding is before the first row and column.
    pad_value : int
        Zero point of the input.
    requantization : Requantization
        Already contains the input zero point's share of the bias.
    residual : Residual or None
        A fused addition: operand A is this product (requantised), operand B is `residual_source`.
    residual_source : View or None
    """

    source: View
    weights: np.ndarray
    depthwise: bool
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: tuple[int, int]
    pad_value: int
    requantization: Requantization
    residual: Residual | None = None
    residual_source: View | None = None

    @property
    def sources(self) -> list[View]:
        return [self.source] + ([self.residual_source] if self.residual_source else [])


@dataclass(eq=False)
class WindowLayer(Layer):
    """A reduction of windows by sum or maximum: pooling, MEAN, and (with 1x1 windows) QUANTIZE, RELU, PAD, copies.

    `source_b` makes it an elementwise ADD of two tensors of the same shape.
    """

    source: View
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int]
    pad_value: int
    zero_in: int
    maximum: bool
    requantization: Requantization
    average: bool = False
    residual: Residual | None = None
    source_b: View | None = None

    @property
    def sources(self) -> list[View]:
        return [self.source] + ([self.source_b] if self.source_b else [])


@dataclass(eq=False)
class SoftmaxLayer(WindowLayer):
    """SOFTMAX over the channels of each pixel: a window layer of single elements with its own lane tables.

    Attributes
    ----------
    exponentials : np.ndarray
        By distance from the largest value, int64 in Q0.31, shape (256,).
    """

    exponentials: np.ndarray = field(kw_only=True)


@dataclass(eq=False)
class HostLayer(Layer):
    """An operator that runs on the host, between two programs."""

    inputs: list[View] = field(default_factory=list)
    reason: str = ""

    @property
    def sources(self) -> list[View]:
        return self.inputs
