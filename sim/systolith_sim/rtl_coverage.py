"""`make coverage`: what the regression on the generated Verilog reaches, functionally and by lines and toggles.

The cocotb tests of the whole accelerator run with Verilator's coverage; the points of all runs of one configuration are
added up, whatever test bench they had. Functional cover points come from the networks that these tests run: see
`cover_points`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from systolith.accelerator import Accelerator
from systolith_sim.cache import digest
from systolith_sim.cocotb_run import COVERAGE_FOLDER, TOGGLES
from systolith_sim.cover_points import POINTS_FILE, all_points
from systolith_sim.figures import PAGE, Figures, publish
from systolith_sim.nightly import CONFIGS
from systolith_sim.verilog import to_verilog
from systolith_spec.config import AcceleratorConfig

__all__ = ["DESIGNS", "LINES", "TESTS", "figures", "key_of", "merge", "read_points", "run_tests", "tested_by"]

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "build" / "coverage"
LINES = 95.0
"""Per cent of lines that have to be reached."""
# Parts of the regression, each a call of pytest: those that run the configurations of `DESIGNS`.
_NETWORKS = "cocotb_tests/test_networks.py"
TESTS = {
    "tiny networks": [_NETWORKS, "-k", "tiny and (test_random_networks or depthwise) or windows or predicted"],
    "odd networks": [_NETWORKS, "-k", "odd and (test_random_networks or depthwise) or larger"],
    "programs": ["cocotb_tests/test_accelerator.py", "-k", "not odd"],
    "faults": ["cocotb_tests/test_faults.py", "-m", "not slow"],
}
DESIGNS = tuple(config for config in CONFIGS if config.name in ("tiny-4x4", "odd-5x6"))
"""Configurations whose lines have to be reached; both have every unit."""
# What tests the lines of a module that these programs do not reach: rare errors, and registers that cannot be written.
TESTED_BY: dict[str, str] = {
    "processor": "`sim/test_command_processor.py`, `cocotb_tests/test_faults.py`",
    "processor.registers": "`sim/test_register_file.py`, `formal:register_file`",
    "processor.fetcher": "`sim/test_command_processor.py`, `formal:command_fetcher`",
    "processor.tokens": "`sim/test_token_counters.py`, `formal:token_counters`",
    "processor.counters": "`sim/test_performance_counters.py`",
    "processor.watchdog": "`sim/test_watchdog.py`, `formal:watchdog`",
    "activation_buffer": "`sim/test_activation_buffer.py`, `formal:activation_arbiter`",
    "compute.activation_feeder.walker": "`sim/test_window.py`",
    "compute.weight_feeder.tiles": "`sim/test_compute_engine.py`",
    "vector": "`sim/test_vector_engine.py`",
    "vector.walk.walker": "`sim/test_window.py`",
    "load": "`sim/test_load_engine.py`, `formal:load_engine`, `formal:transfer_walker`",
    "store": "`sim/test_store_engine.py`, `formal:store_engine`, `formal:burst_splitter`",
}


def tested_by(module: str) -> str:
    """Tests of a module of the Verilog, or of the nearest one around it that has an entry."""
    name = module.removeprefix("systolith.")
    while name and name not in TESTED_BY:
        name = name.rpartition(".")[0]
    return TESTED_BY.get(name, "-")


_CONSTANT = re.compile(r"if \((\\\$auto\$verilog_backend\S* |1'h[01])\)")
_ENTRY = re.compile(r"^C '(.*)' (\d+)$")


def read_points(text: str) -> Iterator[tuple[str, str, str, int]]:
    """Points of a coverage file: kind ("line", "branch", "toggle"), module, place and count."""
    for entry in text.splitlines():
        match = _ENTRY.match(entry)
        if match is None:
            continue
        values = dict(part.split("\2", 1) for part in match[1].split("\1") if "\2" in part)
        kind, _, module = values["page"].partition("/")
        yield kind.removeprefix("v_"), module, f"{values['l']}:{values.get('n', '')}:{values['o']}", int(match[2])


@cache
def _verilog(config: AcceleratorConfig) -> str:
    return to_verilog(Accelerator(config=config), "systolith")


def key_of(config: AcceleratorConfig) -> str:
    """First part of the names of a configuration's coverage files, see `systolith_sim.cocotb_run.run`."""
    return digest(_verilog(config))[:12]


