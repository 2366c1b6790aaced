"""Several output pixels as one: fills the columns of the array when a layer has fewer output channels than it has columns.

Adjacent output pixels of a row lie side by side in memory, and so do the windows that they read. A product with C output
channels therefore equals one with P * C output channels, P-th of the width, P times the stride and a kernel that is wide enough
for P windows: weights of output pixel p are shifted by p strides, the rest is zero. The wider kernel row is still one
contiguous run of bytes, which often fits into the same number of array rows.
"""

from dataclasses import replace
from math import ceil

import numpy as np

from systolith_spec.config import AcceleratorConfig

from .layers import MatrixLayer

__all__ = ["widen"]

_MOST = 16  # pixels in one


def widen(layer: MatrixLayer, config: AcceleratorConfig) -> MatrixLayer:
    """The same layer with as many output pixels in one as saves array cycles, possibly just one."""
    output, source = layer.output, layer.source
    contiguous = source.pixel_pitch == source.channels and output.pixel_pitch == output.channels
    if layer.depthwise or layer.residual or layer.dilations[1] != 1 or not contiguous or layer.weights.shape[2] == 1:
        return layer
    factors = [factor for factor in range(1, _MOST + 1) if output.width % factor == 0]
    best = min(factors, key=lambda factor: _cycles(layer, config, factor))
    if _cycles(layer, config, best) > 0.9 * _cycles(layer, config, 1):
        return layer
    return _widened(layer, best)


def _cycles(layer: MatrixLayer, config: AcceleratorConfig, factor: int) -> int:
    """Array cycles with `factor` output pixels in one, of large tiles."""
    outputs, height, width, channels = layer.weights.shape
    run = (width + (factor - 1) * layer.strides[1]) * channels
    pixels = layer.output.height * layer.output.width // factor
    return height * ceil(run / config.rows) * ceil(factor * outputs / config.cols) * max(pixels, config.rows)


def _widened(layer: MatrixLayer, factor: int) -> MatrixLayer:
    outputs, height, width, channels = layer.weights.shape
    stride = layer.strides[1]
    weights = np.zeros((factor, outputs, height, width + (factor - 1) * stride, channels), np.int8)
    for pixel in range(factor):
        weights[pixel, :, :, pixel * stride:pixel * stride + width] = layer.weights
    rules = layer.requantization
    repeated = {name: np.tile(getattr(rules, name), factor) for name in ("bias", "multiplier", "exponent")
                if len(getattr(rules, name)) > 1}
    output = layer.output
    wide = replace(output, width=output.width // factor, channels=factor * output.channels,
                   pixel_pitch=factor * output.pixel_pitch)
    return replace(layer, weights=weights.reshape(factor * outputs, *weights.shape[2:]), output=wide,
                   strides=(layer.strides[0], factor * stride), requantization=replace(rules, **repeated))
