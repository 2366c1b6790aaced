"""Figures of a run: utilisation, losses, timeline, roofline, traffic and memories."""

import math
from collections import defaultdict

from systolith_golden.explanation import LOSSES
from systolith_report.records import Run
from systolith_report.svg import COLORS, Drawing, ticks
from systolith_sim.run_details import KINDS, TRAFFIC

__all__ = ["ENGINES", "buffer_chart", "cycle_chart", "labels", "memory_chart", "roofline_chart", "skyline_chart",
           "timeline_chart", "traffic_chart"]

_WIDTH = 960
_LEFT = 190
_LABEL = 9  # height of the names of points
ENGINES = {"LOAD": ("load weights", "load activations", "load parameters"), "COMPUTE": ("compute",),
           "VECTOR": ("vector", "tables"), "STORE": ("store",)}
"""Engines of the timeline, with the kinds of their commands."""
_LOSS_COLORS = {name: COLORS["load activations" if name == "input" else name] for name in LOSSES}


def _title(run: Run, layer: int) -> str:
    entry = next((entry for entry in run.data["layers"] if entry["index"] == layer), None)
    return f"{layer} {entry['op']}" if entry else str(layer)


def _axis(drawing: Drawing, left: float, right: float, top: float, bottom: float, limit: float, label: str) -> None:
    """Grid lines and numbers below a chart of bars that lie."""
    for value in ticks(limit):
        x = left + (right - left) * value / limit
        drawing.line(x, top, x, bottom)
        drawing.text(x, bottom + 14, f"{value:,.0f}", anchor="middle", size=10, color="#57606a")
    drawing.text(right, bottom + 28, label, anchor="end", size=10, color="#57606a")


def skyline_chart(run: Run) -> Drawing | None:
    """Utilisation of each layer; a bar is as wide as its layer takes cycles."""
    layers = [layer for layer in run.data["layers"] if layer["cycles"]]
    if not layers or not run.elements:
        return None
    height, base, left = 250, 200, 44
    drawing = Drawing(_WIDTH, height, "Utilisation of each layer over cycles")
    total = sum(layer["cycles"] for layer in layers)
    most = max(1.0, *(layer["utilization"] or 0.0 for layer in layers))
    scale, rise = (_WIDTH - left - 8) / total, (base - 16) / most
    bounds = {entry["layer"]: entry["bound"] for entry in run.data.get("explanation", [])}
    for percent in (0, 25, 50, 75, 100):
        y = base - rise * percent / 100
        drawing.line(left, y, _WIDTH - 8, y)
        drawing.text(left - 6, y + 4, f"{percent} %", anchor="end", size=10, color="#57606a")
    x = left
    for layer in layers:
        share, width = layer["utilization"] or 0.0, scale * layer["cycles"]
        bound = bounds.get(layer["index"], "MAC")
        drawing.rect(x, base - rise * share, width, rise * share, COLORS[bound], stroke="#fff", stroke_width=0.6,
                     tip=f"{_title(run, layer['index'])}: {layer['cycles']:,} cycles, {share:.1%}, bound by {bound}")
        if width > 16:
            drawing.text(x + width / 2, base + 13, str(layer["index"]), anchor="middle", size=10)
        x += width
    mean = run.data["utilization"] or 0.0
    drawing.line(left, base - rise * mean, _WIDTH - 8, base - rise * mean, "#24292f", stroke_dasharray="4 3")
    drawing.text(_WIDTH - 10, base - rise * mean - 4, f"whole run {mean:.1%}", anchor="end", size=10)
    used = dict.fromkeys(bounds.get(layer["index"], "MAC") for layer in layers)
    drawing.legend(left, height - 8, [(COLORS[name], f"bound by {name}") for name in used])
    return drawing


