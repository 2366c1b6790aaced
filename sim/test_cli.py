"""The command line: what it writes, and one clear line for everything a user can get wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith_cli.main import app
from systolith_compiler.image import Image
from systolith_sim.prediction import predict_image
from systolith_sim.random_networks import NetworkBuilder, random_inputs, random_network
from systolith_sim.tflite_writer import serialize_tflite, write_tflite

DEMO = Path(__file__).parents[1] / "scripts" / "demo" / "lenet5.tflite"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result, *texts):
    """Exit status 2 and one line that holds all texts."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    for text in texts:
        assert text in line
    assert "Traceback" not in result.output


@pytest.mark.parametrize("level", ["machine", "tensor"])
def test_run_writes_json_and_outputs(tmp_path, level):
    x = np.random.default_rng(0).integers(-128, 128, (3, 28, 28, 1)).astype(np.int8)
    np.save(tmp_path / "x.npy", x)
    result = invoke("run", DEMO, "--config", "small-8x8", "--level", level, "--input", tmp_path / "x.npy",
                    "--json", tmp_path / "r.json", "--output", tmp_path / "y.npz")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"] and report["bit_exact_tflite_micro"]
    assert (report["model"], report["config"], report["level"], report["samples"]) == ("lenet5", "small-8x8", level, 3)
    assert report["macs"] == sum(layer["macs"] for layer in report["layers"]) > 0
    assert set(report["layers"][0]) == {"index", "op", "name", "cycles", "macs", "utilization"}
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["output_0"].shape == (3, 10) and outputs["output_0"].dtype == np.int8


def test_compile_writes_an_image(tmp_path):
    result = invoke("compile", DEMO, "--config", "tiny-4x4", "--out", tmp_path / "net.img", "--json", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    image = Image.load(tmp_path / "net.img")
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["model"], report["config"], image.config.name) == ("lenet5", "tiny-4x4", "tiny-4x4")
    assert report["memory_bytes"] == image.memory.size and report["host_ops"] == []
    assert report["commands"] == sum(step.commands for step in image.steps)
    assert report["inputs"][0]["shape"] == [1, 28, 28, 1] and report["outputs"][0]["offset"] == image.outputs[0].offset
    assert report["predicted_cycles"] == sum(run.total for run in predict_image(image))


def test_compile_refuses(tmp_path):
    refused(invoke("compile", DEMO, "--out", tmp_path / "absent" / "net.img"), "Cannot write", "absent")
    refused(invoke("compile", DEMO, "--out", tmp_path / "net.img", "--rounding", "up"), "'double' or 'single'", "'up'")
    refused(invoke("compile", tmp_path / "none.tflite", "--out", tmp_path / "net.img"), "none.tflite")


def test_float_inputs_are_quantised(tmp_path):
    codes = np.random.default_rng(0).integers(-128, 128, (2, 28, 28, 1))
    np.save(tmp_path / "f.npy", ((codes + 128) / 255).astype(np.float32))
    np.save(tmp_path / "i.npy", codes.astype(np.int8))
    for name in "fi":
        assert invoke("run", DEMO, "--level", "tensor", "--input", tmp_path / f"{name}.npy",
                      "--output", tmp_path / f"{name}.npz").exit_code == 0
    with np.load(tmp_path / "f.npz") as a, np.load(tmp_path / "i.npz") as b:
        np.testing.assert_array_equal(a["output_0"], b["output_0"])


def test_same_seed_same_sample(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        invoke("run", DEMO, "--level", "tensor", "--seed", seed, "--output", tmp_path / f"{name}.npz")
    a, b, c = (np.load(tmp_path / f"{name}.npz")["output_0"] for name in "abc")
    assert (a == b).all() and (a != c).any()


def test_json_on_standard_output():
    result = invoke("gemm", 5, 6, 7, "--level", "machine", "--json", "-")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["macs"] == 210


@pytest.mark.parametrize(("arguments", "texts"), [
    (("--config", "nonsense"), ("must be one of nano-4x4, tiny-4x4", "'nonsense'")),
    (("--config", "1x4"), ("rows must be 2 to 64, not 1",)),
    (("--config", "missing.json"), ("Cannot read configuration",)),
    (("--level", "gate"), ("Level must be one of rtl, machine, tensor, not 'gate'",)),
    (("--rounding", "up"), ("Rounding must be 'double' or 'single', not 'up'",)),
    (("--input", "missing.npy"), ("missing.npy",)),
])
def test_bad_options(arguments, texts):
    refused(invoke("run", DEMO, *arguments), *texts)


@pytest.mark.parametrize(("values", "text"), [
    ('{"preset": "tiny-4x4", "vector_lanes": 3}', "vector_lanes must divide cols (4), not 3"),
    ('{"preset": "tiny-4x4", "colour": 3}', "there is no field 'colour'"),
    ('{"rows": 4}', "field 'cols' is missing"),
    ("[", "is not JSON"),
])
def test_bad_configuration_file(tmp_path, values, text):
    path = tmp_path / "mine.json"
    path.write_text(values)
    refused(invoke("run", DEMO, "--config", path), text)


def test_configuration_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"preset": "tiny-4x4", "rows": 6}')
    result = invoke("run", DEMO, "--config", path, "--level", "machine", "--json", "-")
    assert result.exit_code == 0 and json.loads(result.stdout)["config"] == "mine"


