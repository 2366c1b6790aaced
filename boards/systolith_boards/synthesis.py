"""From Verilog to area, clock rate and bitstream with the open tools of PyPI."""

import hashlib
import json
import os
import re
import resource
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from systolith_boards.advice import advice
from systolith_boards.boards import BOARDS, Board
from systolith_boards.harness import HARNESS, out_of_context
from systolith_boards.hierarchy import Netlist, Resources
from systolith_boards.placement.job import PlacementJob
from systolith_boards.progress import NextpnrProgress, Progress, SharedProgress, YosysProgress
from systolith_boards.report import SynthesisReport, hierarchy_rows, render_table
from systolith_boards.toolchains import TOOLCHAINS
from systolith_boards.tools import YOSYS, SynthesisError, Usage, run_tool

__all__ = ["FLOWS", "SynthesisError", "SynthesisReport", "measure_area", "render_table", "synthesise", "cache_folder"]

FLOWS = {"ecp5": 15, "gowin": 7, "ice40": 11}
"""State of the flow of each family: raised with every change of this package that changes its results."""
_DESIGN, _WRAPPER, _NETLIST = "design.v", "wrapper.v", "netlist.json"
_YOSYS_LOG, _NEXTPNR_LOG, _PACKER_LOG = "yosys.log", "nextpnr.log", "packer.log"
_RESULT, _BITSTREAM = "report.json", "fpga"
# Somewhat more than designs reach: placement and routing work on the slowest paths to the end.
_DEFAULT_FREQUENCY_MHZ = 120.0
_SLOW_INPUTS = 10


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
    seeds: int = 1,
    cached_only: bool = False,
    quick: bool = False,
) -> SynthesisReport:
    """Synthesise, place and route a design.

    Without pin constraints the design is built out of context, which needs no pins and gives no bitstream:
    see :func:`systolith_boards.harness.out_of_context`. Same arguments and tools give the same report.

    Parameters
    ----------
    verilog : str
        Text of the design, as Amaranth writes it.
    top : str
        Its top module. Out of context, clock inputs are named ``clk`` or ``..._clk``.
    board : Board
        Board to build for.
    out_dir : Path
        Folder for ``report.json``, ``yosys.log``, ``nextpnr.log`` and, with constraints, the bitstream
        (``fpga.bit``, ``fpga.bin`` or ``fpga.fs``). Nothing is written when synthesis fails.
    seed : int
        Seed of placement and routing.
    frequency_mhz : float
        Target of placement and routing, MHz; 0 for as fast as possible. Missing it is no error.
    progress : callable, optional
        Called with what is being done and the fraction done, from 0 to 1.
    cache : bool
        Whether to return kept results of earlier runs with the same arguments and tools.
    constraints : str, optional
        Pins of the top module's ports, in the format of the board's tools.
    seeds : int
        How many seeds to try, from ``seed`` on, as many at a time as there are processors; the report is of the
        one with the highest clock.
    cached_only : bool
        Run no tool.
    quick : bool
        Leave it at what nextpnr does in one run, where the family has more: less than half the time and a lower clock.

    Returns
    -------
    SynthesisReport

    Raises
    ------
    SynthesisError
        If a tool is missing or the design cannot be built, or no result is kept where only those are wanted; one line that
        names the reason.
    """
    if board.family not in TOOLCHAINS:
        raise SynthesisError(f"Family of the board must be one of {', '.join(TOOLCHAINS)}, not {board.family!r}")
    progress = progress or (lambda message, fraction: None)
    flow = _Flow(verilog, top, board, frequency_mhz or _DEFAULT_FREQUENCY_MHZ, constraints, quick)
    wanted = range(seed, seed + seeds)
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        places = {number: flow.cache_entry(number) if cache else Path(folder) / "seeds" / str(number) for number in wanted}
        missing = [number for number in wanted if not (places[number] / _RESULT).is_file()]
        if missing and cached_only:
            raise SynthesisError(f"No result of an earlier run on {board.name} is kept")
        if missing:
            flow.build(Path(folder), missing, places, progress)
            progress("done", 1.0)
        else:
            progress("result of an earlier run", 1.0)
        return _deliver(places, Path(out_dir))


