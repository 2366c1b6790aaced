"""Area, clock and speed of presets on boards: `docs/trend.json`, and the tables in docs/boards.md and README.md.

What the cache of syntheses lacks is synthesised, unless ``--cached-only`` is given; then figures of an earlier state stay
and are marked as such.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from systolith.accelerator import Accelerator
from systolith.verilog import to_verilog
from systolith_boards.board_build import board_design
from systolith_boards.boards import BOARDS
from systolith_boards.report import SynthesisReport
from systolith_boards.synthesis import FLOWS
from systolith_boards.tools import SynthesisError
from systolith_cli.synth import synthesise_board, synthesise_config
from systolith_explore.evaluation import evaluate
from systolith_sim.figures import Figures, publish
from systolith_sim.models import model_path
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

ROOT = Path(__file__).resolve().parents[1]
TREND = ROOT / "docs" / "trend.json"
SEED = 1
NETWORKS = {"pretrainedResnet_quant": "ResNet-8", "kws_ref_model": "keywords (DS-CNN)",
            "vww_96_int8": "persons (MobileNetV1 0.25)", "ad01_int8": "autoencoder"}
# Board, configuration, and whether the whole board is built or the accelerator alone.
BUILDS = (
    ("ulx3s-85f", "tiny-4x4", "out-of-context"),
    ("ulx3s-85f", "small-8x8", "out-of-context"),
    ("ulx3s-85f", "ulx3s-16x16", "out-of-context"),
    *((board.name, board.preset, "board") for board in BOARDS.values()),
)
_RESOURCES = ("lut", "ff", "dsp", "bram")
# Fields that change neither program nor cycles.
_SAME_CYCLES = {"name": "", "multiplier_style": "generic", "dsp_budget": 0, "dsp_sums": False}


def design_hash(board: str, config: AcceleratorConfig, mode: str) -> str:
    """Tells one state of RTL and flow from another."""
    if mode == "board":
        text = board_design(config, BOARDS[board]).verilog
    else:
        text = to_verilog(Accelerator(config=config), "systolith")
    return hashlib.sha256(f"{FLOWS[BOARDS[board].family]} {text}".encode()).hexdigest()[:12]


def figures_of(report: SynthesisReport) -> dict:
    """What the file keeps of a report."""
    return {
        "misfit": None, **{name: getattr(report, name) for name in _RESOURCES}, "fmax_mhz": report.fmax_mhz,
        "target_mhz": report.target_mhz, "seed": report.seed, "tools": report.tools,
        "cpu_seconds": round(sum(used["cpu_seconds"] for used in report.usage.values())),
        "memory_mb": max(used["memory_mb"] for used in report.usage.values()),
    }


def build(board: str, config: AcceleratorConfig, mode: str, cached_only: bool) -> dict | None:
    """Figures of a build, with the reason where it does not fit; None if no tool may run and nothing is kept."""
    synthesise = synthesise_board if mode == "board" else synthesise_config
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = synthesise(config, board, Path(folder), SEED, lambda what, fraction: None, cached_only=cached_only)
            return figures_of(report)
        except SynthesisError as error:
            if "does not fit" in str(error):
                return {"misfit": str(error)}
            if cached_only:
                return None
            raise


def speed(config: AcceleratorConfig) -> dict[str, dict[str, int]]:
    """Predicted cycles, and bytes of main memory, of each network whose file is present and that the buffers allow."""
    present = [str(path) for path in map(model_path, NETWORKS) if path is not None]
    return {found.model: {"cycles": found.cycles, "bytes": found.memory_bytes}
            for found in evaluate(config, tuple(present), search=True) if found.cycles is not None}


def measure(before: list[dict], cached_only: bool, only: str | None = None) -> Iterable[dict]:
    """Entries of the file anew, those in which nothing has changed as they were."""
    known = {(entry["board"], entry["config"], entry["mode"]): entry for entry in before}
    speeds: dict[AcceleratorConfig, dict] = {}
    for key in BUILDS:
        board, name, mode = key
        config, old = preset(name), known.get(key)
        design = design_hash(board, config, mode)
        if only not in (None, board, name):
            if old:
                yield {**old, "current": old["design"] == design}
            continue
        found = old if old and old["design"] == design else build(board, config, mode, cached_only)
        if found is None:
            if old:
                yield {**old, "current": False}
            continue
        geometry = replace(config, **_SAME_CYCLES)
        if geometry not in speeds and not found["misfit"]:
            speeds[geometry] = (old["networks"] if found is old else speed(config)) or (old or {}).get("networks", {})
        networks = speeds.get(geometry, {})
        yield {**found, "board": board, "config": name, "mode": mode, "design": design, "current": True, "networks": networks}


def clock_mhz(entry: dict) -> float:
    """The clock that the accelerator gets: that of the PLL where the design allows it."""
    return min(entry["fmax_mhz"], entry["target_mhz"]) if entry["mode"] == "board" else entry["fmax_mhz"]


def area_table(entries: list[dict]) -> Figures:
    """Area and clock of each build, for docs/boards.md."""
    rows = []
    for entry in entries:
        capacity = BOARDS[entry["board"]].capacity
        head = [f"`{entry['board']}`", f"`{entry['config']}`", _kind_of(entry)]
        if entry["misfit"]:
            needs = entry["misfit"].partition("it needs ")[2]
            rows.append([*head, f"does not fit: {needs}", *[""] * 6])
            continue
        rows.append([
            *head, f"{entry['lut']:,} ({entry['lut'] / capacity['lut']:.0%})", f"{entry['ff']:,}",
            *(f"{entry[name]} of {capacity[name]}" for name in ("dsp", "bram")),
            _mhz_of(entry), f"{entry['cpu_seconds'] / 60:.0f} min",
            f"{entry['memory_mb']:,} MB"])
    tools = sorted({f"{tool.removeprefix('yowasp-')} {version}" for entry in entries for tool, version in
                    entry.get("tools", {}).items()})
    summary = (f"Seed {SEED}; {', '.join(tools)}. Time is that of one processor; `earlier` figures are of an earlier state of "
               "RTL or flow.")
    return Figures(name="trend", summary=summary, rows=rows, header=[
        "board", "configuration", "", "LUT4", "flip-flops", "multipliers", "block RAM", "MHz", "time", "most memory"])


def preset_table(entries: list[dict]) -> Figures:
    """What the presets are, and what they take, for README.md."""
    rows = []
    for entry in entries:
        if entry["misfit"]:
            continue
        config = preset(entry["config"])
        rows.append([
            f"`{config.name}`", f"{config.rows} x {config.cols}",
            f"{config.activation_bytes // 1024} KiB, {config.weight_bytes // 1024} KiB", f"{config.axi_data_width} bits",
            f"`{entry['board']}`, {_kind_of(entry)}", f"{entry['lut']:,}", f"{entry['ff']:,}",
            f"{entry['dsp']}", f"{entry['bram']}", _mhz_of(entry)])
    return Figures(
        name="presets", rows=rows, summary="Resources and clock: `make trend`, more of it in docs/boards.md.", header=[
            "preset", "array", "activation, weight buffer", "AXI", "built", "LUT4", "flip-flops", "DSP", "block RAM", "MHz"])


def _kind_of(entry: dict) -> str:
    """What was built."""
    return "bitstream" if entry["mode"] == "board" else "out of context"


def _mhz_of(entry: dict) -> str:
    """The clock reached, and whether with today's RTL and flow."""
    return f"{entry['fmax_mhz']:.1f}{'' if entry['current'] else ' (earlier)'}"


