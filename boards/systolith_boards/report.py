"""Area and timing of a synthesised design, for programs (JSON) and for people (tables)."""

import re
from collections import defaultdict
from dataclasses import asdict, dataclass, field

from rich.console import Group
from rich.table import Table
from rich.text import Text

from systolith_boards.boards import BOARDS
from systolith_boards.hierarchy import Resources

__all__ = ["SynthesisReport", "hierarchy_rows", "render_table"]

_MADE_UNIQUE = re.compile(r"\$\d+$")  # what Amaranth appends to a name used for a port as well


@dataclass(frozen=True, kw_only=True)
class SynthesisReport:
    """Result of one synthesis. :meth:`to_json` gives a dictionary with the attributes as keys.

    Attributes
    ----------
    device : str
        FPGA with speed grade and package.
    lut : int
        LUT4s of the design, with those that carry chains and distributed RAM take.
    ff : int
        Flip-flops in the fabric.
    dsp : int
        Multipliers: of 18x18 bits (ECP5), 16x16 (iCE40) or 9x9 (Gowin).
    bram : int
        Block RAMs.
    fmax_mhz : float
        Clock rate that the slowest register-to-register path allows, after routing, MHz. The tools do not
        time the inside of a DSP whose registers are all used; its limit is in the data sheet of the FPGA.
    target_mhz : float
        Clock rate that placement and routing aimed at; with a bitstream, the clock that its PLL makes.
    critical_path : list of dict
        Segments of that path in order: ``kind`` (clk-to-q, routing, logic, setup, clk-skew), ``ns``,
        ``module`` (instance path), ``cell`` (name, type and pin at the end of the segment; cells
        that synthesis made up are unnamed) and ``net`` (None
        except for routing).
    slow_inputs : list of dict
        The slowest inputs of registers: ``ns`` from the clock edge to the last change there, ``module``, ``cell`` (as above)
        and ``count``, of inputs whose names differ from this one's by numbers only. Empty if the tools do not tell.
    advice : str
        What limits the clock, in a line; empty if the tools report no path.
    hierarchy : list of dict
        ``module, lut, ff, dsp, bram`` of each instance *with* all instances in it, first the whole design,
        depth first. Instances that differ by numbers only are one row, as ``array.pe_*_* (64x)``.
    bitstream : str or None
        Path of the bitstream; None for out-of-context synthesis, whose pins are not those of the board.
    mode : str
        ``"out-of-context"``: ports are registered by a wrapper that is not counted. ``"board"``: with pin
        constraints.
    board : str
        Name of the board.
    seed : int
        Seed of placement and routing.
    seeds : dict of str to float
        Clock rate with each seed that was tried, MHz.
    tools : dict
        Version of each tool.
    usage : dict
        ``seconds`` (wall clock), ``cpu_seconds`` and ``memory_mb`` of each tool when it ran.
    """

    device: str
    lut: int
    ff: int
    dsp: int
    bram: int
    fmax_mhz: float
    target_mhz: float
    critical_path: list = field(default_factory=list)
    slow_inputs: list = field(default_factory=list)
    advice: str = ""
    hierarchy: list = field(default_factory=list)
    bitstream: str | None
    mode: str
    board: str
    seed: int
    seeds: dict = field(default_factory=dict)
    tools: dict
    usage: dict = field(default_factory=dict)

    @property
    def too_slow(self) -> bool:
        """Whether there is a bitstream whose clock is higher than the design allows."""
        return self.bitstream is not None and self.fmax_mhz < self.target_mhz

    def to_json(self) -> dict:
        """Return a dictionary for :func:`json.dump`."""
        return asdict(self)


def hierarchy_rows(resources: dict[str, Resources], top: str) -> list[dict]:
    """Return the rows of :attr:`SynthesisReport.hierarchy`.

    Parameters
    ----------
    resources : dict
        :class:`Resources` of each instance path by itself.
    top : str
        Name for the whole design.
    """
    inclusive, instances = defaultdict(Resources), defaultdict(set)
    for path, own in resources.items():
        parts = path.split(".") if path else []
        for depth in range(len(parts) + 1):
            named = [_MADE_UNIQUE.sub("", part) for part in parts[:depth]]
            key = tuple(re.sub(r"\d+", "*", part) for part in named)
            inclusive[key] += own
            instances[key].add(tuple(parts[:depth]))
    rows = []
    for key in sorted(inclusive):
        if len(instances[key]) == 1:
            name = ".".join(_MADE_UNIQUE.sub("", part) for part in next(iter(instances[key])))
        else:
            name = f"{'.'.join(key)} ({len(instances[key])}x)"
        rows.append({"module": name or top, **asdict(inclusive[key])})
    return rows


