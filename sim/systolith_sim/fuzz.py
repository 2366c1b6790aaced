"""`make fuzz`: random and coverage-guided inputs for the readers of `.tflite` and image files.

Every input must end in a clear error or in the correct result, within a time and an amount of memory.
"""

import argparse
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from systolith_sim.figures import PAGE, Figures, publish
from systolith_sim.fuzzing import TARGETS, mutation

__all__ = ["Outcome", "figures", "fuzz_guided", "fuzz_random", "retry"]

_FOLDER = Path(__file__).resolve().parents[2] / "build" / "fuzz"
_SECONDS = 60     # for one input
_GIBIBYTES = 4    # address space beyond what the process already uses
_PARTS = tuple(f"{name}-{way}" for way in ("random", "guided") for name in TARGETS)
_HEADER = ("input", "mutations", "inputs", "refused", "accepted", "run, correct", "failures", "slowest", "memory")


@dataclass
class Outcome:
    """What became of the inputs of one run.

    Attributes
    ----------
    target, way : str
    outcomes : dict of str to int
        "refused", "accepted" and "correct".
    failures : list of str
    slowest : float
        Seconds of the slowest input.
    memory : int
        MiB at the peak.
    """

    target: str
    way: str
    outcomes: dict[str, int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0

    @property
    def inputs(self) -> int:
        """Inputs handled."""
        return sum(self.outcomes.values()) + len(self.failures)

    def row(self) -> tuple:
        """Row of the table."""
        counts = (self.outcomes.get(key, 0) for key in ("refused", "accepted", "correct"))
        return (self.target, self.way, self.inputs, *counts, len(self.failures), f"{self.slowest:.1f} s", f"{self.memory} MiB")


class _TooSlowError(BaseException):
    """An input took too long; no handler of errors may swallow it."""


def _expired(*_) -> None:
    raise _TooSlowError(f"longer than {_SECONDS} s")


def fuzz_random(name: str, count: int, *, first: int = 0, share: int = 1, most_failures: int = 20) -> Outcome:
    """Handle seeded mutations; `mutation(target, corpus, seed)` makes a failing input again."""
    target = TARGETS[name](share)
    corpus = target.corpus()
    outcome = Outcome(name, "random")
    before = signal.signal(signal.SIGALRM, _expired)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(first, first + count):
            data = mutation(target, corpus, seed)
            start = time.perf_counter()
            signal.alarm(_SECONDS)
            try:
                outcome.outcomes[target(data)] += 1
            except (Exception, _TooSlowError) as error:
                outcome.failures.append(f"{name}, seed {seed}: {type(error).__name__}: {str(error)[:200]}")
            signal.alarm(0)
            outcome.slowest = max(outcome.slowest, time.perf_counter() - start)
            if len(outcome.failures) >= most_failures:
                break
    signal.signal(signal.SIGALRM, before)
    outcome.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return outcome


def fuzz_guided(name: str, count: int, *, seed: int = 1, share: int = 1, folder: Path = _FOLDER) -> Outcome:
    """Let libFuzzer search for inputs that reach new code."""
    folder = folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "systolith_sim.fuzz_coverage", name, str(count), str(seed), str(share), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    outcome = Outcome(name, "coverage-guided")
    if (folder / "result.json").exists():
        result = json.loads((folder / "result.json").read_text())
        outcome.outcomes, outcome.slowest, outcome.memory = Counter(result["outcomes"]), result["slowest"], result["memory"]
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line or "SUMMARY" in line]
        outcome.failures.append(f"{name}, see {folder}: {' | '.join(lines)[:300] or done.returncode}")
    return outcome


def figures(outcomes: list[Outcome]) -> Figures:
    """Table and figure of some runs."""
    total, failures = sum(o.inputs for o in outcomes), [text for o in outcomes for text in o.failures]
    summary = (f"{total} inputs: {len(failures)} failures (exceptions without a clear message, wrong results, more than "
               f"{_SECONDS} s or {_GIBIBYTES} GiB).")
    return Figures(name="fuzz", summary=summary, header=_HEADER, rows=[o.row() for o in outcomes], notes=failures)


def retry(outcome: Outcome, *, share: int = 1) -> Outcome:
    """The outcome with the random inputs that failed tried again, after a repair."""
    kept = Outcome(outcome.target, outcome.way, Counter(outcome.outcomes), [], outcome.slowest, outcome.memory)
    for failure in outcome.failures:
        seed = re.match(r"\w+, seed (\d+):", failure)
        if seed is None:
            kept.failures.append(failure)
            continue
        again = fuzz_random(outcome.target, 1, first=int(seed[1]), share=share)
        kept.outcomes.update(again.outcomes)
        kept.failures += again.failures
    return kept


def _limited_random(name: str, count: int, first: int, share: int) -> Outcome:
    """`fuzz_random` in a limited address space."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_GIBIBYTES << 30, limits[1]))
    try:
        return fuzz_random(name, count, first=first, share=share)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def main() -> int:
    """Command line; the exit status is 1 when an input failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=104_000, help="of all runs together")
    parser.add_argument("--share", type=int, default=40, help="one of this many accepted models is compiled and run")
    parser.add_argument("--first", type=int, default=0, help="first seed of the random inputs")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/verification.md")
    parser.add_argument("--parts", nargs="*", default=list(_PARTS), choices=_PARTS,
                        help="run these only; results of the others are those of earlier runs, if there are any")
    parser.add_argument("--retry", action="store_true", help="only try again the random inputs that failed before")
    options = parser.parse_args()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    quarter = -(-options.inputs // len(_PARTS))
    for part in options.parts:
        name, way = part.split("-")
        share = options.share if name == "tflite" else 1
        if options.retry:
            if (_FOLDER / f"{part}.json").exists():
                again = retry(Outcome(**json.loads((_FOLDER / f"{part}.json").read_text())), share=share)
                (_FOLDER / f"{part}.json").write_text(json.dumps(vars(again)))
            continue
        outcome = (_limited_random(name, quarter, options.first, share) if way == "random"
                   else fuzz_guided(name, quarter, share=max(share, 4)))
        (_FOLDER / f"{part}.json").write_text(json.dumps(vars(outcome)))
    files = [_FOLDER / f"{part}.json" for part in _PARTS]
    outcomes = [Outcome(**json.loads(file.read_text())) for file in files if file.exists()]
    result = figures(outcomes)
    publish(result, json_path=options.json, page=PAGE if options.record else None)
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
