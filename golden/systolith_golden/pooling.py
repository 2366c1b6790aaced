"""MAX_POOL_2D, AVERAGE_POOL_2D and MEAN."""

import numpy as np

from .arithmetic import divide_truncating, mean_multiplier, quantize_multiplier, requantize
from .call import Call
from .geometry import window_geometry
from .windows import windows

__all__ = ["pool_average", "pool_maximum", "reduce_mean"]


def _geometry(call: Call) -> dict:
    call.require_int8(0)
    if len(call.tensor(0).shape) != 4:
        call.reject("the input must have four dimensions")
    return window_geometry(call, (call.options["filter_h"], call.options["filter_w"]))


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
