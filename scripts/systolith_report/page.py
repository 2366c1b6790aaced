"""From records to a document, and from that to HTML and Markdown."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from systolith_boards.boards import BOARDS
from systolith_report.comparison import comparison_chart, comparison_rows
from systolith_report.records import Run, Synthesis
from systolith_report.run_charts import (
    buffer_chart,
    cycle_chart,
    memory_chart,
    roofline_chart,
    skyline_chart,
    timeline_chart,
    traffic_chart,
)
from systolith_report.svg import Drawing
from systolith_report.synthesis_charts import area_chart, merged_path, module_chart, path_chart, seed_chart

__all__ = ["Figure", "Section", "Table", "build_sections", "write_pages", "write_report"]

_LEAST_SHARE = 0.01  # of the LUTs: modules inside others that get a row of their own


@dataclass(frozen=True)
class Figure:
    """A picture with the sentence below it."""

    drawing: Drawing
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of text; `left` columns of them are aligned to the left."""

    head: list[str]
    rows: list[list[str]]
    left: int = 1


@dataclass
class Section:
    """A heading with what is below it: figures, tables and paragraphs (str)."""

    title: str
    level: int
    blocks: list[Figure | Table | str] = field(default_factory=list)

    def figure(self, drawing: Drawing | None, caption: str) -> None:
        """Add a figure, if there is anything to draw."""
        if drawing is not None:
            self.blocks.append(Figure(drawing, caption))

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def _run_facts(run: Run, clock_mhz: float | None) -> Table:
    data = run.data
    rows = [["network", data["model"]], ["configuration", data["config"]],
            ["level", f"{data['level']}, {data['samples']} sample{'s' if data['samples'] > 1 else ''}"]]
    if run.config:
        rows[1][1] += f": {run.config.rows} x {run.config.cols} multipliers, {run.config.axi_data_width} bit AXI"
    if data["cycles"] is not None:
        rows.append(["cycles", f"{data['cycles']:,} (predicted {data['predicted_cycles']:,}, "
                     f"{data['predicted_cycles'] / data['cycles'] - 1:+.2%})"])
    else:
        rows.append(["cycles", f"{data['predicted_cycles']:,}, predicted"])
    if clock_mhz:
        rows.append(["speed", f"{run.samples_per_run * clock_mhz * 1e6 / run.cycles:,.0f} samples per second at "
                     f"{clock_mhz:.1f} MHz, {run.cycles / clock_mhz / 1000:.3f} ms"])
    rows += [["MACs", f"{data['macs']:,}"], ["utilisation", f"{data['utilization'] or 0:.1%}"],
             ["main memory", f"{data['dram_bytes_read']:,} bytes read, {data['dram_bytes_written']:,} written"
              + (f", {data['memory']['latency']} cycles to the first beat" if "memory" in data else "")],
             ["on the host", ", ".join(data["host_ops"]) or "nothing"],
             ["bit-exact", "yes" if data["bit_exact"] else "NO"]]
    return Table(["", ""], rows, left=2)


def _run_sections(run: Run, clock_mhz: float | None) -> list[Section]:
    data = run.data
    first = Section(run.label, 2, [_run_facts(run, clock_mhz)])
    layers = Section("Layers", 3)
    layers.figure(skyline_chart(run), "Utilisation of each layer. A bar is as wide as its layer takes cycles; its color names "
                  "the resource that sets the pace. Layers overlap: one may show more than 100 %, the whole cannot.")
    bounds = {entry["layer"]: entry["bound"] for entry in data.get("explanation", [])}
    layers.blocks.append(Table(["layer", "bound by", "MACs", "cycles", "utilisation"], [
        [f"{layer['index']} {layer['op']}", bounds.get(layer["index"], ""), f"{layer['macs']:,}",
         "" if layer["cycles"] is None else f"{layer['cycles']:,}",
         f"{layer['utilization']:.1%}" if layer["macs"] and layer["utilization"] is not None else ""]
        for layer in data["layers"]], left=2))
    cycles = Section("Where cycles go", 3)
    cycles.figure(cycle_chart(run), "Multipliers x cycles of each layer, by what they did and what kept them from useful work, "
                  "as the cycle model sees it. The percentage is the useful part.")
    cycles.figure(timeline_chart(run), "What each engine does in every cycle, as the cycle model sees it. Numbers on top are "
                  "layers. Wheel: zoom; drag: move; double click: everything.")
    cycles.figure(roofline_chart(run), "A point is a layer: far to the right it uses each byte of main memory often; below the "
                  "line something else than multipliers or bandwidth holds it back. Its loads may run under the layer before.")
    memory = Section("Memory", 3)
    memory.figure(traffic_chart(run), "Bytes between the accelerator and main memory.")
    memory.figure(memory_chart(run), "The image in main memory: what lies where.")
    memory.figure(buffer_chart(run), "Contents of the activation buffer over time. A rectangle is what one layer wrote, until "
                  "it is used for the last time; dashed lines are the borders of banks.")
    sections = [first, layers, cycles, memory]
    if run.config:
        sections.append(Section("Configuration", 3, [_fields(data["configuration"])]))
    return [section for section in sections if section.blocks]


