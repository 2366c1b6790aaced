"""`systolith gemm`: a matrix product as a benchmark."""

from typing import Annotated

from systolith_cli.configuration import find_config
from systolith_cli.errors import guarded
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
from systolith_sim.gemm import gemm_graph, gemm_sample

__all__ = ["gemm"]


@guarded
def gemm(
    m: Annotated[int, size_argument("M")],
    k: Annotated[int, size_argument("K")],
    n: Annotated[int, size_argument("N")],
    config: ConfigOption = "small-8x8",
    seed: SeedOption = 1,
    level: LevelOption = "rtl",
    latency: LatencyOption = 20,
    explain: ExplainOption = False,
    json: JsonOption = None,
) -> None:
    """C = requantize(A x B): A (M, K), B (K, N) and C (M, N) int8, all in main memory.

    Example: [dim]systolith gemm 256 256 256 --config base-16x16[/dim]
    """
    check_level(level)
    accelerator = find_config(config)
    graph = gemm_graph(m, k, n, seed)
    out = console(json)
    report = infer_with_progress(out, graph, accelerator, [gemm_sample(m, k, seed)], level=level, memory_latency=latency,
                                 seed=seed, explained=explain or json is not None)
    print_report(out, report, explained=explain)
    finish(report, json)
