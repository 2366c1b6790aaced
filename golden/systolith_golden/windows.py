"""Sliding windows over images: sizes, TFLite's SAME padding, and a view with one window per output pixel."""

import numpy as np

__all__ = ["output_size", "same_padding", "windows"]


def output_size(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """Number of windows along one axis for padding "SAME" or "VALID"."""
    if padding == "SAME":
        return -(-size // stride)
    return max(0, (size - (kernel - 1) * dilation + stride - 1) // stride)


def same_padding(size: int, kernel: int, stride: int, dilation: int, outputs: int) -> int:
    """Padding before the first pixel of one axis; an odd total puts the larger half behind."""
    total = (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size
    return max(total, 0) // 2


def windows(
    image: np.ndarray,
    *,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    before: tuple[int, int],
    sizes: tuple[int, int],
    fill: float,
) -> np.ndarray:
    """View of the pixels that each output pixel reads.

    Parameters
    ----------
    image : np.ndarray
        Shape (N, H, W, C).
    kernel, strides, dilations : tuple of int
        Vertical, horizontal.
    before : tuple of int
        Padding above and to the left; whatever is needed is added below and to the right.
    sizes : tuple of int
        Height and width of the output.
    fill : number
        Contents of the padding.

    Returns
    -------
    np.ndarray
        Shape (N, *sizes, *kernel, C), read-only.
    """
    spans = [
        (sizes[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 for axis in (0, 1)
    ]  # padded pixels that are read
    after = [max(0, spans[axis] - before[axis] - image.shape[axis + 1]) for axis in (0, 1)]
    if any(before) or any(after):
        margins = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
        image = np.pad(image, margins, constant_values=fill)
    step_n, step_h, step_w, step_c = image.strides
    return np.lib.stride_tricks.as_strided(
        image,
        (image.shape[0], *sizes, *kernel, image.shape[3]),
        (
            step_n,
            step_h * strides[0],
            step_w * strides[1],
            step_h * dilations[0],
            step_w * dilations[1],
            step_c,
        ),
        writeable=False,
    )