def _made_up(config: AcceleratorConfig) -> set[int]:
    """Lines with conditions of the Verilog writer that are constant: a trigger that is always 0, ``else if (1'h1)``."""
    return {number for number, line in enumerate(_verilog(config).splitlines(), 1) if _CONSTANT.search(line)}


def merge(folder: Path) -> dict[str, Counter]:
    """Add up the coverage files of a folder by the digest of the design: counts of (kind, module, place)."""
    merged: dict[str, Counter] = defaultdict(Counter)
    for file in sorted(folder.glob("*.dat")):
        counts = merged[file.name.split("_")[0]]
        for kind, module, place, count in read_points(file.read_text(errors="replace")):
            counts[kind, module, place] += count
    return merged


def run_tests(parts: list[str], folder: Path) -> None:
    """Run parts of the regression; raises CalledProcessError when a test fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS[part]]
        subprocess.run(command, cwd=_ROOT, check=True, env={**os.environ, COVERAGE_FOLDER: str(folder)})


def _is_design(module: str) -> bool:
    """Whether a module is one of the accelerator, not of the test bench."""
    return module.split("__")[0].split(".")[0] == "systolith"


def figures(folder: Path) -> Figures:
    """Table of line and toggle coverage by configuration, of functional points by group."""
    rows, notes, reached = [], [], []
    merged = merge(folder)
    for config in DESIGNS:
        made_up = _made_up(config)
        design = {key: count for key, count in merged.get(key_of(config), {}).items()
                  if _is_design(key[1]) and int(key[2].split(":")[0]) not in made_up}
        if not design:
            continue
        shares = {}
        for kind in ("line", "branch", "toggle"):
            hits = [count > 0 for (k, *_), count in design.items() if k == kind]
            shares[kind] = (sum(hits), len(hits))
        lines = tuple(map(sum, zip(shares["line"], shares["branch"], strict=True)))
        share = 100 * lines[0] / max(1, lines[1])
        reached.append(share)
        rows.append((f"{config.name}: lines and branches", f"{lines[0]} of {lines[1]}", f"{share:.1f} %"))
        toggles = shares["toggle"]
        share = 100 * toggles[0] / max(1, toggles[1])
        if toggles[1]:
            rows.append((f"{config.name}: toggles", f"{toggles[0]} of {toggles[1]}", f"{share:.1f} %"))
        missed = Counter(module for (kind, module, _), count in design.items() if kind != "toggle" and not count)
        notes += [f"{config.name}: {count} lines of `{module}` not reached; tested by {tested_by(module)}"
                  for module, count in missed.most_common(12)]
    met = set()
    if (folder / POINTS_FILE).exists():
        for entry in (folder / POINTS_FILE).read_text().splitlines():
            met |= set(map(tuple, json.loads(entry)))
    wanted = all_points()
    for group in dict.fromkeys(point[0] for point in wanted):
        points = [point for point in wanted if point[0] == group]
        hit = sum(point in met for point in points)
        rows.append((f"functional: {group}", f"{hit} of {len(points)}", f"{100 * hit / len(points):.1f} %"))
    notes += [f"cover point not met: {', '.join(point)}" for point in wanted if point not in met]
    hit = sum(point in met for point in wanted)
    summary = (f"{min(reached, default=0):.1f} % of lines and branches at least (required: {LINES:.0f} %); "
               f"{hit} of {len(wanted)} functional cover points.")
    return Figures(name="coverage", summary=summary, header=("what", "reached", "share"), rows=rows, notes=notes,
                   details={"lines": min(reached, default=0.0), "points": hit, "all_points": len(wanted)})


def main() -> int:
    """Command line; the exit status is 1 when lines or points are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(TESTS), choices=list(TESTS), help="parts of the regression to run")
    parser.add_argument("--toggles", action="store_true", help="count toggles too, which takes several times as long")
    parser.add_argument("--keep", action="store_true", help="add to what earlier runs have reached")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/verification.md")
    options = parser.parse_args()
    if options.toggles:
        os.environ[TOGGLES] = "1"
    if not options.keep:
        shutil.rmtree(_FOLDER, ignore_errors=True)
    run_tests(options.parts, _FOLDER)
    result = figures(_FOLDER)
    publish(result, json_path=options.json, page=PAGE if options.record else None)
    return int(result.details["lines"] < LINES or result.details["points"] < result.details["all_points"])


if __name__ == "__main__":
    sys.exit(main())
