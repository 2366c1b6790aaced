"""Runs side by side."""

from systolith_report.records import Run
from systolith_report.svg import Drawing, ticks

__all__ = ["comparison_chart", "comparison_rows", "same_layers"]

_WIDTH = 960
_LEFT = 190
_COLORS = ("#3f6fa8", "#c98a1b", "#4c8a5b", "#8a63b0", "#a83f3f", "#66727f")


def same_layers(runs: list[Run]) -> bool:
    """Whether the runs are of one network, layer by layer."""
    shapes = [[(layer["op"], layer["macs"]) for layer in run.data["layers"]] for run in runs]
    return all(shape == shapes[0] for shape in shapes)


def comparison_rows(runs: list[Run]) -> list[tuple[str, list[str]]]:
    """Name of each figure and its value for each run; behind the first a factor where that says something."""

    def against(values: list[float]) -> list[str]:
        base = values[0]
        return [f"{base:,}", *(f"{value:,} ({value / base:.2f}x)" if base else f"{value:,}" for value in values[1:])]

    data = [run.data for run in runs]
    rows = [
        ("array", [f"{run.config.rows} x {run.config.cols}" if run.config else "" for run in runs]),
        ("level", [entry["level"] for entry in data]),
        ("samples in a run", [str(run.samples_per_run) for run in runs]),
        ("cycles", against([run.cycles for run in runs])),
        ("MACs", [f"{entry['macs']:,}" for entry in data]),
        ("utilisation", [f"{entry['utilization'] or 0:.1%}" for entry in data]),
        ("bytes read", against([entry["dram_bytes_read"] for entry in data])),
        ("bytes written", against([entry["dram_bytes_written"] for entry in data])),
        ("bit-exact", ["yes" if entry["bit_exact"] else "no" for entry in data]),
    ]
    first = [(key, value) for key, value in data[0].get("configuration", {}).items() if key not in ("name", "rows", "cols")]
    for key, value in first:
        values = [entry.get("configuration", {}).get(key, "") for entry in data]
        if any(other != value for other in values):
            rows.append((key, [f"{other:,}" if isinstance(other, int) and not isinstance(other, bool) else str(other)
                               for other in values]))
    return rows


def comparison_chart(runs: list[Run]) -> Drawing | None:
    """Cycles of each layer of the same network on several accelerators."""
    if not same_layers(runs):
        return None
    layers = [layer for layer in runs[0].data["layers"] if any(run.data["layers"][layer["index"]]["cycles"] for run in runs)]
    bar, top = 9, 10
    step = bar * len(runs) + 8
    bottom = top + step * len(layers)
    drawing = Drawing(_WIDTH, bottom + 34 + 20 * len(runs), "Cycles of each layer side by side")
    limit = max(run.data["layers"][layer["index"]]["cycles"] or 0 for run in runs for layer in layers) or 1
    scale = (_WIDTH - _LEFT - 70) / limit
    for value in ticks(limit):
        drawing.line(_LEFT + scale * value, top, _LEFT + scale * value, bottom)
        drawing.text(_LEFT + scale * value, bottom + 14, f"{value:,.0f}", anchor="middle", size=10, color="#57606a")
    for row, layer in enumerate(layers):
        y = top + step * row
        drawing.text(_LEFT - 8, y + step / 2 + 2, f"{layer['index']} {layer['op']}"[:28], anchor="end")
        for index, run in enumerate(runs):
            cycles = run.data["layers"][layer["index"]]["cycles"] or 0
            drawing.rect(_LEFT, y + 2 + bar * index, scale * cycles, bar - 1, _COLORS[index % len(_COLORS)],
                         tip=f"{run.label}: {cycles:,} cycles")
            drawing.text(_LEFT + scale * cycles + 5, y + 9.5 + bar * index, f"{cycles:,}", size=8.5, color="#57606a")
    for index, run in enumerate(runs):
        drawing.legend(_LEFT, bottom + 34 + 20 * index, [(_COLORS[index % len(_COLORS)], run.label)])
    return drawing
