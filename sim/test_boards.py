"""Boards: their pins, clocks and shells, and one of them from RTL to the bitstream."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from systolith_boards.advice import advice
from systolith_boards.board_build import TOP, board_design
from systolith_boards.boards import BOARDS
from systolith_boards.shell.pll import PLLS
from systolith_boards.toolchains import TOOLCHAINS
from systolith_boards.tools import SynthesisError
from systolith_cli.main import app
from systolith_spec.presets import PRESETS, preset

# A pin of each board that must be in its constraints: what its documentation says of oscillator, UART (rx, tx) and a light.
PINS = {
    "ulx3s-85f": ("G2", "M1", "L4", "B2"),
    "orangecrab-25f": ("A9", "N17", "M18", "K4"),
    "icebreaker": ("35", "6", "9", "11"),
    "tang-nano-9k": ("52", "18", "17", "10"),
    "tang-primer-20k": ("H11", "T13", "M11", "C13"),
}


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_board_has_a_preset_and_tools():
    assert set(BOARDS) == set(PINS)
    for board in BOARDS.values():
        assert board.preset in PRESETS and board.family in TOOLCHAINS
        assert set(board.capacity) == {"lut", "ff", "dsp", "bram"}
        assert len(board.name) <= 16


@pytest.mark.parametrize("name", BOARDS)
def test_design(name):
    """Oscillator, UART and lights are at their pins, and nothing else is."""
    board = BOARDS[name]
    config = replace(preset("tiny-4x4"), multiplier_style=board.family)
    design = board_design(config, board, accelerator=False)
    assert set(PINS[name]) <= set(re.findall(r"[A-Z]*\d+", design.constraints))
    ports = {match.split("__")[0] for match in re.findall(r"\w+__io", design.constraints)}
    lights = {"_".join(map(str, light[:2])) for light in board.lights.values()}
    assert ports == {f"{board.make_platform().default_clk}_0", "uart_0", *lights}
    assert f"module {TOP}(" in design.verilog
    assert 0.95 * board.target_mhz <= design.clock_mhz <= board.target_mhz
    assert design == board_design(config, board, accelerator=False)


@pytest.mark.parametrize("family", PLLS)
@pytest.mark.parametrize("wanted", [20, 30, 33.3, 50, 66, 75, 100, 120])
def test_clocks(family, wanted):
    """The PLL's dividers give the clock, and keep its oscillator and phase detector in their ranges."""
    pll = PLLS[family]
    source = {"ecp5": 25.0, "ice40": 12.0, "gowin": 27.0}[family]
    clock, (reference, feedback, last) = pll.find(source, wanted)
    detector = source / reference
    oscillator = detector * feedback * (1 if family == "ice40" else last)
    assert clock == pytest.approx(oscillator / (1 << last if family == "ice40" else last))
    assert 0.95 * wanted <= clock <= wanted + 1e-6
    assert pll._OSCILLATOR_MHZ[0] <= oscillator <= pll._OSCILLATOR_MHZ[1]
    assert pll._PHASE_DETECTOR_MHZ[0] <= detector <= pll._PHASE_DETECTOR_MHZ[1]


def test_impossible_clock():
    with pytest.raises(SynthesisError, match=r"^Clock must be one that the PLL can make of 12.0 MHz, not 5000 MHz$"):
        board_design(preset("tiny-4x4"), BOARDS["icebreaker"], clock_mhz=5000, accelerator=False)


@pytest.mark.parametrize("name", ["orangecrab-25f", "icebreaker", pytest.param("tang-nano-9k", marks=pytest.mark.slow)])
def test_from_rtl_to_bitstream(name, tmp_path):
    """The shell of a board of each family, with two seeds."""
    result = invoke("synth", "--board", name, "--no-accelerator", "--out", tmp_path / "out", "--json", tmp_path / "r.json",
                    "--seeds", 2)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    suffix = TOOLCHAINS[BOARDS[name].family].bitstream_suffix
    assert report["bitstream"] == str(tmp_path / "out" / f"fpga{suffix}")
    assert (tmp_path / "out" / f"fpga{suffix}").stat().st_size > 50_000
    assert report["fmax_mhz"] > report["target_mhz"] == pytest.approx(BOARDS[name].target_mhz, rel=0.05)
    assert report["seeds"][str(report["seed"])] == max(report["seeds"].values()) and len(report["seeds"]) == 2
    modules = {row["module"]: row for row in report["hierarchy"]}
    assert modules["top"]["lut"] >= modules["shell"]["lut"] > modules["shell.bridge"]["lut"] > 0
    assert modules["shell.memory"]["bram"] > 0 or BOARDS[name].single_port
    placed_anew = {"annealing"} if BOARDS[name].family == "ecp5" else set()
    assert {"yosys", "nextpnr", "packer"} | placed_anew == set(report["usage"])
    assert report["usage"]["yosys"]["memory_mb"] > 50


def test_options_that_do_not_fit(tmp_path):
    result = invoke("synth", "--config", "tiny-4x4", "--clock", 50, "--out", tmp_path)
    assert result.exit_code == 2 and "are for bitstreams: add --bitstream" in result.stderr


def test_advice():
    def segment(kind, ns, module="a.b", net=None):
        return {"kind": kind, "ns": ns, "module": module, "cell": "cell [LUT4].A", "net": net}

    assert advice([]) == ""
    wires = advice([segment("clk-to-q", 0.5), segment("routing", 4.0, net="wide_enable"), segment("setup", 0.1)])
    assert wires.startswith("Limit: a.b. 87% of the path is wires, the longest 4.0 ns (wide_enable): try --seeds")
    assert "5 levels of logic" in advice([segment("logic", 1.0)] * 5)
    assert "3.9 ns in clk-to-q at cell [LUT4].A" in advice([segment("clk-to-q", 3.9), segment("routing", 1.0)])


@pytest.mark.parametrize("name", ["tang-nano-9k", "tang-primer-20k"])
def test_pins_out_of_context(name):
    """Gowin's tools want pins for the wrapper too: oscillator, receive, transmit."""
    clock, rx, tx, _ = PINS[name]
    assert TOOLCHAINS["gowin"].harness_constraints(BOARDS[name]) == (
        f'IO_LOC "clk" {clock};\nIO_LOC "serial_in" {rx};\nIO_LOC "serial_out" {tx};\n')
