"""`systolith gemm`: a matrix product as a benchmark."""

from typing import Annotated

import typer

from systolith_cli.configuration import find_config
from systolith_cli.errors import UserError, guarded
from systolith_cli.options import ConfigOption, ExplainOption, JsonOption, SeedOption
from systolith_cli.output import console, print_report
from systolith_cli.run import finish, infer_with_progress
from systolith_sim.gemm import gemm_graph, gemm_sample
from systolith_sim.inference import LEVELS

__all__ = ["gemm"]

_LIMIT = 4096


def _size(name: str):
    return typer.Argument(metavar=name, min=1, max=_LIMIT, help=f"1 to {_LIMIT}.")


@guarded
def gemm(
    m: Annotated[int, _size("M")],
    k: Annotated[int, _size("K")],
    n: Annotated[int, _size("N")],
    config: ConfigOption = "small-8x8",
    seed: SeedOption = 1,
    level: Annotated[str, typer.Option(help="rtl, machine or tensor.")] = "rtl",
    latency: Annotated[int, typer.Option(min=2, max=1000, help="Main memory: cycles to the first beat.")] = 20,
    explain: ExplainOption = False,
    json: JsonOption = None,
) -> None:
    """C = requantize(A x B): A (M, K), B (K, N) and C (M, N) int8, all in main memory.

    Example: [dim]systolith gemm 256 256 256 --config base-16x16[/dim]
    """
    if level not in LEVELS:
        raise UserError(f"Level must be one of {', '.join(LEVELS)}, not {level!r}")
    accelerator = find_config(config)
    graph = gemm_graph(m, k, n, seed)
    out = console(json)
    report = infer_with_progress(out, graph, accelerator, [gemm_sample(m, k, seed)], level=level, memory_latency=latency,
                                 seed=seed, explained=explain or json is not None)
    print_report(out, report, explained=explain)
    finish(report, json)