@pytest.mark.parametrize(("array", "text"), [
    (np.zeros((2, 28, 28), np.int8), "must have shape (samples, 28, 28, 1)"),
    (np.zeros((0, 28, 28, 1), np.int8), "must have shape"),
    (np.zeros((1, 28, 28, 1), np.int16), "must be int8 or floating point, not int16"),
    (np.full((1, 28, 28, 1), np.nan), "must be finite"),
])
def test_bad_inputs_leave_nothing_behind(tmp_path, array, text):
    np.save(tmp_path / "x.npy", array)
    refused(invoke("run", DEMO, "--input", tmp_path / "x.npy", "--json", tmp_path / "r.json", "--output",
                   tmp_path / "y.npz"), text)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy"}


def float_network():
    net = NetworkBuilder(1, (1, 4, 4, 2))
    net.conv(3, kernel=(1, 1))
    graph = net.graph()
    for index in (*graph.inputs, *graph.outputs):
        object.__setattr__(graph.tensors[index], "dtype", np.dtype(np.float32))
        object.__setattr__(graph.tensors[index], "type_name", "FLOAT32")
        object.__setattr__(graph.tensors[index], "quantization", None)
    return graph


@pytest.mark.parametrize("command", ["run", "info"])
def test_bad_models(tmp_path, command):
    good = serialize_tflite(random_network(3))
    for name, contents, text in (("empty", b"", "the file is empty"), ("truncated", good[:len(good) // 2], ""),
                                 ("text", b"hello" * 100, "not a TensorFlow Lite model")):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(contents)
        refused(invoke(command, path), text)
    refused(invoke(command, tmp_path / "missing.tflite"), "missing.tflite")
    write_tflite(float_network(), tmp_path / "float.tflite")
    refused(invoke(command, tmp_path / "float.tflite"), "Operator 0 (CONV_2D", "FLOAT32")


def test_unsupported_operator(tmp_path):
    graph = random_network(3)
    object.__setattr__(graph.operators[0], "kind", "ATAN2")
    write_tflite(graph, tmp_path / "odd.tflite")
    refused(invoke("run", tmp_path / "odd.tflite", "--json", tmp_path / "r.json"), "Operator 0 (ATAN2", "not")
    assert not (tmp_path / "r.json").exists()


def test_verilog_is_reproducible(tmp_path):
    for name in "ab":
        assert invoke("verilog", "--config", "tiny-4x4", "--out", tmp_path / name).exit_code == 0
    for name in ("systolith.v", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert {"parameters", "ports", "registers", "latencies", "version"} <= set(manifest)


@pytest.mark.parametrize("command", ["configs", "boards"])
def test_lists(tmp_path, command):
    assert invoke(command, "--json", tmp_path / "list.json").exit_code == 0
    assert json.loads((tmp_path / "list.json").read_text())


def test_boards_are_described(tmp_path):
    assert invoke("boards", "--json", tmp_path / "boards.json").exit_code == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "boards.json").read_text())}
    assert list(rows) == ["ulx3s-85f", "orangecrab-25f", "icebreaker", "tang-nano-9k", "tang-primer-20k"]
    assert all({"device", "preset", "memory", "memory_bytes", "clock_mhz"} <= set(row) for row in rows.values())
    assert (rows["ulx3s-85f"]["device"], rows["ulx3s-85f"]["preset"]) == ("LFE5U-85F-6CABGA381", "ulx3s-85f")


def test_unknown_board(tmp_path):
    refused(invoke("synth", "--board", "nonsense", "--out", tmp_path / "out"), "Board must be one of ulx3s-85f")
    assert not (tmp_path / "out").exists()


def test_info(tmp_path):
    assert invoke("info", DEMO, "--json", tmp_path / "info.json").exit_code == 0
    rows = json.loads((tmp_path / "info.json").read_text())["operators"]
    assert rows[0]["op"] == "CONV_2D" and rows[0]["runs"] == "layer 0"


@pytest.mark.parametrize("arguments", [
    ("9", "8", "5", "6"), ("9", "12", "5", "6", "--kernel", "1x5", "--dilation", "2", "--padding", "valid"),
    ("9", "8", "6", "12", "--kernel", "5x3", "--stride", "2", "--depthwise"), ("20", "21", "1", "8", "--kernel", "10x4"),
])
@pytest.mark.parametrize("config", ["small-8x8", "base-16x16"])
def test_conv_is_exact(tmp_path, arguments, config):
    result = invoke("conv", *arguments, "--config", config, "--level", "machine", "--json", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"] and report["macs"] > 0 and report["predicted_cycles"] > 0


@pytest.mark.parametrize(("arguments", "text"), [
    (("9", "8", "5", "6", "--kernel", "0"), "Kernel must be a size such as 3 or 3x5"),
    (("9", "8", "5", "6", "--kernel", "3y3"), "Kernel must be a size such as 3 or 3x5"),
    (("9", "8", "5", "6", "--kernel", "9", "--padding", "valid"), "at most as large as the image, 9x8"),
    (("9", "8", "5", "6", "--padding", "full"), "Padding must be 'same' or 'valid'"),
    (("9", "8", "5", "6", "--depthwise"), "must be a multiple of 5"),
])
def test_bad_convolutions(arguments, text):
    refused(invoke("conv", *arguments, "--level", "tensor"), text)


@pytest.mark.parametrize("command", ["run", "gemm", "conv", "info", "verilog", "synth", "configs", "boards"])
def test_help(command):
    assert invoke(command, "--help").exit_code == 0


def test_random_samples_fit_every_input():
    graph = random_network(1)
    assert [a.shape for a in random_inputs(graph, 0)] == [graph.tensors[t].shape for t in graph.inputs]
