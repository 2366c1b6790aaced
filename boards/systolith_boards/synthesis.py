"""From Verilog to area, clock rate and bitstream with the open tools of PyPI."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from systolith_boards.boards import Board
from systolith_boards.harness import HARNESS, out_of_context
from systolith_boards.hierarchy import Netlist, Resources
from systolith_boards.progress import NextpnrProgress, Progress, YosysProgress
from systolith_boards.report import SynthesisReport, hierarchy_rows, render_table
from systolith_boards.tools import ECPPACK, NEXTPNR_ECP5, YOSYS, SynthesisError, run_tool

__all__ = ["SynthesisError", "SynthesisReport", "measure_area", "render_table", "synthesise", "cache_folder"]

_FLOW = 5  # to be raised with every change of this package that changes results; part of the cache's key
_DESIGN, _WRAPPER, _NETLIST, _REPORT, _CONFIG = (
    "design.v", "wrapper.v", "netlist.json", "timing.json", "fpga.config",
)  # fmt: skip
_YOSYS_LOG, _NEXTPNR_LOG, _ECPPACK_LOG = "yosys.log", "nextpnr.log", "ecppack.log"
_RESULT, _BITSTREAM = "report.json", "fpga.bit"
# Somewhat more than designs reach: placement and routing work on the slowest paths to the end.
_DEFAULT_FREQUENCY_MHZ = 120.0
_NEXTPNR_DEVICE = {"LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k"}
_RESOURCE_NAMES = {
    "lut": "LUTs",
    "ff": "flip-flops",
    "dsp": "DSP multipliers (MULT18X18D)",
    "bram": "block RAMs (DP16KD)",
    "TRELLIS_COMB": "LUTs",
    "TRELLIS_FF": "flip-flops",
    "TRELLIS_IO": "pins",
    "TRELLIS_RAMW": "write ports of distributed RAM",
}


def cache_folder() -> Path:
    """Return the folder of results: ``$SYSTOLITH_CACHE``, else ``~/.cache/systolith``."""
    chosen = os.environ.get("SYSTOLITH_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "systolith"


def synthesise(
    verilog: str,
    top: str,
    board: Board,
    out_dir: Path,
    seed: int = 1,
    frequency_mhz: float = 0,
    progress: Progress | None = None,
    cache: bool = True,
    constraints: str | None = None,
) -> SynthesisReport:
    """Synthesise, place and route a design.

    Without pin constraints the design is built out of context, which needs no pins and gives no bitstream:
    see :func:`systolith_boards.harness.out_of_context`. Same arguments and tools give the same report.

    Parameters
    ----------
    verilog : str
        Text of the design, as Amaranth writes it.
    top : str
        Its top module. Clock inputs are named ``clk`` or ``..._clk``.
    board : Board
        Board to build for.
    out_dir : Path
        Folder for ``report.json``, ``yosys.log``, ``nextpnr.log`` and, with constraints, ``fpga.bit``.
        Nothing is written when synthesis fails.
    seed : int
        Seed of placement and routing.
    frequency_mhz : float
        Target of placement and routing, MHz; 0 for as fast as possible. Missing it is no error.
    progress : callable, optional
        Called with what is being done and the fraction done, from 0 to 1.
    cache : bool
        Whether to return the kept result of an earlier run with the same arguments and tools.
    constraints : str, optional
        Pins of the top module's ports in Lattice's LPF format.

    Returns
    -------
    SynthesisReport

    Raises
    ------
    SynthesisError
        If a tool is missing or the design cannot be built; one line that names the reason.
    """
    if board.family != "ecp5" or board.device not in _NEXTPNR_DEVICE:
        raise SynthesisError(f"Board must have an ECP5 {', '.join(_NEXTPNR_DEVICE)}, not {board.device!r}")
    progress = progress or (lambda message, fraction: None)
    tools = {tool.package: tool.version for tool in (YOSYS, NEXTPNR_ECP5)}
    frequency_mhz = frequency_mhz or _DEFAULT_FREQUENCY_MHZ
    parts = [_FLOW, verilog, top, asdict(board), seed, frequency_mhz, constraints, tools]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    entry = cache_folder() / "synthesis" / key
    out_dir = Path(out_dir)
    if cache and (entry / _RESULT).is_file():
        progress("result of an earlier run", 1.0)
        return _deliver(entry, out_dir)
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        folder = Path(folder)
        netlist = _run_yosys(folder, verilog, top, constraints, progress)
        _check_capacity(netlist, board)
        _run_nextpnr(folder, board, seed, frequency_mhz, constraints, progress)
        if constraints is not None:
            progress("packing the bitstream", 0.97)
            run_tool(ECPPACK, [_CONFIG, _BITSTREAM], folder=folder, log=_ECPPACK_LOG)
        fmax_mhz, critical_path = _read_timing(folder, netlist)
        resources = {
            _strip(path): own for path, own in netlist.resources().items() if _is_design(path, constraints)
        }
        report = SynthesisReport(
            device=board.part,
            **asdict(sum(resources.values(), Resources())),
            fmax_mhz=fmax_mhz,
            critical_path=critical_path,
            hierarchy=hierarchy_rows(resources, top),
            bitstream=None if constraints is None else _BITSTREAM,
            mode="out-of-context" if constraints is None else "board",
            board=board.name,
            seed=seed,
            tools=tools,
        )
        (folder / _RESULT).write_text(json.dumps(report.to_json(), indent=2) + "\n")
        for name in (_DESIGN, _WRAPPER, _NETLIST, _REPORT, _CONFIG):
            (folder / name).unlink(missing_ok=True)
        progress("done", 1.0)
        if not cache:
            return _deliver(folder, out_dir)
        return _deliver(_keep(folder, entry), out_dir)


def measure_area(verilog: str, top: str, folder: Path) -> dict[str, Resources]:
    """Synthesise a design out of context, without placement.

    Parameters
    ----------
    verilog, top : str
    folder : Path
        Takes the files of the tool.

    Returns
    -------
    dict
        :class:`Resources` of each instance path by itself, as ECP5 cells.
    """
    resources = _run_yosys(folder, verilog, top, None, lambda message, fraction: None).resources()
    return {_strip(path): own for path, own in resources.items() if _is_design(path, None)}


def _keep(folder, entry):
    """Move the results in ``folder`` into the cache; return where they are."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=entry.parent, prefix=".new_"))
    shutil.copytree(folder, staging, dirs_exist_ok=True)
    shutil.rmtree(entry, ignore_errors=True)
    try:
        staging.rename(entry)  # complete or absent, also when two runs finish at once
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
    return entry


