"""`systolith conv`: a convolution as a benchmark."""

import re
from typing import Annotated

import typer

from systolith_cli.configuration import find_config
from systolith_cli.errors import UserError, guarded
from systolith_cli.options import (
    ConfigOption,
    ExplainOption,
    JsonOption,
    LatencyOption,
    LevelOption,
    SeedOption,
    check_level,
    size_argument,
)
from systolith_cli.output import console, print_report
from systolith_cli.run import finish, infer_with_progress
from systolith_sim.convolution import convolution_graph, convolution_sample

__all__ = ["conv"]

_MOST_KERNEL = 255


def _kernel(text: str) -> tuple[int, int]:
    """Height and width of a kernel written "3" or "3x5"."""
    match = re.fullmatch(r"(\d{1,3})(?:x(\d{1,3}))?", text)
    sizes = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= min(sizes) <= max(sizes) <= _MOST_KERNEL:
        raise UserError(f"Kernel must be a size such as 3 or 3x5, of at most {_MOST_KERNEL} rows and columns, not {text!r}")
    return sizes


@guarded
def conv(
    height: Annotated[int, size_argument("H", "Rows of the input")],
    width: Annotated[int, size_argument("W", "Columns of the input")],
    channels: Annotated[int, size_argument("CIN", "Channels of the input")],
    outputs: Annotated[int, size_argument("COUT", "Channels of the output")],
    kernel: Annotated[str, typer.Option(help="Rows and columns of the kernel: 3 or 3x5.")] = "3",
    stride: Annotated[int, typer.Option(min=1, max=255, help="In both directions.")] = 1,
    dilation: Annotated[int, typer.Option(min=1, max=255, help="In both directions.")] = 1,
    padding: Annotated[str, typer.Option(help="same (as many output pixels as input pixels / stride) or valid.")] = "same",
    depthwise: Annotated[bool, typer.Option("--depthwise", help="Each output channel reads one input channel.")] = False,
    config: ConfigOption = "small-8x8",
    seed: SeedOption = 1,
    level: LevelOption = "rtl",
    latency: LatencyOption = 20,
    explain: ExplainOption = False,
    json: JsonOption = None,
) -> None:
    """One convolution layer: random int8 weights and input, everything from and to main memory.

    Examples: [dim]systolith conv 16 16 64 64 --kernel 3 --config base-16x16[/dim],
    [dim]systolith conv 48 48 16 16 --kernel 3 --stride 2 --depthwise[/dim]
    """
    check_level(level)
    if padding not in ("same", "valid"):
        raise UserError(f"Padding must be 'same' or 'valid', not {padding!r}")
    accelerator = find_config(config)
    sizes = _kernel(kernel)
    try:
        graph = convolution_graph(height, width, channels, outputs, kernel=sizes, stride=stride, dilation=dilation,
                                  padding=padding, depthwise=depthwise, seed=seed)
    except ValueError as error:
        raise UserError(str(error)) from None
    out = console(json)
    report = infer_with_progress(out, graph, accelerator, [convolution_sample(height, width, channels, seed)], level=level,
                                 memory_latency=latency, seed=seed, explained=explain or json is not None)
    print_report(out, report, explained=explain)
    finish(report, json)
