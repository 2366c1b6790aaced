"""How results reach the user: tables on the terminal, JSON in files, bars while something runs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from systolith_sim.inference import InferenceReport

__all__ = ["console", "layer_table", "print_report", "progress_bar", "write_json"]

_BAR = 24


def console(json_path: Path | None = None) -> Console:
    """Console for tables; standard error when the JSON goes to standard output."""
    return Console(stderr=json_path is not None and str(json_path) == "-", highlight=False)


def write_json(path: Path | None, values: dict | list) -> None:
    """Write JSON to a file or, for "-", to standard output."""
    if path is None:
        return
    text = json.dumps(values, indent=2) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.write_text(text)


@contextmanager
def progress_bar(out: Console, description: str, total: int | None) -> Iterator[Progress]:
    """Progress bar with one task; finishes when the block ends."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:g}/{task.total:g}"),
               TimeElapsedColumn())
    with Progress(*columns, console=out, transient=out.is_terminal) as progress:
        progress.add_task(description, total=total)
        yield progress


def layer_table(report: InferenceReport) -> Table:
    """Cycles and utilisation of each layer."""
    table = Table(title=f"{report.model} on {report.config}")
    for column, justify in (("", "right"), ("layer", "left"), ("MACs", "right"), ("cycles", "right"), ("util.", "right"),
                            ("", "left")):
        table.add_column(column, justify=justify)
    host = set(report.host_ops)
    for layer in report.layers:
        on_host = layer.cycles is None and layer.op in host
        share = layer.utilization or 0.0
        table.add_row(str(layer.index), layer.op, f"{layer.macs:,}", "host" if on_host else f"{layer.cycles or 0:,}",
                      "" if on_host or not layer.macs else f"{share:.1%}", "[cyan]" + "█" * round(_BAR * share))
    return table


def print_report(out: Console, report: InferenceReport) -> None:
    """Table of layers and a summary."""
    out.print(layer_table(report))
    rows = [("level", report.level), ("samples", str(report.samples))]
    if report.cycles is not None:
        rows.append(("cycles per sample", f"{report.cycles:,} (predicted {report.predicted_cycles:,}, "
                     f"{report.predicted_cycles / report.cycles - 1:+.2%})"))
    else:
        rows.append(("predicted cycles", f"{report.predicted_cycles:,}"))
    rows += [
        ("MACs per sample", f"{report.macs:,}"),
        ("utilisation", "-" if report.utilization is None else f"{report.utilization:.1%}"),
        ("main memory", f"{report.dram_bytes_read:,} bytes read, {report.dram_bytes_written:,} written"),
        ("on the host", ", ".join(report.host_ops) or "nothing"),
        ("TensorFlow Lite Micro", {True: "[green]equal[/green]", False: "[red]different[/red]", None: "cannot run it"}[
            report.bit_exact_tflite_micro]),
        ("bit-exact", "[green]yes[/green]" if report.bit_exact else "[red]no[/red]"),
    ]
    summary = Table.grid(padding=(0, 2))
    for row in rows:
        summary.add_row(*row)
    out.print(summary)
