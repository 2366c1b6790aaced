"""The whole top level of a board runs networks through its UART pins, bit-exact."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith_boards.board_build import board_design
from systolith_boards.boards import BOARDS
from systolith_boards.host.link import LinkError, open_link
from systolith_cli.main import app
from systolith_sim.models import model_path
from systolith_sim.random_networks import NetworkBuilder
from systolith_sim.simulated_board import simulated_board
from systolith_sim.tflite_writer import write_tflite
from systolith_spec.presets import preset
from systolith_spec.registers import ID_VALUE, register

DIVISOR = 4
MEMORY = 16384
TIMEOUT = 20  # seconds until a request is repeated: simulated bytes are slow


def small_network():
    net = NetworkBuilder(5, (1, 6, 6, 3))
    net.conv(5, kernel=(3, 3))
    net.max_pool()
    net.fully_connected(4)
    return net.graph()


@pytest.fixture(scope="module")
def board():
    """A ULX3S with a tiny accelerator, a small memory and a fast UART."""
    real = BOARDS["ulx3s-85f"]
    fast = replace(real, main_memory=MEMORY, baud=round(real.target_mhz * 1e6 / DIVISOR))
    design = board_design(preset("tiny-4x4"), fast)
    with simulated_board(design.verilog, clock="clk25_0__io", rx="uart_0__rx__io", tx="uart_0__tx__io", divisor=DIVISOR,
                         lights={"busy": "led_1__io", "done": "led_2__io", "error": "led_3__io"}) as running:
        yield running


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_network(board, tmp_path):
    write_tflite(small_network(), tmp_path / "net.tflite")
    samples = np.random.default_rng(1).integers(-128, 128, (2, 6, 6, 3)).astype(np.int8)
    np.save(tmp_path / "x.npy", samples)
    result = invoke("run", tmp_path / "net.tflite", "--target", f"serial:{board.port}", "--timeout", TIMEOUT, "--input",
                    tmp_path / "x.npy", "--json", tmp_path / "r.json", "--output", tmp_path / "y.npz")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"] and report["bit_exact_tflite_micro"]
    assert (report["level"], report["config"], report["samples"]) == ("board", "tiny-4x4", 2)
    assert report["cycles"] == report["counters"]["CYCLES"] > 0
    assert report["board"] == {"name": "ulx3s-85f", "clock_mhz": 105.0,
                               "inferences_per_second": round(105e6 / report["cycles"], 1)}
    assert abs(report["predicted_cycles"] / report["cycles"] - 1) < 0.15
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["output_0"].shape == (2, 4)


@pytest.fixture(scope="module")
def icebreaker():
    """The iCEBreaker as it is, but for a faster UART, with yosys's models of its multipliers and its SPRAM."""
    real = BOARDS["icebreaker"]
    design = board_design(preset("icebreaker"), replace(real, baud=round(real.target_mhz * 1e6 / DIVISOR)))
    with simulated_board(design.verilog, clock="clk12_0__io", rx="uart_0__rx__io", tx="uart_0__tx__io", divisor=DIVISOR,
                         family="ice40", timeout_seconds=3600, lights={"error": "led_r_0__io"}) as running:
        yield running


def run_on_icebreaker(icebreaker, model, folder, *, timeout=TIMEOUT):
    """Report of a run, and its cycles as predicted less those counted, relative."""
    result = invoke("run", model, "--target", f"serial:{icebreaker.port}", "--timeout", timeout, "--json", folder / "r.json")
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "r.json").read_text())
    assert report["bit_exact"] and report["bit_exact_tflite_micro"]
    assert (report["level"], report["config"], report["board"]["name"]) == ("board", "icebreaker", "icebreaker")
    return report["predicted_cycles"] / report["cycles"] - 1


def test_network_in_single_port_ram(icebreaker, tmp_path):
    """Program, weights and tensors in three SPRAMs, activations in the fourth."""
    write_tflite(small_network(), tmp_path / "net.tflite")
    assert abs(run_on_icebreaker(icebreaker, tmp_path / "net.tflite", tmp_path)) < 0.15
    link = open_link(icebreaker.port, baud=1_000_000, timeout=TIMEOUT)
    identity = link.identify()
    assert (identity.board, identity.memory_bytes) == ("icebreaker", 96 << 10)
    data = np.random.default_rng(3).integers(0, 256, 700).astype(np.uint8).tobytes()
    for address in (32768 - 333, 65536 - 333, identity.memory_bytes - len(data)):  # across and at the end of SPRAMs
        link.write_memory(address, data)
        assert link.read_memory(address, len(data)) == data
    with pytest.raises(LinkError, match="answers OUT_OF_RANGE to READ_MEMORY"):
        link.read_memory(identity.memory_bytes - 1, 2)


@pytest.mark.slow
def test_keywords_on_the_icebreaker(icebreaker, tmp_path):
    model = model_path("kws_ref_model")
    if model is None:
        pytest.skip("the folder of networks (SYSTOLITH_MODELS) is absent")
    assert abs(run_on_icebreaker(icebreaker, model, tmp_path)) < 0.01


def test_other_configuration(board, tmp_path):
    write_tflite(small_network(), tmp_path / "net.tflite")
    result = invoke("run", tmp_path / "net.tflite", "--target", f"serial:{board.port}", "--timeout", TIMEOUT, "--config", "4x8")
    assert result.exit_code == 2
    assert "The accelerator on ulx3s-85f is not '4x8': the network is compiled for" in result.stderr
    assert "CONFIG_COLS 8 instead of 4" in result.stderr


def test_link(board):
    link = open_link(board.port, baud=1_000_000, timeout=TIMEOUT)
    identity = link.identify()
    assert (identity.board, identity.memory_bytes, identity.clock_hz) == ("ulx3s-85f", MEMORY, 105_000_000)
    data = np.random.default_rng(2).integers(0, 256, 2500).astype(np.uint8).tobytes()
    link.write_memory(1001, data)
    assert link.read_memory(1001, len(data)) == data
    assert link.read_register(register("ID").offset) == ID_VALUE
    link.write_register(register("WATCHDOG").offset, 0x12345678)
    assert link.read_register(register("WATCHDOG").offset) == 0x12345678
    with pytest.raises(LinkError, match="answers BUS_ERROR to READ_REGISTER at 0xffc"):
        link.read_register(0xFFC)
    with pytest.raises(LinkError, match="answers OUT_OF_RANGE to READ_MEMORY"):
        link.read_memory(MEMORY - 1, 2)
    assert link.repeated == 0
