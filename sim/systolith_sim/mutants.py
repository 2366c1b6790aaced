"""`make mutants`: mutants of each module of the RTL against the tests of that module.

A mutant is killed when a test fails that passes without it, invalid when the module cannot be built with it. Tests run
in a process forked for each mutant, with the changed module in the place of the real one, and stop at the first failure.
Results are kept in `build/mutants`, so that a run may be interrupted and continued.
"""

import argparse
import ast
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pytest

from systolith_sim.figures import PAGE, Figures, publish
from systolith_sim.handmade_mutants import HANDMADE
from systolith_sim.judged_mutants import JUDGED
from systolith_sim.mutation import Mutant, MutantFinder, modules, mutants, mutated, replaced

__all__ = ["TESTS", "Result", "bug_of", "figures", "run_bug", "run_mutant", "run_tests", "suite_of"]

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "build" / "mutants"
_INVALID = ("TypeError", "NameError", "AttributeError", "SyntaxError", "IndexError", "KeyError", "DriverConflict",
            "NotImplementedError")
_SECONDS = 400
# Loaded once, before the first fork; nothing of the RTL.
_PRELOADED = ("numpy", "amaranth.hdl", "amaranth.lib.data", "amaranth.lib.fifo", "amaranth.lib.memory",
              "amaranth.lib.wiring", "amaranth.sim", "amaranth.back.rtlil", "systolith_golden.machine")

# Tests of a module that has none of its own name, cheapest first.
TESTS: dict[str, tuple[str, ...]] = {
    "accelerator": ("cocotb_tests/test_accelerator.py",),
    "activation_feeder": ("sim/test_compute_engine.py",),
    "axi": ("sim/test_axi_read_arbiter.py", "sim/test_load_engine.py"),
    "burst_splitter": ("sim/test_load_engine.py", "sim/test_store_engine.py"),
    "burst_beats": ("sim/test_load_engine.py",),
    "command_fetcher": ("sim/test_command_processor.py",),
    "delay": ("sim/test_aligned_array.py", "sim/test_requantizer.py"),
    "dma_errors": ("sim/test_load_engine.py", "sim/test_store_engine.py"),
    "generate": ("sim/test_generate.py::test_files_and_ports",),
    "head_buffer": ("sim/test_skid_buffer.py",),
    "head_fifo": ("sim/test_block_fifo.py",),
    "high_multiplier": ("sim/test_reciprocal.py",),
    "lane_tables": ("sim/test_vector_engine.py",),
    "parameter_loader": ("sim/test_vector_engine.py",),
    "ports": ("sim/test_load_engine.py",),
    "processing_group": ("sim/test_aligned_array.py",),
    "requantizer_lane": ("sim/test_requantizer.py",),
    "rotating_ram": ("sim/test_activation_buffer.py",),
    "rotator": ("sim/test_activation_buffer.py",),
    "rounding_shift": ("sim/test_requantizer.py",),
    "shapes": ("sim/test_vector_engine.py",),
    "skew": ("sim/test_aligned_array.py",),
    "softmax_loader": ("sim/test_softmax.py",),
    "stream_buffer": ("sim/test_store_engine.py", "sim/test_vector_engine.py"),
    "systolic_array": ("sim/test_aligned_array.py",),
    "transfer_walker": ("sim/test_load_engine.py", "sim/test_store_engine.py"),
    "vector_constants": ("sim/test_vector_engine.py",),
    "vector_dispatcher": ("sim/test_vector_engine.py", "sim/test_vector_timing.py", "sim/test_softmax.py"),
    "vector_element": ("sim/test_vector_engine.py",),
    "vector_engine": ("sim/test_vector_engine.py", "sim/test_vector_timing.py", "sim/test_softmax.py"),
    "vector_pipeline": ("sim/test_vector_engine.py", "sim/test_vector_timing.py"),
    "vector_walk": ("sim/test_vector_engine.py", "sim/test_vector_timing.py"),
    "weight_feeder": ("sim/test_compute_engine.py",),
    "window_access": ("sim/test_window_access.py", "sim/test_compute_engine.py"),
}


@dataclass(frozen=True)
class Result:
    """What became of a mutant: "killed", "survived" or "invalid", by which test, and seconds."""

    name: str
    text: str
    outcome: str
    by: str
    seconds: float


def suite_of(module: str) -> list[str]:
    """Arguments of pytest that select the tests of a module."""
    return list(TESTS.get(module, (f"sim/test_{module}.py",)))


class _FirstFailure:
    """pytest plugin: the first test that fails and the kind of its exception."""

    def __init__(self):
        self.test, self.error = "", ""

    def pytest_exception_interact(self, node, call, report):
        if not self.test:
            self.test, self.error = report.nodeid, call.excinfo.typename