def _deliver(entry, out_dir):
    """Copy the results in ``entry`` to ``out_dir``; return the report with the bitstream's path there."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for name in (_YOSYS_LOG, _NEXTPNR_LOG, _BITSTREAM):
        if (entry / name).is_file():
            shutil.copyfile(entry / name, out_dir / name)
    values = json.loads((entry / _RESULT).read_text())
    if values["bitstream"] is not None:
        values["bitstream"] = str(out_dir / values["bitstream"])
    (out_dir / _RESULT).write_text(json.dumps(values, indent=2) + "\n")
    return SynthesisReport(**values)


def _is_design(path, constraints):
    """Tell whether an instance path of the netlist is part of the design, not of the wrapper."""
    return constraints is not None or path == "dut" or path.startswith("dut.")


def _strip(path):
    """Return an instance path or a label without the wrapper's instance."""
    return re.sub(r"(^|(?<= ))dut(\.|(?=\]|$))", "", path)


def _run_yosys(folder, verilog, top, constraints, progress):
    """Synthesise into ``netlist.json``; return the attributed :class:`Netlist`."""
    (folder / _DESIGN).write_text(verilog)
    files = [_DESIGN]
    if constraints is None:
        (folder / _WRAPPER).write_text(out_of_context(verilog, top))
        files.append(_WRAPPER)
    netlist_top = top if constraints is not None else HARNESS
    script = f"read_verilog -sv {' '.join(files)}; synth_ecp5 -top {netlist_top} -json {_NETLIST}"
    follower = YosysProgress(progress)
    run_tool(
        YOSYS,
        ["-p", script],
        folder=folder,
        log=_YOSYS_LOG,
        follow=follower.line,
        notice=follower.notice,
    )
    design = json.loads((folder / _NETLIST).read_text())
    return Netlist(design, top=netlist_top, verilog=verilog, source=_DESIGN)


def _run_nextpnr(folder, board, seed, frequency_mhz, constraints, progress):
    """Place and route ``netlist.json``; writes the timing report and the configuration."""
    arguments = [
        _NEXTPNR_DEVICE[board.device], "--package", board.package, "--speed", board.speed,
        "--json", _NETLIST, "--report", _REPORT, "--textcfg", _CONFIG,
        "--freq", str(frequency_mhz), "--seed", str(seed), "--timing-allow-fail",
        # The other placer spends most of its time in refinement (ten minutes for 25,000 LUTs, static: two);
        # router2 takes three times as long here and ends at half the clock rate.
        "--placer", "static", "--router", "router1",
    ]  # fmt: skip
    if constraints is None:
        arguments.append("--lpf-allow-unconstrained")
    else:
        (folder / "pins.lpf").write_text(constraints)
        arguments += ["--lpf", "pins.lpf"]
    follower = NextpnrProgress(progress)
    try:
        run_tool(
            NEXTPNR_ECP5,
            arguments,
            folder=folder,
            log=_NEXTPNR_LOG,
            follow=follower.line,
            notice=follower.notice,
        )
    except SynthesisError as error:
        for cell, (count, available) in follower.used.items():
            if count > available:
                raise _misfit(board, cell, count, available) from error
        raise


def _misfit(board, resource, count, available):
    """Return the error for a resource that does not suffice."""
    name = _RESOURCE_NAMES.get(resource, resource)
    return SynthesisError(
        f"Design does not fit {board.part} ({board.name}): it needs {count} {name}, the FPGA has {available}"
    )


def _check_capacity(netlist, board):
    """Raise if the cells of the netlist are more than the FPGA has: placement takes long to find out."""
    needed = asdict(sum(netlist.resources().values(), Resources()))
    for resource, available in board.capacity.items():
        if needed[resource] > available:
            raise _misfit(board, resource, needed[resource], available)


def _read_timing(folder, netlist):
    """Return clock rate and critical path from the report of nextpnr."""
    report = json.loads((folder / _REPORT).read_text())
    if not report["fmax"]:
        raise SynthesisError("Design must have a path between two registers of one clock")
    clock, fmax = min(report["fmax"].items(), key=lambda item: item[1]["achieved"])
    path = next(
        (
            entry["path"]
            for entry in report["critical_paths"]
            if entry["from"].split()[-1] == clock and entry["to"].split()[-1] == clock
        ),
        [],
    )
    segments = []
    for step in path:
        cell = step["to"]["cell"]
        net = netlist.net_label(step["net"]) or step["net"] if "net" in step else None
        segments.append({
            "kind": step["type"],
            "ns": round(step["delay"], 3),
            "module": _strip(netlist.instance(cell)),
            "cell": f"{_strip(netlist.cell_label(cell))}.{step['to']['port']}",
            "net": None if net is None else _strip(net),
        })  # fmt: skip
    return round(fmax["achieved"], 2), segments
