"""Figures of a synthesis: area by module, critical path, clock over seeds."""

from systolith_report.records import Synthesis
from systolith_report.svg import COLORS, Drawing, ticks

__all__ = ["area_chart", "merged_path", "module_chart", "path_chart", "seed_chart"]

_WIDTH = 960
_PALETTE = ("#4c8a5b", "#3f6fa8", "#8a63b0", "#c98a1b", "#a83f3f", "#66727f", "#5b9aa0", "#b5793a", "#7d6b91", "#6f8f3f")
RESOURCES = {"lut": "LUT4", "ff": "flip-flops", "dsp": "DSP", "bram": "block RAM"}


def _tree(synthesis: Synthesis) -> dict:
    """Rows of the hierarchy by path, with the paths of those directly inside, and what is inside none of them as `own`."""
    rows = {}
    for index, row in enumerate(synthesis.data["hierarchy"]):
        rows["" if index == 0 else row["module"]] = {**row, "inside": []}
    for path in rows:
        if path:
            outer = path.rpartition(".")[0]
            while outer and outer not in rows:
                outer = outer.rpartition(".")[0]
            rows[outer]["inside"].append(path)
    return rows


def area_chart(synthesis: Synthesis, resource: str = "lut") -> Drawing | None:
    """Modules as nested blocks, each as high as its share of one resource; what is inside lies to the right."""
    rows = _tree(synthesis)
    total = rows[""][resource]
    if not total:
        return None
    height, column, depth = 460, _WIDTH / 4, 4
    drawing = Drawing(_WIDTH, height, f"{RESOURCES[resource]} by module")

    def place(path: str, level: int, top: float, color: str) -> None:
        row = rows[path]
        high = height * row[resource] / total
        name = path.rpartition(".")[2] or row["module"]
        drawing.rect(column * level, top, column, high, color, stroke="#fff", fill_opacity=1 - 0.2 * max(level - 1, 0),
                     tip=f"{path or row['module']}: {row['lut']:,} LUT4, {row['ff']:,} flip-flops, {row['dsp']} DSP, "
                     f"{row['bram']} block RAM ({row[resource] / total:.1%})")
        if high > 11:
            drawing.text(column * level + 5, top + min(high / 2 + 4, 16), f"{name}  {row[resource]:,}"[:38], size=10,
                         color="#fff" if level < 3 else "#24292f")
        if level + 1 < depth:
            inner = sorted(row["inside"], key=lambda other: -rows[other][resource])
            for index, other in enumerate(inner):
                place(other, level + 1, top, _PALETTE[index % len(_PALETTE)] if level == 0 else color)
                top += height * rows[other][resource] / total

    place("", 0, 0.0, "#57606a")
    return drawing