def run_tests(finder: MutantFinder | None, tests: list[str], seconds: float = _SECONDS) -> tuple[int, str, str]:
    """Run tests in a forked process, with a module replaced.

    Returns
    -------
    status : int
        Of pytest: 0 when all tests passed; -1 when the time was up.
    test, error : str
        The first that failed, and the type of its exception.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _child(finder, tests, writing)
    os.close(writing)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.05)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    if not text:
        return -1, "", "the time was up"
    answer = json.loads(text)
    return answer["status"], answer["test"], answer["error"]


def _child(finder: MutantFinder | None, tests: list[str], writing: int) -> None:
    """Body of the forked process; does not return."""
    os.setpgid(0, 0)
    os.chdir(_ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    first = _FirstFailure()
    status = 3
    try:
        if finder is not None:
            finder.install()
        options = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "pytest_timeout", "-m", "not slow"]
        status = int(pytest.main([*options, *tests], plugins=[first]))
    except BaseException as error:
        first.error = type(error).__name__
    os.write(writing, json.dumps({"status": status, "test": first.test, "error": first.error}).encode())
    os._exit(0)


@cache
def _passes(test: str) -> bool:
    """Whether a test passes on the real module: a mutant is killed by nothing else."""
    return run_tests(None, [test])[0] == 0


def _judge(name: str, text: str, finder: MutantFinder, tests: list[str]) -> Result:
    start = time.perf_counter()
    status, test, error = run_tests(finder, tests)
    if status == 0:
        outcome = "survived"
    elif status > 0 and not test:
        raise RuntimeError(f"The tests of {name} did not run: {error or status}")
    elif status == -1:
        outcome, test = "survived", "the time was up"  # simulations have limits in cycles: the tests are slow, not hung
    else:
        outcome = "invalid" if error in _INVALID else "killed"
        if outcome == "killed" and not _passes(test):
            raise RuntimeError(f"{test} fails without a mutant too")
    return Result(name, text, outcome, test or error, round(time.perf_counter() - start, 1))


def run_mutant(mutant: Mutant) -> Result:
    """Run the tests of a module with one mutant."""
    return _judge(mutant.name, mutant.text, MutantFinder(mutant.module, mutated(mutant)), suite_of(mutant.module))


def bug_of(module: str) -> tuple[str, ast.Module]:
    """Description and text of the deliberate bug of a module: that made by hand, or else its first mutant."""
    if module in HANDMADE:
        old, new = HANDMADE[module]
        with suppress(ValueError):
            return f"{old} -> {new}", replaced(module, old, new)
    mutant = mutants(module, count=1)[0]
    return f"{mutant.kind}: {mutant.text}", mutated(mutant)


def run_bug(module: str) -> Result:
    """Run the tests of a module with its deliberate bug."""
    text, tree = bug_of(module)
    return _judge(f"{module} by hand", text, MutantFinder(module, tree), suite_of(module))


def _results(module: str, count: int, seed: int, until: float, folder: Path) -> list[Result]:
    """Results of a module's mutants and of that made by hand, from earlier runs as far as they are known."""
    file = folder / f"{module}.json"
    known = {entry["name"]: Result(**entry) for entry in json.loads(file.read_text())} if file.exists() else {}
    wanted = [(f"{module} by hand", bug_of(module)[0], lambda: run_bug(module))]
    wanted += [(mutant.name, mutant.text, lambda m=mutant: run_mutant(m)) for mutant in mutants(module, count=count, seed=seed)]
    results = []
    for name, text, run in wanted:
        if name not in known or known[name].text != text:
            if time.monotonic() > until:
                continue
            known[name] = run()
            file.write_text(json.dumps([asdict(result) for result in known.values()], indent=1))
            print(f"{name}: {known[name].outcome} ({known[name].by}, {known[name].seconds} s)", file=sys.stderr, flush=True)
        results.append(known[name])
    return results


def figures(results: dict[str, list[Result]]) -> Figures:
    """Table by module, and the figure of all."""
    rows, survivors = [], []
    total = killed = equivalent = invalid = 0
    for module, entries in results.items():
        valid = [entry for entry in entries if entry.outcome != "invalid"]
        dead = sum(entry.outcome == "killed" for entry in valid)
        alive = [entry for entry in valid if entry.outcome == "survived"]
        harmless = [entry for entry in alive if (module, entry.text) in JUDGED]
        rows.append((module, len(valid), dead, len(harmless), len(alive) - len(harmless),
                     "yes" if any(e.name.endswith("by hand") and e.outcome == "killed" for e in entries) else "-"))
        for entry in alive:
            verdict = JUDGED.get((module, entry.text), "not judged yet")
            survivors.append(f"`{entry.name}`: `{entry.text}` - {verdict}")
        total, killed = total + len(valid), killed + dead
        equivalent += len(harmless)
        invalid += len(entries) - len(valid)
    share = 100 * killed / max(1, total)
    everything = {module: len(mutants(module)) for module in modules()}
    summary = (f"{killed} of {total} mutants killed, {share:.1f} %: a sample of {len(results)} of {len(everything)} modules, "
               f"which have {sum(everything.values())} places to change; {equivalent} of the {total - killed} survivors are "
               f"judged below to be harmless, {invalid} more could not be built.")
    return Figures(name="mutants", summary=summary, header=("module", "mutants", "killed", "harmless", "survived", "by hand"),
                   rows=rows, notes=survivors, details={"killed": killed, "mutants": total})


def main() -> int:
    """Command line; the exit status is 1 below 90 % killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--module", nargs="+", default=modules(), choices=modules())
    parser.add_argument("--count", type=int, default=5, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e6, help="start no more mutants after this time")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="where results are kept")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/verification.md")
    options = parser.parse_args()
    for name in _PRELOADED:
        importlib.import_module(name)
    options.folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * options.minutes
    results = {module: _results(module, options.count, options.seed, until, options.folder) for module in options.module}
    result = figures({module: entries for module, entries in results.items() if entries})
    publish(result, json_path=options.json, page=PAGE if options.record else None)
    return int(result.details["killed"] < 0.9 * result.details["mutants"])


if __name__ == "__main__":
    sys.exit(main())
