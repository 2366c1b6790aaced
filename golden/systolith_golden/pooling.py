"""MAX_POOL_2D, AVERAGE_POOL_2D and MEAN."""

import numpy as np

from .arithmetic import divide_truncating, mean_multiplier, quantize_multiplier, requantize
from .call import Call
from .windows import output_size, same_padding, windows

__all__ = ["pool_average", "pool_maximum", "reduce_mean"]


def _geometry(call: Call) -> dict:
    options = call.options
    kernel = options["filter_h"], options["filter_w"]
    strides = options["stride_h"], options["stride_w"]
    call.require_int8(0)
    if len(call.tensor(0).shape) != 4:
        call.reject("the input must have four dimensions")
    if min(*kernel, *strides) < 1:
        call.reject(f"filter {kernel} and strides {strides} must be at least 1")
    image = call.tensor(0).shape
    sizes = tuple(output_size(image[i + 1], kernel[i], strides[i], 1, options["padding"]) for i in (0, 1))
    before = (0, 0)
    if options["padding"] == "SAME":
        before = tuple(same_padding(image[i + 1], kernel[i], strides[i], 1, sizes[i]) for i in (0, 1))
    return {"kernel": kernel, "strides": strides, "dilations": (1, 1), "before": before, "sizes": sizes}


def pool_maximum(call: Call) -> np.ndarray:
    """MAX_POOL_2D; padding never wins."""
    views = windows(call.value(0), **_geometry(call), fill=-128)
    return call.clamp(views.max(axis=(3, 4)).astype(np.int64))


def pool_average(call: Call) -> np.ndarray:
    """AVERAGE_POOL_2D: the mean of the cells inside the image, rounded half away from zero, no rescaling."""
    geometry = _geometry(call)
    # The stored values are averaged, zero point included: input and output are quantised alike.
    sums = windows(call.value(0).astype(np.int64), **geometry, fill=0).sum(axis=(3, 4))
    inside = np.ones((1, *call.tensor(0).shape[1:3], 1), np.int64)
    counts = windows(inside, **geometry, fill=0).sum(axis=(3, 4))
    halves = counts // 2
    return call.clamp(divide_truncating(sums + np.where(sums > 0, halves, -halves), counts))


def reduce_mean(call: Call) -> np.ndarray:
    """MEAN over any axes, requantised with the division folded into the multiplier."""
    call.require_int8(0)
    values = call.offset_value(0).astype(np.int64)
    axes = tuple(sorted({int(axis) % values.ndim for axis in call.constant(1).reshape(-1)}))
    count = int(np.prod([values.shape[axis] for axis in axes], dtype=np.int64))
    multiplier, exponent = quantize_multiplier(call.tensor(0).scale / call.output.scale)
    multiplier, exponent = mean_multiplier(multiplier, exponent, count)
    return call.finish(requantize(values.sum(axis=axes), multiplier, exponent, call.rounding))
