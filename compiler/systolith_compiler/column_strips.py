"""First layers of a network: the input in a layout in which whole kernels are contiguous.

A convolution on few channels leaves array rows empty, since only a kernel row is one run of bytes. But the input
is loaded from main memory anyway, so it may be laid out differently: as a *strip* for every output column, which
holds the pixels under the kernel in that column, row by row. In a strip the rows of a kernel follow one another.
The convolution becomes one with a kernel of one row on a tensor turned on its side, and row packing does the rest.
Pixels under several kernels are loaded several times, in short runs; `use_column_strips` weighs that against the
array cycles that are saved.
"""

from dataclasses import replace
from math import ceil

from systolith_spec.config import AcceleratorConfig

from .layers import Columns, MatrixLayer, Storage, View
from .lowering import Lowered
from .widening import widen

__all__ = ["use_column_strips"]

_RUN_LATENCY = 26  # cycles from the request of a run to its place for another one, in a typical memory


def use_column_strips(lowered: Lowered, config: AcceleratorConfig) -> list[Storage]:
    """Replace layers of `lowered` that read an input of the network, where that promises fewer cycles.

    Returns
    -------
    list of Storage
        The strips; they must get a place in the activation buffer.
    """
    strips = []
    inputs = {lowered.views[index].storage for index in lowered.graph.inputs if index in lowered.views}
    for index, layer in enumerate(lowered.layers):
        if not isinstance(layer, MatrixLayer) or layer.source.storage not in inputs or not _suitable(layer):
            continue
        readers = [view for other in lowered.layers for view in other.sources if view.storage is layer.source.storage]
        changed = _in_strips(layer)
        if len(readers) == 1 and _pays(layer, changed, config):
            lowered.layers[index] = changed
            strips.append(changed.source.storage)
    return strips


def _suitable(layer: MatrixLayer) -> bool:
    return (not layer.depthwise and layer.residual is None and layer.dilations == (1, 1) and layer.source.is_dense
            and layer.weights.shape[1] > 1 and layer.output.width > 1)


def _array_cycles(layer: MatrixLayer, config: AcceleratorConfig) -> int:
    outputs, height, width, channels = layer.weights.shape
    pixels = layer.output.height * layer.output.width
    return height * ceil(width * channels / config.rows) * ceil(outputs / config.cols) * max(pixels, config.rows)


def _pays(layer: MatrixLayer, changed: MatrixLayer, config: AcceleratorConfig) -> bool:
    before = _array_cycles(widen(layer, config), config)
    beats = layer.source.size / config.axi_bytes
    strips = changed.source
    run = max(ceil(strips.channels / config.axi_bytes), _RUN_LATENCY / config.outstanding_reads)
    after = max(_array_cycles(changed, config), strips.height * strips.width * run)
    return strips.size <= config.activation_bytes // config.activation_banks // 2 and after < 0.9 * max(before, beats)


def _in_strips(layer: MatrixLayer) -> MatrixLayer:
    """The layer on strips, its output turned on its side."""
    source, output, weights = layer.source, layer.output, layer.weights
    run = weights.shape[2] * source.channels
    storage = Storage(f"{source.storage.name} in strips", output.width * source.height * run)
    storage.columns = Columns(source, weights.shape[2], layer.strides[1], layer.padding[1], layer.pad_value)
    turned = replace(output, height=output.width, width=output.height, pixel_pitch=output.row_pitch,
                     row_pitch=output.pixel_pitch)
    return replace(layer, source=View.dense(storage, output.width, source.height, run), output=turned,
                   weights=weights.reshape(len(weights), 1, weights.shape[1], run), strides=(1, layer.strides[0]),
                   padding=(0, layer.padding[0]))