def _fields(values: dict) -> Table:
    """All fields of a configuration in two pairs of columns."""
    pairs = [[name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)]
             for name, value in values.items()]
    half = -(-len(pairs) // 2)
    pairs += [["", ""]] * (2 * half - len(pairs))
    return Table(["field", "value", "field", "value"], [a + b for a, b in zip(pairs[:half], pairs[half:], strict=True)], left=4)


def _synthesis_sections(synthesis: Synthesis) -> list[Section]:
    data = synthesis.data
    board = BOARDS.get(data.get("board", ""))
    capacity = board.capacity if board is not None else None
    head = Section(synthesis.label, 2, [Table(["", ""], [
        ["FPGA", data["device"]], ["clock", f"{data['fmax_mhz']:.1f} MHz, seed {data.get('seed', 1)}"],
        ["LUT4, flip-flops, DSP, block RAM", ", ".join(f"{data[key]:,}" for key in ("lut", "ff", "dsp", "bram"))],
        ["mode", data.get("mode", "")], ["tools", ", ".join(f"{k} {v}" for k, v in data.get("tools", {}).items())]], left=2)])
    area = Section("Area by module", 3)
    area.figure(module_chart(synthesis, capacity), "The four resources, by module"
                + (", against what the FPGA has." if capacity else "."))
    area.figure(area_chart(synthesis), "LUTs by module; what a module contains lies to the right of it.")
    rows = [row for index, row in enumerate(data["hierarchy"]) if index == 0 or "." not in row["module"]
            or row["module"].count(".") == 1 and row["lut"] >= _LEAST_SHARE * data["lut"]]
    area.blocks.append(Table(["module", "LUT4", "flip-flops", "DSP", "block RAM"], [
        [row["module"], *(f"{row[key]:,}" for key in ("lut", "ff", "dsp", "bram"))] for row in rows]))
    path = Section("Critical path", 3)
    path.figure(path_chart(synthesis), "The slowest path from register to register, with the modules it crosses.")
    segments = merged_path(synthesis)
    if segments:
        path.blocks.append(Table(["ns", "kind", "module", "through"], [
            [f"{segment['ns']:.2f}", segment["kind"], segment["module"], segment["through"]] for segment in segments], left=4))
    return [section for section in (head, area, path) if section.blocks]


def build_sections(runs: list[Run], syntheses: list[Synthesis]) -> list[Section]:
    """All sections of a report, in order."""
    sections = []
    if len(runs) > 1:
        side = Section("Side by side", 2)
        rows = comparison_rows(runs)
        side.blocks.append(Table(["", *(run.label for run in runs)], [[name, *values] for name, values in rows]))
        side.figure(comparison_chart(runs), "Cycles of each layer.")
        sections.append(side)
    if len(syntheses) > 1:
        table = Table(["", "LUT4", "flip-flops", "DSP", "block RAM", "MHz"], [
            [entry.label, *(f"{entry.data[key]:,}" for key in ("lut", "ff", "dsp", "bram")), f"{entry.data['fmax_mhz']:.1f}"]
            for entry in syntheses])
        sections.append(Section("Syntheses", 2, [table]))
    sections += [section for run in runs for section in _run_sections(run, _clock(run, syntheses))]
    shown = set()
    for synthesis in syntheses:
        design = synthesis.data.get("config"), synthesis.data.get("board")
        sections += _synthesis_sections(synthesis)
        if design not in shown:
            shown.add(design)
            seeds = Section("Clock over seeds", 3)
            seeds.figure(seed_chart([entry for entry in syntheses
                                     if (entry.data.get("config"), entry.data.get("board")) == design]),
                         "The same netlist, placed and routed with several seeds.")
            sections += [seeds] if seeds.blocks else []
    return sections


def _clock(run: Run, syntheses: list[Synthesis]) -> float | None:
    """Best clock of a synthesis of the run's configuration, MHz."""
    return max((entry.data["fmax_mhz"] for entry in syntheses if entry.data.get("config") == run.data["config"]), default=None)


def write_report(runs: list[Run], syntheses: list[Synthesis], folder: Path) -> list[Path]:
    """Write report.html, report.md and figures/*.svg.

    Returns
    -------
    list of Path
        The two pages.
    """
    labels = [run.label for run in runs] or [entry.label for entry in syntheses]
    title = " and ".join(labels) if len(labels) < 3 else f"{labels[0]} and {len(labels) - 1} more"
    return write_pages(title, build_sections(runs, syntheses), folder)


def write_pages(title: str, sections: list[Section], folder: Path) -> list[Path]:
    """Write sections as report.html, report.md and figures/*.svg; returns the two pages."""
    environment = Environment(loader=PackageLoader("systolith_report"), undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, autoescape=lambda name: name is not None and name.endswith(".html"))
    environment.tests |= {"figure": lambda block: isinstance(block, Figure), "table": lambda block: isinstance(block, Table)}
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    names = {}
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                names[id(block)] = f"figures/{len(names):02}.svg"
                (folder / names[id(block)]).write_text(f"{block.drawing}\n")
    pages = []
    for suffix in ("html", "md"):
        template = environment.get_template(f"report.{suffix}")
        text = template.render(title=title, sections=sections, figure_name=lambda block: names[id(block)])
        pages.append(folder / f"report.{suffix}")
        pages[-1].write_text(text)
    return pages
