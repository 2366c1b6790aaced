"""Where the windows of a convolution or pool lie, from an operator's options and shapes."""

from .call import Call
from .windows import output_size, same_padding

__all__ = ["window_geometry"]


def window_geometry(call: Call, kernel: tuple[int, int], dilations: tuple[int, int] = (1, 1)) -> dict:
    """Arguments of `windows` for an operator on images (N, H, W, C).

    Parameters
    ----------
    call : Call
        Its options hold strides and padding.
    kernel, dilations : tuple of int
        Vertical, horizontal.

    Returns
    -------
    dict
        `kernel`, `strides`, `dilations`, `before`, `sizes`. An operator whose numbers make no sense, or whose
        output has another size than its windows, is rejected.
    """
    strides = call.options["stride_h"], call.options["stride_w"]
    padding = call.options["padding"]
    if min(*kernel, *strides, *dilations) < 1:
        call.reject(f"kernel {kernel}, strides {strides} and dilations {dilations} must be at least 1")
    if padding not in ("SAME", "VALID"):
        call.reject(f"padding {padding} is not implemented")
    image = call.tensor(0).shape[1:3]
    sizes = tuple(output_size(image[i], kernel[i], strides[i], dilations[i], padding) for i in (0, 1))
    if sizes != call.output.shape[1:3]:
        call.reject(f"it computes images of {sizes}, but its output has shape {call.output.shape}")
    before = (0, 0)
    if padding == "SAME":
        before = tuple(same_padding(image[i], kernel[i], strides[i], dilations[i], sizes[i]) for i in (0, 1))
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "before": before, "sizes": sizes}