def speed_table(entries: list[dict]) -> Figures:
    """Inferences per second of each build, for README.md."""
    rows = []
    for entry in entries:
        if entry["misfit"]:
            continue
        memory = BOARDS[entry["board"]].main_memory
        cells = []
        for name in NETWORKS:
            network = entry["networks"].get(name)
            if network is None:
                cells.append("-")
                continue
            star = "*" if entry["mode"] == "board" and network["bytes"] > memory else ""
            cells.append(f"{clock_mhz(entry) * 1e6 / network['cycles']:,.0f}{star}")
        rows.append([f"`{entry['board']}`", f"`{entry['config']}`", _kind_of(entry), f"{clock_mhz(entry):.1f}", *cells])
    return Figures(
        name="speed", rows=rows, header=["board", "configuration", "", "MHz", *NETWORKS.values()],
        summary="Inferences per second: clock / predicted cycles (`make trend`; area and seed in docs/boards.md). A * marks "
        "networks that need more main memory than the bitstream has, a - those that need larger buffers.")


def publish_tables(entries: list[dict]) -> None:
    """Write the tables into their pages."""
    publish(area_table(entries), page=ROOT / "docs" / "boards.md")
    publish(preset_table(entries), page=ROOT / "README.md")
    publish(speed_table(entries), page=ROOT / "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cached-only", action="store_true", help="synthesise nothing")
    parser.add_argument("--only", metavar="NAME", help="one board or configuration; the others stay as they are")
    arguments = parser.parse_args()
    before = json.loads(TREND.read_text()) if TREND.is_file() else []
    entries = list(measure(before, arguments.cached_only, arguments.only))
    TREND.write_text(json.dumps(entries, indent=2) + "\n")
    publish_tables(entries)


if __name__ == "__main__":
    main()