def render_table(report: SynthesisReport, *, depth: int = 2, segments: int = 12) -> Group:
    """Return totals, modules and critical path for :meth:`rich.console.Console.print`.

    Parameters
    ----------
    report : SynthesisReport
    depth : int
        Levels of the hierarchy to show below the whole design.
    segments : int
        Longest segments of the critical path to show, in the order of the path.
    """
    mode = {
        "out-of-context": "out of context (ports registered by an uncounted wrapper; no pins, no bitstream)",
        "board": "with the pins of the board",
    }.get(report.mode, report.mode)
    head = Text.assemble(
        (f"{report.fmax_mhz:.1f} MHz", "bold green"),
        f" on {report.device} ({report.board}), {mode}",
    )
    parts = [head, _area_table(report, depth)]
    if report.critical_path:
        parts.append(_path_table(report, segments))
        if report.slow_inputs:
            parts.append(_inputs_table(report))
        parts.append(Text(report.advice))
    if len(report.seeds) > 1:
        parts.append(Text("Seeds: " + ", ".join(f"{seed} {mhz:.1f} MHz" for seed, mhz in report.seeds.items())))
    if report.bitstream is not None:
        parts.append(Text(f"Bitstream: {report.bitstream}, clock {report.target_mhz:g} MHz"))
    return Group(*parts)


def _area_table(report, depth):
    table = Table(title="Area", title_justify="left", show_edge=False)
    table.add_column("Module")
    for column in ("LUT4", "FF", "DSP", "BRAM"):
        table.add_column(column, justify="right")
    for index, row in enumerate(report.hierarchy):
        path = row["module"]
        level = 0 if index == 0 else path.count(".") + 1
        if level > depth or not any(row[key] for key in ("lut", "ff", "dsp", "bram")):
            continue
        name = path if index == 0 else "  " * level + path.rsplit(".", 1)[-1]
        cells = [f"{row[key]:,}" for key in ("lut", "ff", "dsp", "bram")]
        table.add_row(name, *cells, style="bold" if index == 0 else None)
    if report.board in BOARDS:
        capacity = BOARDS[report.board].capacity
        shares = [
            f"{100 * getattr(report, key) / capacity[key]:.1f} %" for key in ("lut", "ff", "dsp", "bram")
        ]
        table.add_section()
        table.add_row("of the FPGA", *shares, style="dim")
    return table


def _path_table(report, segments):
    merged = []
    for segment in report.critical_path:
        if segment["ns"] == 0:
            continue
        # Stages of one carry chain differ by pins only.
        through = segment["cell"].rpartition(".")[0]
        key = (segment["kind"], f"to {through}" if segment["kind"] == "routing" else through)
        if merged and merged[-1][0] == key:
            merged[-1][1] += segment["ns"]
        else:
            merged.append([key, segment["ns"]])
    total = sum(segment["ns"] for segment in report.critical_path)
    table = Table(title=f"Critical path, {total:.2f} ns", title_justify="left", show_edge=False)
    table.add_column("ns", justify="right")
    table.add_column("Segment")
    table.add_column("Through", overflow="fold")
    shown = sorted(merged, key=lambda entry: -entry[1])[:segments]
    for entry in merged:
        if any(entry is one for one in shown):
            (kind, through), delay = entry
            table.add_row(f"{delay:.2f}", kind, Text(through))
    if len(shown) < len(merged):
        table.add_row("", "", f"and {len(merged) - len(shown)} shorter segments", style="dim")
    return table


def _inputs_table(report):
    table = Table(title="Slowest inputs of registers", title_justify="left", show_edge=False)
    table.add_column("ns", justify="right")
    table.add_column("Input", overflow="fold")
    table.add_column("Alike", justify="right")
    for entry in report.slow_inputs:
        table.add_row(f"{entry['ns']:.2f}", Text(entry["cell"]), str(entry["count"]))
    return table
