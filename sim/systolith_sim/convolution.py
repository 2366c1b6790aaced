"""A convolution as a network of one operator, for benchmarks."""

import numpy as np

from systolith_compiler.graph import Graph, Operator, Quantization, Tensor
from systolith_compiler.tflite_options import default_options
from systolith_golden.windows import output_size

__all__ = ["convolution_graph", "convolution_sample"]


def convolution_graph(height: int, width: int, channels: int, outputs: int, *, kernel: tuple[int, int] = (3, 3),
                      stride: int = 1, dilation: int = 1, padding: str = "same", depthwise: bool = False,
                      seed: int = 1) -> Graph:
    """Network of one CONV_2D or DEPTHWISE_CONV_2D with seeded random weights and biases.

    The scales spread the results over the int8 range.

    Parameters
    ----------
    height, width, channels : int
        Input.
    outputs : int
        Output channels; for depthwise a multiple of `channels`.
    kernel : tuple of int
        Height, width.
    stride, dilation : int
        The same in both directions.
    padding : str
        "same" or "valid".
    depthwise : bool
    seed : int

    Raises
    ------
    ValueError
        There is no such convolution; the message is one line that says why.
    """
    sizes = tuple(output_size(size, extent, stride, dilation, padding.upper())
                  for size, extent in zip((height, width), kernel, strict=True))
    if depthwise and outputs % channels:
        raise ValueError(f"Output channels must be a multiple of {channels}, the input channels, not {outputs}")
    if min(sizes) < 1:
        raise ValueError(f"Kernel must be at most as large as the image, {height}x{width}, not {kernel[0]}x{kernel[1]}"
                         + (f" with dilation {dilation}" if dilation > 1 else ""))
    generator = np.random.default_rng(seed)
    depth = 1 if depthwise else channels
    weights = generator.integers(-127, 128, (1, *kernel, outputs) if depthwise else (outputs, *kernel, depth), np.int8)
    reduction = kernel[0] * kernel[1] * depth
    spread = 73.0 * 73.0 * np.sqrt(reduction) / 40.0  # standard deviation of a sum, brought to 40 codes
    bias = generator.integers(-int(spread), int(spread) + 1, outputs, np.int32)
    scales = generator.uniform(0.5, 1.0, outputs).astype(np.float32)
    int8, int32 = np.dtype(np.int8), np.dtype(np.int32)
    axis = 3 if depthwise else 0
    zeros = np.zeros(outputs, np.int64)
    tensors = [
        Tensor(0, "input", (1, height, width, channels), int8, Quantization.per_tensor(1.0, -3), None, "INT8"),
        Tensor(1, "weights", weights.shape, int8, Quantization(scales, zeros, axis), weights, "INT8"),
        Tensor(2, "bias", (outputs,), int32, Quantization(scales, zeros, 0), bias, "INT32"),
        Tensor(3, "output", (1, *sizes, outputs), int8, Quantization.per_tensor(float(np.float32(spread)), 5), None, "INT8"),
    ]
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    options = {**default_options(kind), "padding": padding.upper(), "stride_h": stride, "stride_w": stride,
               "dilation_h": dilation, "dilation_w": dilation}
    if depthwise:
        options["depth_multiplier"] = outputs // channels
    name = f"{kind.lower()} {kernel[0]}x{kernel[1]} on {height}x{width}x{channels} to {outputs}"
    return Graph(name, tensors, [Operator(0, kind, (0, 1, 2), (3,), options)], (0,), (3,))


def convolution_sample(height: int, width: int, channels: int, seed: int) -> list[np.ndarray]:
    """A seeded random input."""
    return [np.random.default_rng(seed + 1).integers(-128, 128, (1, height, width, channels), np.int8)]
