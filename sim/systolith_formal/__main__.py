"""Run the proofs and their mutants; a table, optionally JSON; the exit status tells whether all is as it should be."""

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .proof import run_proof
from .proofs import PROOFS

_ANSWERS = {True: "holds", False: "refuted", None: "undecided"}


def _entry(result):
    proof = result.proof
    return {
        "name": proof.name, "module": proof.module, "claim": proof.claim, "method": proof.method,
        "result": _ANSWERS[result.outcome.holds], "mutant": _ANSWERS[result.mutant.holds], "passed": result.passed,
        "seconds": round(result.outcome.seconds + result.mutant.seconds, 1),
    }


def _table(entries):
    table = Table("proof", "module", "method", "result", "mutant", "s", box=None, pad_edge=False)
    for entry in entries:
        result = entry["result"] if entry["result"] == "holds" else f"[red]{entry['result']}[/]"
        mutant = entry["mutant"] if entry["mutant"] == "refuted" else f"[red]{entry['mutant']}[/]"
        table.add_row(entry["name"], entry["module"], entry["method"], result, mutant, f"{entry['seconds']:.1f}")
    return table


def main(arguments=None):
    """Command line of ``python -m systolith_formal``."""
    parser = argparse.ArgumentParser(prog="python -m systolith_formal", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of proofs; none: all")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {proof.name for proof in PROOFS}
    if unknown:
        parser.error(f"Name must be that of a proof, not {', '.join(sorted(unknown))}")
    console = Console(highlight=False)
    begin = time.perf_counter()
    entries = []
    for proof in PROOFS:
        if not options.names or proof.name in options.names:
            with console.status(proof.name):
                entries.append(_entry(run_proof(proof)))
    seconds = time.perf_counter() - begin
    console.print(_table(entries))
    passed = sum(entry["passed"] for entry in entries)
    console.print(f"\n{passed} of {len(entries)} proofs hold and refute their mutants ({seconds:.0f} s)")
    if options.json:
        options.json.write_text(json.dumps({"proofs": entries, "seconds": round(seconds, 1)}, indent=2) + "\n")
    return passed != len(entries)


if __name__ == "__main__":
    sys.exit(main())