class _Flow:
    """Synthesis of one design for one board."""

    def __init__(self, verilog, top, board, frequency_mhz, constraints, quick=False):
        self.quick = quick
        self.verilog, self.top, self.board = verilog, top, board
        self.frequency_mhz, self.constraints = frequency_mhz, constraints
        self.toolchain = TOOLCHAINS[board.family]
        self.versions = self.toolchain.versions()

    def cache_entry(self, seed):
        """Folder of the cache for the result with a seed."""
        fpga = [self.board.name, self.board.part, self.board.platform]  # all that tools and report know of a board
        parts = [FLOWS[self.board.family], self.verilog, self.top, fpga, seed, self.frequency_mhz, self.constraints,
                 self.versions, *(["quick"] if self.quick else [])]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return cache_folder() / "synthesis" / key

    def build(self, folder, seeds, places, progress):
        """Fill the places of the seeds with reports, logs and bitstreams.

        One that cannot be routed is left out, unless there is no other.
        """
        netlist, usage = self.synthesise(folder, progress)
        self._check_capacity(netlist)
        (folder / "seeds").mkdir()
        shared = SharedProgress(progress, len(seeds))
        errors = []

        def one(index):
            try:
                result = self._place(folder, seeds[index], netlist, usage, shared.part(index))
                _keep(result, places[seeds[index]])
            except SynthesisError as error:
                errors.append(error)

        with ThreadPoolExecutor(min(len(seeds), os.cpu_count() or 1)) as pool:
            list(pool.map(one, range(len(seeds))))
        if not any((place / _RESULT).is_file() for place in places.values()):
            raise errors[0]

    def synthesise(self, folder, progress):
        """Write the netlist; return it with the modules of its cells, and what yosys took."""
        (folder / _DESIGN).write_text(self.verilog)
        files, netlist_top = [_DESIGN], self.top
        if self.constraints is None:
            (folder / _WRAPPER).write_text(out_of_context(self.verilog, self.top))
            files, netlist_top = [_DESIGN, _WRAPPER], HARNESS
        script = f"read_verilog -sv {' '.join(files)}; {self.toolchain.synthesis(netlist_top, _NETLIST)}"
        follower = YosysProgress(progress)
        usage = run_tool(YOSYS, ["-p", script], folder=folder, log=_YOSYS_LOG, follow=follower.line, notice=follower.notice)
        design = json.loads((folder / _NETLIST).read_text())
        netlist = Netlist(design, top=netlist_top, verilog=self.verilog, source=_DESIGN, cells=self.toolchain.cells)
        return netlist, usage

    def _check_capacity(self, netlist):
        """Raise if the cells of the netlist are more than the FPGA has: placement takes long to find out."""
        demand = self.toolchain.demand(netlist, self.board.capacity)
        over = {name: (needed, available) for name, (needed, available) in demand.items() if needed > available}
        if over:
            raise self._misfit(over)

    def _misfit(self, over):
        """Return the error for resources that do not suffice: name to (needed, available)."""
        texts = [f"{needed} {self.toolchain.names.get(name, name)}, the FPGA has {available}"
                 for name, (needed, available) in over.items()]
        return SynthesisError(f"Design does not fit {self.board.part} ({self.board.name}): it needs {'; '.join(texts)}")

    def _place(self, folder, seed, netlist, yosys_usage, progress):
        """Place, route and pack with one seed; return the folder with the results."""
        results = folder / "seeds" / str(seed)
        results.mkdir()
        # Tools see no folder but the one they run in, so all files of all seeds are in one.
        log, report, routed, packed = (f"{name}_{seed}" for name in ("nextpnr.log", "timing.json", "routed", "bitstream"))
        usage = {"yosys": yosys_usage, **self._place_and_route(folder, seed, log, report, routed, netlist, progress)}
        if self.constraints is not None:
            progress("packing the bitstream", 0.97)
            usage["packer"] = run_tool(
                self.toolchain.packer, self.toolchain.packing(self.board, routed=routed, bitstream=packed), folder=folder,
                log=f"{_PACKER_LOG}_{seed}")
            (folder / packed).rename(results / (_BITSTREAM + self.toolchain.bitstream_suffix))
        timing = self.toolchain.timing(folder / report, folder / log)
        shutil.copyfile(folder / _YOSYS_LOG, results / _YOSYS_LOG)
        (folder / log).rename(results / _NEXTPNR_LOG)
        values = self._report(netlist, seed, timing, usage)
        (results / _RESULT).write_text(json.dumps(values.to_json(), indent=2) + "\n")
        return results

    def _place_and_route(self, folder, seed, log, report, routed, netlist, progress):
        """Place and route; return the usage of all runs of nextpnr together, and of what is done between them."""
        pins = self.constraints
        if pins is None:
            pins = self.toolchain.harness_constraints(self.board)
        pins_file = f"pins_{seed}{self.toolchain.constraints_suffix}"
        if pins is not None:
            (folder / pins_file).write_text(pins)
        usages = []
        begin, begin_cpu = time.monotonic(), time.thread_time()

        def run(arguments, progress):
            usages.append(self._run_nextpnr(folder, [*arguments, "--seed", str(seed)], log, progress))

        self.toolchain.place_and_route(PlacementJob(
            board=self.board, folder=folder, netlist=_NETLIST, routed=routed, report=report, frequency_mhz=self.frequency_mhz,
            constraints=None if pins is None else pins_file, cells=netlist.types,
            single_run=self.quick or netlist.has_places, seed=seed, run=run, progress=progress))
        runs = Usage(seconds=round(sum(usage.seconds for usage in usages), 1),
                     cpu_seconds=round(sum(usage.cpu_seconds for usage in usages), 1),
                     memory_mb=max(usage.memory_mb for usage in usages))
        if len(usages) == 1:
            return {"nextpnr": runs}
        between = Usage(seconds=round(time.monotonic() - begin - runs.seconds, 1),
                        cpu_seconds=round(time.thread_time() - begin_cpu, 1),
                        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return {"nextpnr": runs, "annealing": between}

    def _run_nextpnr(self, folder, arguments, log, progress):
        """Run nextpnr once; its log is appended to that of the runs before."""
        follower = NextpnrProgress(progress)
        part = f"{log}_part"
        try:
            return run_tool(self.toolchain.nextpnr, arguments, folder=folder, log=part,
                            follow=follower.line, notice=follower.notice)
        except SynthesisError as error:
            over = {cell: used for cell, used in follower.used.items() if used[0] > used[1]}
            if over:
                raise self._misfit(over) from error
            raise
        finally:
            with open(folder / log, "a") as whole, open(folder / part) as lines:
                shutil.copyfileobj(lines, whole)

    def _report(self, netlist, seed, timing, usage: dict[str, Usage]):
        fmax_mhz, steps, arrivals = timing
        mode = "out-of-context" if self.constraints is None else "board"
        resources = self.resources(netlist)
        critical_path = [self._segment(netlist, step) for step in steps]
        return SynthesisReport(
            device=self.board.part,
            **asdict(sum(resources.values(), Resources())),
            fmax_mhz=round(fmax_mhz, 2),
            target_mhz=self.frequency_mhz,
            critical_path=critical_path,
            slow_inputs=_slowest(netlist, arrivals),
            advice=advice(critical_path),
            hierarchy=hierarchy_rows(resources, self.top),
            bitstream=None if self.constraints is None else _BITSTREAM + self.toolchain.bitstream_suffix,
            mode=mode,
            board=self.board.name,
            seed=seed,
            tools=self.versions,
            usage={tool: asdict(used) for tool, used in usage.items()},
        )

    def resources(self, netlist):
        """Return the :class:`Resources` of each instance path of the design by itself, without the wrapper."""
        return {_strip(path): own for path, own in netlist.resources().items() if self._is_design(path)}

    def _is_design(self, path):
        """Tell whether an instance path of the netlist is part of the design, not of the wrapper."""
        return self.constraints is not None or path == "dut" or path.startswith("dut.")

    def _segment(self, netlist, step):
        """Return a step of nextpnr's path in the names of the design."""
        cell = step["to"]["cell"]
        net = netlist.net_label(step["net"]) or step["net"] if "net" in step else None
        return {
            "kind": step["type"],
            "ns": round(step["delay"], 3),
            "module": _strip(netlist.instance(cell)),
            "cell": f"{_strip(netlist.cell_label(cell))}.{step['to']['port']}",
            "net": None if net is None else _strip(net),
        }


def measure_area(verilog: str, top: str, folder: Path, board: Board = BOARDS["ulx3s-85f"]) -> dict[str, Resources]:
    """Synthesise a design out of context, without placement.

    Parameters
    ----------
    verilog, top : str
    folder : Path
        Takes the files of the tool.
    board : Board
        Selects the tools.

    Returns
    -------
    dict
        :class:`Resources` of each instance path by itself.
    """
    flow = _Flow(verilog, top, board, _DEFAULT_FREQUENCY_MHZ, None)
    netlist, _ = flow.synthesise(folder, lambda message, fraction: None)
    return flow.resources(netlist)


def _slowest(netlist, arrivals):
    """Return the slowest inputs of registers; those that differ by numbers only are one."""
    slowest = {}
    for cell, pin, arrival in arrivals:
        label = re.sub(r"\d+", "*", _strip(netlist.cell_label(cell)))
        entry = slowest.setdefault(label, {"ns": 0.0, "module": _strip(netlist.instance(cell)), "cell": "", "count": 0})
        entry["count"] += 1
        if arrival > entry["ns"]:
            entry |= {"ns": round(arrival, 3), "module": _strip(netlist.instance(cell)),
                      "cell": f"{_strip(netlist.cell_label(cell))}.{pin}"}
    return sorted(slowest.values(), key=lambda entry: (-entry["ns"], entry["cell"]))[:_SLOW_INPUTS]


def _keep(results, place):
    """Move a folder of results to its place."""
    if place.parent == results.parent:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=place.parent, prefix=".new_"))
    shutil.copytree(results, staging, dirs_exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    try:
        staging.rename(place)  # complete or absent, also when two runs finish at once
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)


def _deliver(places, out_dir):
    """Copy the best of the results to ``out_dir``; return its report with the bitstream's path there."""
    reports = {seed: json.loads((place / _RESULT).read_text()) for seed, place in places.items()
               if (place / _RESULT).is_file()}
    best = max(reports, key=lambda seed: (reports[seed]["fmax_mhz"], -seed))
    values = {**reports[best], "seeds": {str(seed): report["fmax_mhz"] for seed, report in reports.items()}}
    out_dir.mkdir(parents=True, exist_ok=True)
    for name in (_YOSYS_LOG, _NEXTPNR_LOG, values["bitstream"]):
        if name is not None:
            shutil.copyfile(places[best] / name, out_dir / name)
    if values["bitstream"] is not None:
        values["bitstream"] = str(out_dir / values["bitstream"])
    (out_dir / _RESULT).write_text(json.dumps(values, indent=2) + "\n")
    return SynthesisReport(**values)


def _strip(path):
    """Return an instance path or a label without the wrapper's instance."""
    return re.sub(r"(^|(?<= ))dut(\.|(?=\]|$))", "", path)