def module_chart(synthesis: Synthesis, capacity: dict[str, int] | None) -> Drawing:
    """Share of each module directly below the top in the four resources; with the FPGA's capacity, of that."""
    rows = _tree(synthesis)
    names = sorted(rows[""]["inside"], key=lambda path: -rows[path]["lut"])
    colors = {name: _PALETTE[index % len(_PALETTE)] for index, name in enumerate(names)}
    left, step = 90, 34
    drawing = Drawing(_WIDTH, 20 + step * 4 + 20 * (1 + (len(names) + 4) // 5), "Resources by module")
    for index, (resource, title) in enumerate(RESOURCES.items()):
        used, y, x = rows[""][resource], 6 + step * index, float(left)
        limit = max(used, capacity[resource]) if capacity else max(used, 1)
        scale = (_WIDTH - left - 150) / limit
        drawing.rect(left, y, scale * limit, 22, "#f3f5f7", stroke="#d0d7de")
        for name in [*names, ""]:
            count = rows[name][resource] if name else used - sum(rows[other][resource] for other in names)
            drawing.rect(x, y, scale * count, 22, colors.get(name, "#cfd6dc"), tip=f"{name or 'elsewhere'}: {count:,} {title}")
            x += scale * count
        drawing.text(left - 8, y + 15, title, anchor="end")
        share = f" of {capacity[resource]:,} ({used / capacity[resource]:.0%})" if capacity else ""
        drawing.text(_WIDTH - 142, y + 15, f"{used:,}{share}", size=10)
    for index, name in enumerate(names):
        drawing.legend(left + 170 * (index % 5), 20 + step * 4 + 20 * (index // 5), [(colors[name], name)])
    return drawing


def merged_path(synthesis: Synthesis) -> list[dict]:
    """Segments of the critical path, "kind", "ns", "through", "module"; stages of one carry chain are one segment."""
    merged: list[dict] = []
    for segment in synthesis.data["critical_path"]:
        if not segment["ns"]:
            continue
        routing = segment["kind"] == "routing"
        through = (segment["net"] or segment["cell"]) if routing else segment["cell"].rpartition(".")[0]
        if merged and (merged[-1]["kind"], merged[-1]["through"]) == (segment["kind"], through):
            merged[-1]["ns"] += segment["ns"]
        else:
            merged.append({"kind": segment["kind"], "ns": segment["ns"], "through": through, "module": segment["module"]})
    return merged


def path_chart(synthesis: Synthesis) -> Drawing | None:
    """The critical path as a chain of segments in time, with the modules that it crosses."""
    segments = merged_path(synthesis)
    if not segments:
        return None
    total = sum(segment["ns"] for segment in segments)
    scale = (_WIDTH - 24) / total
    drawing = Drawing(_WIDTH, 112, "Critical path")
    crossed: list[list] = []
    x = 12.0
    for segment in segments:
        width = scale * segment["ns"]
        drawing.rect(x, 28, width, 26, COLORS.get(segment["kind"], "#999"), stroke="#fff", stroke_width=0.6,
                     tip=f"{segment['kind']}, {segment['ns']:.2f} ns: {segment['through']}")
        if width > 30:
            drawing.text(x + width / 2, 45, f"{segment['ns']:.2f}", anchor="middle", size=10, color="#fff")
        if crossed and crossed[-1][0] == segment["module"]:
            crossed[-1][2] = x + width
        else:
            crossed.append([segment["module"], x, x + width])
        x += width
    for module, first, last in crossed:
        drawing.line(first + 1, 22, last - 1, 22, "#57606a", stroke_width=2)
        room = int((last - first) / 5.6)
        if room > 3:
            name = module if len(module) <= room else "…" + module[1 - room:]
            drawing.text((first + last) / 2, 15, name, anchor="middle", size=10)
    for value in ticks(total, 10):
        drawing.text(12 + scale * value, 70, f"{value:g} ns", anchor="middle" if value else "start", size=10, color="#57606a")
    kinds = dict.fromkeys(segment["kind"] for segment in segments)
    drawing.legend(12, 100, [(COLORS.get(kind, "#999"),
                              f"{kind} {sum(s['ns'] for s in segments if s['kind'] == kind):.2f} ns") for kind in kinds])
    return drawing


def seed_chart(syntheses: list[Synthesis]) -> Drawing | None:
    """Clock of the same design for several seeds of placement and routing."""
    clocks = {entry.data.get("seed", 1): entry.data["fmax_mhz"] for entry in syntheses}
    for entry in syntheses:  # a synthesis that tried several seeds lists them
        clocks |= {row["seed"]: row["fmax_mhz"] for row in entry.data.get("seeds", []) if isinstance(row, dict)}
    if len(clocks) < 2:
        return None
    low, high = min(clocks.values()), max(clocks.values())
    left, base = 60, 150
    drawing = Drawing(_WIDTH, 190, "Clock over seeds")
    floor, ceiling = low - 0.1 * (high - low) - 1, high + 0.1 * (high - low) + 1

    def up(value: float) -> float:
        return base - 130 * (value - floor) / (ceiling - floor)

    for value in (low, sum(clocks.values()) / len(clocks), high):
        drawing.line(left, up(value), _WIDTH - 20, up(value))
        drawing.text(left - 6, up(value) + 4, f"{value:.1f}", anchor="end", size=10, color="#57606a")
    for index, (seed, clock) in enumerate(sorted(clocks.items())):
        x = left + (index + 0.5) * (_WIDTH - left - 20) / len(clocks)
        drawing.line(x, base, x, up(clock), "#cfd6dc", stroke_width=3)
        drawing.circle(x, up(clock), 5, COLORS["load weights"], f"seed {seed}: {clock:.1f} MHz")
        drawing.text(x, base + 14, f"seed {seed}", anchor="middle", size=10, color="#57606a")
    drawing.text(left, 12, "MHz", size=10, color="#57606a")
    return drawing
