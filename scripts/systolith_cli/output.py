"""How results reach the user: tables on the terminal, JSON in files, bars while something runs."""

import json
import re
import sys
import time
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from systolith_golden.explanation import LOSSES, LayerExplanation
from systolith_sim.inference import InferenceReport

__all__ = ["Activities", "console", "explanation_table", "layer_table", "print_report", "write_json"]

_BAR = 24
_TITLE = 20
_WIDTH = 100
_HEADINGS = {"empty": "empty", "short_tiles": "short", "weights": "weight", "input": "input", "vector": "vector",
             "banks": "banks", "commands": "cmds", "fill_drain": "fill"}
_SECONDS_BETWEEN_LINES = 10
_NUMBERS = re.compile(r"\[\n([-\d.,\s]+)\n\s*\]")  # a list of numbers: one line is enough


def console(json_path: Path | None = None) -> Console:
    """Console for tables; standard error when the JSON goes to standard output."""
    return Console(stderr=json_path is not None and str(json_path) == "-", highlight=False)


def write_json(path: Path | None, values: dict | list) -> None:
    """Write JSON to a file or, for "-", to standard output."""
    if path is None:
        return
    text = _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", json.dumps(values, indent=2)) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.write_text(text)


class Activities:
    """Progress of things that run side by side: bars on a terminal, now and then a line elsewhere.

    Parameters
    ----------
    out : Console
    descriptions : str
        One for each activity, in the order of the indices that `update` takes.
    """

    def __init__(self, out: Console, *descriptions: str):
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._out = out
        self._bars = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self._tasks = [self._bars.add_task(text, total=1.0) for text in descriptions]
        self._said = [0.0] * len(descriptions)
        self._began = time.monotonic()
        if not out.is_terminal:
            for text in descriptions:
                out.print(text)

    def __enter__(self) -> "Activities":
        self._bars.start()
        return self

    def __exit__(self, *_) -> None:
        self._bars.stop()

    def update(self, index: int, fraction: float, description: str) -> None:
        """Show how far an activity is, from 0 to 1, and what it is doing; may be called from any thread."""
        self._bars.update(self._tasks[index], completed=fraction, description=description)
        now = time.monotonic()
        if not self._out.is_terminal and now - self._said[index] >= _SECONDS_BETWEEN_LINES:
            self._said[index] = now
            self._out.print(f"  {now - self._began:4.0f} s  {description} ({fraction:.0%})")


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


def explanation_table(report: InferenceReport) -> Table:
    """What the multipliers of each layer did, in percent of multipliers x cycles; losses that nowhere occur are left out."""
    total = LayerExplanation(-1, sum(layer.cycles for layer in report.explanation),
                             sum(layer.macs for layer in report.explanation),
                             {name: sum(layer.losses[name] for layer in report.explanation) for name in LOSSES})
    names = [name for name in LOSSES if total.losses[name]]
    table = Table(title="predicted: useful work and losses, % of multipliers x cycles", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
                  caption="\n".join(f"{_HEADINGS[name]}: {LOSSES[name]}" for name in names), caption_justify="left")
    for column in ("", "layer", "cycles", "bound", "useful", *(_HEADINGS[name] for name in names)):
        text = column in ("layer", "bound")
        table.add_column(column, justify="left" if text else "right", no_wrap=True)
    titles = {layer.index: layer.op for layer in report.layers}
    for layer in (*report.explanation, total):
        whole = max(1, layer.macs + sum(layer.losses.values()))
        parts = (layer.macs, *(layer.losses[name] for name in names))
        first = ("", "all", f"{layer.cycles:,}", "") if layer is total else (
            str(layer.layer), titles[layer.layer][:_TITLE], f"{layer.cycles:,}", layer.bound.removesuffix(" bytes"))
        table.add_row(*first, *(f"{100 * part / whole:.1f}" if part else "" for part in parts),
                      end_section=layer is report.explanation[-1])
    return table


def print_report(out: Console, report: InferenceReport, *, explained: bool = False) -> None:
    """Table of layers, where the cycles go if `explained`, and a summary."""
    out.print(layer_table(report))
    if explained:
        out.print(explanation_table(report), width=max(out.width, _WIDTH), crop=False)
    rows = [("level", report.level), ("samples", str(report.samples))]
    each = "per sample" if report.batch == 1 else f"per {report.batch} samples"
    if report.cycles is not None:
        rows.append((f"cycles {each}", f"{report.cycles:,} (predicted {report.predicted_cycles:,}, "
                     f"{report.predicted_cycles / report.cycles - 1:+.2%})"))
    else:
        rows.append(("predicted cycles", f"{report.predicted_cycles:,}"))
    if report.board:
        rows.append(("speed", f"{report.board['inferences_per_second']:,} inferences per second at "
                     f"{report.board['clock_mhz']:g} MHz (accelerator alone)"))
    rows += [
        (f"MACs {each}", f"{report.macs:,}"),
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
