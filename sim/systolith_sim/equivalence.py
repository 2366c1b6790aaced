"""Formal equivalence of two pipelines, proved by the installed yosys."""

import tempfile
from pathlib import Path

from systolith.verilog import to_verilog
from systolith_boards.tools import YOSYS, SynthesisError, run_tool

__all__ = ["EquivalenceError", "prove_equivalent"]


class EquivalenceError(AssertionError):
    """The pipelines differ; the message has the end of the prover's output."""


def prove_equivalent(gold, gate, *, depth, cells=""):
    """Prove that two components with the same ports behave alike from cycle ``depth`` on, for all inputs.

    Both must be pipelines without feedback of at most ``depth`` registers: then their outputs depend on the last
    ``depth`` inputs only, and a bounded proof from any state is complete.

    Parameters
    ----------
    gold, gate : wiring.Component
    depth : int
        Registers between inputs and outputs.
    cells : str
        Verilog of the cells that the components instantiate.

    Raises
    ------
    EquivalenceError
        They differ.
    """
    script = (
        "read_verilog -sv gold.v gate.v cells.v; hierarchy -check; proc; flatten; async2sync; opt -full; "
        "miter -equiv -flatten gold gate miter; hierarchy -top miter; opt -full; setattr -unset init w:*; "
        # Registers are free in the first cycle; from the (depth + 1)th on the outputs must agree.
        f"sat -verify -seq {depth + 1} -prove-skip {depth} -prove trigger 0 miter")
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        folder = Path(folder)
        (folder / "gold.v").write_text(to_verilog(gold, "gold"))
        (folder / "gate.v").write_text(to_verilog(gate, "gate"))
        (folder / "cells.v").write_text(cells)
        try:
            run_tool(YOSYS, ["-q", "-p", script], folder=folder, log="yosys.log")
        except SynthesisError as error:
            raise EquivalenceError(f"{error}\n{(folder / 'yosys.log').read_text()[-3000:]}") from None
