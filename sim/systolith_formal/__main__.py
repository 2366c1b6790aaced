"""Run the proofs and their mutants; a table, optionally JSON; the exit status tells whether all is as it should be."""

import argparse
import sys
import time
from pathlib import Path

from systolith_sim.figures import PAGE, Figures, publish

from .proof import run_proof
from .proofs import PROOFS

__all__ = ["figures", "main"]

_ANSWERS = {True: "holds", False: "refuted", None: "undecided"}
_HEADER = ("proof", "method", "result", "mutant", "s")


def figures(results):
    """Table and figure of some proofs.

    Parameters
    ----------
    results : list of Result

    Returns
    -------
    Figures
    """
    entries = [{
        "name": result.proof.name, "module": result.proof.module, "claim": result.proof.claim,
        "method": result.proof.method, "result": _ANSWERS[result.outcome.holds],
        "mutant": _ANSWERS[result.mutant.holds], "passed": result.passed,
        "seconds": round(result.outcome.seconds + result.mutant.seconds, 1),
    } for result in results]
    rows = [(f"`{entry['name']}`", entry["method"].split(" (")[0], entry["result"], entry["mutant"], entry["seconds"])
            for entry in entries]
    inductive = sum(entry["method"] == "inductive" and entry["passed"] for entry in entries)
    summary = (f"{sum(result.passed for result in results)} of {len(results)} proofs hold and refute their mutants; "
               f"{inductive} of them for any number of cycles.")
    return Figures(name="formal", summary=summary, header=_HEADER, rows=rows,
                   details={"proofs": entries, "passed": all(result.passed for result in results)})


def main(arguments=None):
    """Command line of ``python -m systolith_formal``."""
    parser = argparse.ArgumentParser(prog="python -m systolith_formal", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of proofs; none: all")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/verification.md")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {proof.name for proof in PROOFS}
    if unknown:
        parser.error(f"Name must be that of a proof, not {', '.join(sorted(unknown))}")
    if options.names and options.record:
        parser.error("Only figures of all proofs can be recorded")
    begin = time.perf_counter()
    results = []
    for proof in PROOFS:
        if not options.names or proof.name in options.names:
            results.append(run_proof(proof))
            print(f"{proof.name}: {_ANSWERS[results[-1].outcome.holds]}, mutant {_ANSWERS[results[-1].mutant.holds]} "
                  f"({time.perf_counter() - begin:.0f} s)", file=sys.stderr, flush=True)
    result = figures(results)
    publish(result, json_path=options.json, page=PAGE if options.record else None)
    return int(not result.details["passed"])


if __name__ == "__main__":
    sys.exit(main())