def cycle_chart(run: Run) -> Drawing | None:
    """Cycles of each layer, shared out into useful work and losses."""
    layers = run.data.get("explanation", [])
    if not layers or not run.elements:
        return None
    step, top = 20, 10
    names = [name for name in LOSSES if any(layer["losses"][name] for layer in layers)]
    bottom = top + step * len(layers)
    drawing = Drawing(_WIDTH, bottom + 36 + 18 * math.ceil((len(names) + 1) / 3), "Where the cycles of each layer go")
    limit = max(layer["cycles"] for layer in layers) or 1
    scale = (_WIDTH - _LEFT - 70) / limit
    _axis(drawing, _LEFT, _WIDTH - 70, top, bottom, limit, "cycles")
    for row, layer in enumerate(layers):
        y, x = top + step * row, _LEFT
        drawing.text(_LEFT - 8, y + 14, _title(run, layer["layer"])[:28], anchor="end")
        for name, work in (("useful", layer["macs"]), *((name, layer["losses"][name]) for name in names)):
            width = scale * work / run.elements
            share = work / max(1, run.elements * layer["cycles"])
            drawing.rect(x, y + 2, width, step - 4, COLORS["useful"] if name == "useful" else _LOSS_COLORS[name],
                         tip=f"{_title(run, layer['layer'])}: {LOSSES.get(name, 'useful multiplications')}, {share:.1%}")
            x += width
        share = layer["macs"] / max(1, run.elements * layer["cycles"])
        drawing.text(max(x, _LEFT) + 6, y + 14, f"{share:.0%}", size=10, color="#57606a")
    entries = [(COLORS["useful"], "useful multiplications"), *((_LOSS_COLORS[name], LOSSES[name]) for name in names)]
    for index, (color, name) in enumerate(entries):
        drawing.legend(10 + 316 * (index % 3), bottom + 48 + 18 * (index // 3), [(color, name)])
    return drawing


def timeline_chart(run: Run) -> Drawing | None:
    """What the four engines do, cycle by cycle. The page's script zooms the inner part, in cycles."""
    columns = run.details.get("timeline")
    if not columns or not columns["kind"]:
        return None
    left, lane, total = 70, 40, max(1, run.details["cycles"])
    height = 34 + lane * len(ENGINES)
    drawing = Drawing(_WIDTH, height + 42, "Timeline of the four engines")
    spans: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    busy: dict[str, int] = dict.fromkeys(ENGINES, 0)
    until = dict.fromkeys(ENGINES, 0)
    engine_of = {kind: engine for engine, kinds in ENGINES.items() for kind in kinds}
    for kind, layer, begin, end in zip(*(columns[name] for name in ("kind", "layer", "begin", "end")), strict=True):
        name = KINDS[kind]
        engine = engine_of[name]
        if name != "tables":  # these are filled beside the stream
            begin = max(begin, until[engine])  # transfers in flight at once share the bus
            busy[engine] += max(0, end - begin)
            until[engine] = max(until[engine], end)
        if end > begin:
            spans[name, layer].append((begin, end))
    inner = _WIDTH - left - 8
    drawing.raw(f'<svg class="timeline" x="{left}" y="0" width="{inner}" height="{height}" '
                f'viewBox="0 0 {total} {height}" preserveAspectRatio="none" data-total="{total}">')
    for index, (layer, begin, end) in enumerate(_layer_bands(spans)):
        drawing.rect(begin, 0, end - begin, height, "#f3f5f7" if index % 2 else "#fff", tip=_title(run, layer))
    for row, (engine, kinds) in enumerate(ENGINES.items()):
        for kind in kinds:
            y, thick = (24 + lane * row + 22, 10) if kind == "tables" else (24 + lane * row, 22)
            for (name, layer), pieces in spans.items():
                if name == kind:
                    path = "".join(f"M{begin} {y}h{end - begin}v{thick}H{begin}z" for begin, end in pieces)
                    cycles = sum(end - begin for begin, end in pieces)
                    drawing.raw(f'<path d="{path}" fill="{COLORS[kind]}" stroke="#fff" stroke-width="0" '
                                f'vector-effect="non-scaling-stroke"><title>{engine}, {kind}, layer {_title(run, layer)}: '
                                f"{len(pieces)} commands, {cycles:,} cycles</title></path>")
    drawing.raw("</svg>")
    drawing.raw('<g class="timeline-labels">')
    for layer, begin, end in _layer_bands(spans):
        if (end - begin) * inner / total > 18:
            drawing.text(left + inner * (begin + end) / 2 / total, 14, str(layer), anchor="middle", size=10, color="#57606a")
    drawing.raw("</g>")
    for row, engine in enumerate(ENGINES):
        drawing.text(left - 8, 24 + lane * row + 12, engine, anchor="end")
        drawing.text(left - 8, 24 + lane * row + 25, f"{busy[engine] / total:.0%} busy", anchor="end", size=9, color="#57606a")
    drawing.raw('<g class="timeline-axis">')
    for value in ticks(total, 8):
        x = left + inner * value / total
        drawing.line(x, height - 4, x, height + 2, "#57606a")
        drawing.text(x, height + 14, f"{value:,.0f}", anchor="middle", size=10, color="#57606a")
    drawing.raw("</g>")
    drawing.legend(left, height + 36, [(COLORS[kind], kind) for kinds in ENGINES.values() for kind in kinds])
    return drawing


def _layer_bands(spans: dict) -> list[tuple[int, int, int]]:
    """Layers with the cycles between the ends of their array or vector work, in order."""
    ends: dict[int, int] = {}
    for (kind, layer), pieces in spans.items():
        if kind in ("compute", "vector"):
            if kind == "compute" or ("compute", layer) not in spans:
                ends[layer] = max(ends.get(layer, 0), pieces[-1][1])
    bands, last = [], 0
    for layer, end in sorted(ends.items(), key=lambda item: item[1]):
        bands.append((layer, last, end))
        last = end
    return bands


def roofline_chart(run: Run) -> Drawing | None:
    """Useful multiplications in a cycle over multiplications for each byte of main memory, for each layer."""
    traffic = {entry["layer"]: sum(entry[name] for name in TRAFFIC) for entry in run.details.get("traffic", [])}
    layers = [(layer, traffic.get(layer["index"], 0)) for layer in run.data["layers"] if layer["macs"] and layer["cycles"]]
    if not run.config or not any(size for _, size in layers):
        return None
    points = [(layer["macs"] / size, layer["macs"] / layer["cycles"], f"{layer['index']}", COLORS["useful"], 4.5,
               _title(run, layer["index"])) for layer, size in layers if size]
    whole = sum(traffic.values())
    points.append((run.data["macs"] / whole, run.data["macs"] / run.cycles, "whole run", "#24292f", 6, "whole run"))
    height, left, top, base = 330, 60, 14, 284
    peak, bandwidth = run.config.processing_elements, run.config.axi_bytes
    ridge = peak / bandwidth
    low_x, high_x = min([ridge, *(x for x, *_ in points)]) / 2, max([ridge, *(x for x, *_ in points)]) * 3
    low_y, high_y = min([bandwidth * low_x, *(y for _, y, *_ in points)]) / 1.5, peak * 1.6

    def across(x: float) -> float:
        return left + (_WIDTH - left - 20) * math.log(x / low_x) / math.log(high_x / low_x)

    def up(y: float) -> float:
        return base - (base - top) * math.log(y / low_y) / math.log(high_y / low_y)

    drawing = Drawing(_WIDTH, height, "Roofline: multiplications per cycle over multiplications per byte of main memory")
    for exponent in range(-3, 6):
        for limit, low, high in (("x", low_x, high_x), ("y", low_y, high_y)):
            value = 10.0 ** exponent
            if low <= value <= high and limit == "x":
                drawing.line(across(value), top, across(value), base)
                drawing.text(across(value), base + 14, f"{value:g}", anchor="middle", size=10, color="#57606a")
            elif low <= value <= high:
                drawing.line(left, up(value), _WIDTH - 20, up(value))
                drawing.text(left - 6, up(value) + 4, f"{value:g}", anchor="end", size=10, color="#57606a")
    start = max(low_x, low_y / bandwidth)
    drawing.polyline([(across(start), up(bandwidth * start)), (across(ridge), up(peak)), (across(high_x), up(peak))],
                     "#66727f", stroke_width=2)
    drawing.text(across(high_x) - 4, up(peak) - 6, f"{peak} multipliers", anchor="end", size=10)
    middle = math.sqrt(start * ridge)
    drawing.text(across(middle) - 8, up(bandwidth * middle) - 6, f"{bandwidth} bytes per cycle", anchor="end", size=10)
    for x, y, _, color, radius, tip in points:
        drawing.circle(across(x), up(y), radius, color, f"{tip}: {y:.1f} multiplications per cycle, {x:.1f} per byte")
    for x, y, text in labels([(across(x), up(y), name) for x, y, name, *_ in reversed(points)]):
        drawing.text(x, y, text, size=_LABEL)
    drawing.text(_WIDTH - 20, base + 32, "multiplications per byte of main memory", anchor="end", size=10, color="#57606a")
    drawing.text(left, 10, "multiplications per cycle", size=10, color="#57606a")
    return drawing


def labels(points: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Where names of points go: beside them, those of like points together, none over another or over a point.

    A name for which there is no room is left out; it appears under the mouse.
    """
    groups: list[list[tuple[float, float, str]]] = []
    for point in points:
        near = next((group for group in groups if math.dist(group[0][:2], point[:2]) < _LABEL), None)
        if near is None:
            groups.append(near := [])
        near.append(point)
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y, _ in points]
    places = []
    for group in groups:
        x, y, _ = group[0]
        text = ", ".join(name for *_, name in sorted(group, key=lambda point: (len(point[2]), point[2])))
        width = 0.6 * _LABEL * len(text)
        for left, base in ((x + 7, y + 12), (x + 7, y - 6), (x - 7 - width, y + 12), (x - 7 - width, y - 6), (x + 7, y + 22),
                           (x + 7, y - 16), (x - 7 - width, y + 22)):
            box = (left, base - _LABEL, left + width, base + 2)
            if not any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken):
                taken.append(box)
                places.append((left, base, text))
                break
    return places


def traffic_chart(run: Run) -> Drawing | None:
    """Bytes between accelerator and main memory, for each layer."""
    layers = run.details.get("traffic", [])
    if not layers:
        return None
    step, top = 20, 10
    bottom = top + step * len(layers)
    drawing = Drawing(_WIDTH, bottom + 56, "Bytes to and from main memory by layer")
    limit = max(sum(layer[name] for name in TRAFFIC) for layer in layers) or 1
    scale = (_WIDTH - _LEFT - 90) / limit
    _axis(drawing, _LEFT, _WIDTH - 90, top, bottom, limit, "bytes")
    for row, layer in enumerate(layers):
        x, y = _LEFT, top + step * row
        drawing.text(_LEFT - 8, y + 14, _title(run, layer["layer"])[:28], anchor="end")
        for name in TRAFFIC:
            drawing.rect(x, y + 2, scale * layer[name], step - 4, COLORS[name], tip=f"{name}: {layer[name]:,} bytes")
            x += scale * layer[name]
        drawing.text(x + 6, y + 14, f"{sum(layer[name] for name in TRAFFIC):,}", size=10, color="#57606a")
    drawing.legend(_LEFT, bottom + 48, [(COLORS[name], name) for name in TRAFFIC])
    return drawing


def memory_chart(run: Run) -> Drawing | None:
    """The image in main memory, from its base on."""
    pieces = run.details.get("memory_map", [])
    if not pieces:
        return None
    end = max(piece["offset"] + piece["size"] for piece in pieces)
    drawing = Drawing(_WIDTH, 84, "Map of main memory")
    scale = (_WIDTH - 24) / end
    drawing.rect(12, 10, _WIDTH - 24, 26, "#f3f5f7", stroke="#d0d7de")
    for piece in pieces:
        drawing.rect(12 + scale * piece["offset"], 10, max(scale * piece["size"], 0.4), 26, COLORS[piece["kind"]],
                     tip=f"{piece['kind']} {piece['name']}: {piece['size']:,} bytes at {piece['offset']:#x}")
    for value in ticks(end, 8):
        drawing.text(12 + scale * value, 50, f"{value:,.0f}", anchor="middle" if value else "start", size=10, color="#57606a")
    sizes: dict[str, int] = defaultdict(int)
    for piece in pieces:
        sizes[piece["kind"]] += piece["size"]
    drawing.legend(12, 74, [(COLORS[kind], f"{kind} {size:,}") for kind, size in sizes.items()])
    return drawing


def buffer_chart(run: Run) -> Drawing | None:
    """What the activation buffer holds over time; a rectangle is what one layer wrote, until its last use."""
    areas = run.details.get("activation_buffer", [])
    if not areas or not run.config:
        return None
    left, height, base = 70, 250, 220
    total, size = max(1, run.details["cycles"]), run.config.activation_bytes
    scale, rise = (_WIDTH - left - 8) / total, (base - 10) / size
    drawing = Drawing(_WIDTH, height, "Contents of the activation buffer over time")
    drawing.rect(left, 10, _WIDTH - left - 8, base - 10, "#f8f9fa", stroke="#d0d7de")
    for bank in range(run.config.activation_banks + 1):
        y = base - rise * size * bank / run.config.activation_banks
        drawing.line(left, y, _WIDTH - 8, y, "#8c959f", stroke_dasharray="3 3")
        drawing.text(left - 6, y + 4, f"{size * bank // run.config.activation_banks // 1024} KiB", anchor="end", size=10,
                     color="#57606a")
    palette = ("#4c8a5b", "#3f6fa8", "#8a63b0", "#c98a1b", "#a83f3f", "#66727f")
    for area in areas:
        x, y = left + scale * area["begin"], base - rise * (area["start"] + area["size"])
        width, high = scale * (area["end"] - area["begin"]), rise * area["size"]
        drawing.rect(x, y, max(width, 0.6), max(high, 0.6), palette[area["layer"] % len(palette)], fill_opacity=0.75,
                     stroke="#fff", stroke_width=0.5, tip=f"layer {_title(run, area['layer'])}: {area['size']:,} bytes at "
                     f"{area['start']:#x}, cycles {area['begin']:,} to {area['end']:,}")
        if width > 14 and high > 11:
            drawing.text(x + 3, y + 11, str(area["layer"]), size=10, color="#fff")
    for value in ticks(total, 8):
        drawing.text(left + scale * value, base + 14, f"{value:,.0f}", anchor="middle", size=10, color="#57606a")
    drawing.text(_WIDTH - 8, base + 28, "cycle", anchor="end", size=10, color="#57606a")
    return drawing
