"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: products, sums and requantisation.

Products are summed with float64 matrix multiplication, which is exact here: |x - zx| <= 255 and
|w - zw| <= 255, so sums of fewer than 2**37 products stay below 2**53.
"""

import numpy as np

from .arithmetic import quantize_multiplier, quantize_multipliers, requantize, wrap_int32
from .call import Call
from .geometry import window_geometry
from .windows import windows

__all__ = ["convolve", "convolve_depthwise", "fully_connect", "output_multipliers"]


def output_multipliers(call: Call, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Requantisation of each output channel: M = s_in * s_w / s_out, in double precision.

    Returns
    -------
    multipliers, exponents : np.ndarray
        int64, `channels` entries.
    """
    scales = call.tensor(1).quantization.scales.astype(np.float64)
    multipliers, exponents = quantize_multipliers(call.tensor(0).scale * scales / call.output.scale)
    if len(multipliers) not in (1, channels):
        call.reject(f"it has {len(multipliers)} weight scales for {channels} output channels")
    return np.broadcast_to(multipliers, channels), np.broadcast_to(exponents, channels)


def add_bias(call: Call, accumulators: np.ndarray) -> np.ndarray:
    """Add the bias, if there is one, and keep 32 bits."""
    bias = call.optional(2)
    if bias is None:
        return wrap_int32(accumulators)
    if bias.dtype != np.int32:
        call.reject(f"the bias is {bias.type_name or bias.dtype}, only INT32 is implemented")
    return wrap_int32(accumulators + call.value(2).astype(np.int64).reshape(-1))


def _check_images(call: Call) -> None:
    call.require_int8(0, 1)
    if len(call.tensor(0).shape) != 4 or len(call.tensor(1).shape) != 4:
        call.reject("input and weights must have four dimensions")


def _dilations(call: Call) -> tuple[int, int]:
    return call.options["dilation_h"], call.options["dilation_w"]


def convolve(call: Call) -> np.ndarray:
    """CONV_2D: input (N, H, W, C), weights (K, kh, kw, C / groups), bias (K,)."""
    _check_images(call)
    weights = call.value(1).astype(np.float64) - call.tensor(1).zero_point
    channels, *kernel, depth = weights.shape
    image = call.offset_value(0)
    groups, rest = divmod(image.shape[3], depth)
    if rest or channels % groups:
        call.reject(f"weights of depth {depth} do not fit an input with {image.shape[3]} channels")
    columns = windows(
        image.astype(np.float64), **window_geometry(call, tuple(kernel), _dilations(call)), fill=0.0
    )
    batch, height, width = columns.shape[:3]
    per_group = channels // groups
    accumulators = np.empty((batch, height, width, channels), np.int64)
    for group in range(groups):
        block = slice(group * per_group, (group + 1) * per_group)
        taken = columns[..., group * depth : (group + 1) * depth].reshape(batch * height * width, -1)
        sums = taken @ weights[block].reshape(per_group, -1).T
        accumulators[..., block] = sums.reshape(batch, height, width, per_group).astype(np.int64)
    accumulators = add_bias(call, accumulators)
    return call.finish(requantize(accumulators, *output_multipliers(call, channels), call.rounding))


def convolve_depthwise(call: Call) -> np.ndarray:
    """DEPTHWISE_CONV_2D: input (N, H, W, C), weights (1, kh, kw, C * multiplier), bias (C * multiplier,)."""
    _check_images(call)
    weights = call.value(1).astype(np.int32) - np.int32(call.tensor(1).zero_point)
    one, *kernel, channels = weights.shape
    image = call.offset_value(0)
    multiplier, rest = divmod(channels, image.shape[3])
    if one != 1 or rest:
        call.reject(f"weights of shape {weights.shape} do not fit an input with {image.shape[3]} channels")
    if multiplier > 1:
        image = np.repeat(image, multiplier, axis=3)  # output channel c reads input channel c // multiplier
    columns = windows(image, **window_geometry(call, tuple(kernel), _dilations(call)), fill=0)
    accumulators = np.zeros((*columns.shape[:3], channels), np.int32)
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            accumulators += columns[:, :, :, row, column, :] * weights[0, row, column]
    accumulators = add_bias(call, accumulators)
    return call.finish(requantize(accumulators, *output_multipliers(call, channels), call.rounding))


def fully_connect(call: Call) -> np.ndarray:
    """FULLY_CONNECTED: input (..., K) taken as rows of K, weights (N, K), bias (N,).

    The weights may be an activation with a zero point, as in attention.
    """
    call.require_int8(0, 1)
    weights = call.value(1).astype(np.float64) - call.tensor(1).zero_point
    if weights.ndim != 2 or call.options["weights_format"] != 0:
        call.reject("weights must be a plain matrix")
    channels, depth = weights.shape
    if call.tensor(0).size % depth:
        call.reject(f"an input of shape {call.tensor(0).shape} cannot be split into rows of {depth}")
    rows = call.offset_value(0).astype(np.float64).reshape(-1, depth)
    accumulators = add_bias(call, (rows @ weights.T).astype(np.int64))
    if call.tensor(1).quantization.per_channel:
        multiplier, exponent = output_multipliers(call, channels)
    else:
        multiplier, exponent = quantize_multiplier(fully_connected_scale(call))
    return call.finish(requantize(accumulators, multiplier, exponent, call.rounding))


def fully_connected_scale(call: Call) -> float:
    """Real multiplier of a FULLY_CONNECTED whose weights have one scale."""
    return call.tensor(0).scale * call.tensor(1).scale / call.output.scale
