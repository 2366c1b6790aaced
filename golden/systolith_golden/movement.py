"""Operators that only move data: padding, reshaping, transposing, concatenating, slicing, gathering."""

import numpy as np

from systolith_compiler.tflite_shapes import strided_slice_index

from .call import Call

__all__ = [
    "batch_to_space", "concatenate", "gather", "pad", "reshape", "slice_strided", "space_to_batch", "transpose",
]  # fmt: skip


def pad(call: Call) -> np.ndarray:
    """PAD with the zero point; PADV2 with a given value."""
    margins = call.constant(1).reshape(-1, 2)
    if len(margins) != len(call.tensor(0).shape) or np.any(margins < 0):
        call.reject(f"paddings {margins.tolist()} do not fit an input of shape {call.tensor(0).shape}")
    call.require_int8(0)
    shape = tuple(
        size + before + after
        for size, (before, after) in zip(call.tensor(0).shape, margins.tolist(), strict=True)
    )
    if shape != call.output.shape:
        call.reject(f"it computes shape {shape}, but its output has shape {call.output.shape}")
    fill = call.output.zero_point if call.optional(2) is None else call.constant(2).reshape(-1)[0]
    return call.shaped(np.pad(call.value(0), margins, constant_values=fill))


def reshape(call: Call) -> np.ndarray:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the same elements in the output's shape, which the file states."""
    return call.shaped(call.value(0))


def transpose(call: Call) -> np.ndarray:
    """TRANSPOSE by a constant permutation."""
    permutation = call.constant(1).reshape(-1).tolist()
    if sorted(permutation) != list(range(len(call.tensor(0).shape))):
        call.reject(f"permutation {permutation} does not fit an input of shape {call.tensor(0).shape}")
    return call.shaped(np.transpose(call.value(0), permutation))


def concatenate(call: Call) -> np.ndarray:
    """CONCATENATION along one axis; the file gives all operands the output's quantisation."""
    if call.options["activation"] != "NONE":
        call.reject("a fused activation is not implemented")
    operands = [call.value(position) for position in range(len(call.operator.inputs))]
    return call.shaped(np.concatenate(operands, axis=call.options["axis"]))


def slice_strided(call: Call) -> np.ndarray:
    """STRIDED_SLICE with constant bounds."""
    bounds = [call.constant(position).reshape(-1) for position in (1, 2, 3)]
    index = strided_slice_index(call.tensor(0).shape, *bounds, call.options)
    if index is None:
        call.reject("ellipsis, new-axis and offset masks are not implemented")
    return call.shaped(call.value(0)[index])


def gather(call: Call) -> np.ndarray:
    """GATHER along one axis with integer indices."""
    if call.options["batch_dims"] != 0:
        call.reject("batch_dims is not implemented")
    axis = call.options["axis"]
    indices = call.value(1)
    if not np.issubdtype(indices.dtype, np.integer):
        call.reject(f"the indices are {call.tensor(1).type_name}, not integers")
    size = call.tensor(0).shape[axis]
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        call.reject(f"an index is outside 0 to {size - 1}")
    return call.shaped(np.take(call.value(0), indices, axis=axis))


def _block(call: Call) -> tuple[tuple[int, int], np.ndarray]:
    """Block sizes and a (2, 2) array of paddings or crops, both (vertical, horizontal)."""
    block = call.constant(1).reshape(-1).tolist()
    margins = call.constant(2).reshape(-1, 2)
    if len(call.tensor(0).shape) == 3 and len(block) == 1:
        return (block[0], 1), np.vstack([margins, [[0, 0]]])
    if len(call.tensor(0).shape) != 4 or len(block) != 2:
        call.reject(f"a block of {block} on shape {call.tensor(0).shape} is not implemented")
    return (block[0], block[1]), margins


def _image(values: np.ndarray) -> np.ndarray:
    return values[:, :, np.newaxis] if values.ndim == 3 else values


def space_to_batch(call: Call) -> np.ndarray:
    """SPACE_TO_BATCH_ND: pad with the zero point, then every block position becomes an image of its own."""
    (rows, columns), margins = _block(call)
    image = np.pad(_image(call.value(0)), ((0, 0), *margins, (0, 0)), constant_values=call.output.zero_point)
    batch, height, width, depth = image.shape
    if height % rows or width % columns:
        call.reject(f"a padded image of {height} x {width} is not divisible by the block {rows} x {columns}")
    blocks = image.reshape(batch, height // rows, rows, width // columns, columns, depth)
    return call.shaped(blocks.transpose(2, 4, 0, 1, 3, 5))


def batch_to_space(call: Call) -> np.ndarray:
    """BATCH_TO_SPACE_ND: interleave the images of a block, then crop."""
    (rows, columns), crops = _block(call)
    image = _image(call.value(0))
    batch, height, width, depth = image.shape
    if batch % (rows * columns):
        call.reject(f"a batch of {batch} is not divisible by the block {rows} x {columns}")
    blocks = image.reshape(rows, columns, batch // (rows * columns), height, width, depth)
    whole = blocks.transpose(2, 3, 0, 4, 1, 5).reshape(-1, height * rows, width * columns, depth)
    (top, bottom), (left, right) = crops.tolist()
    return call.shaped(whole[:, top : height * rows - bottom, left : width * columns - right])
