"""The compiler: random and real networks on odd geometries, against the tensor level, with hazards checked."""

from dataclasses import replace

import numpy as np
import pytest

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import UnsupportedError
from systolith_compiler.image import Image, ImageError
from systolith_compiler.layers import HostLayer, MatrixLayer
from systolith_compiler.lowering import lower
from systolith_compiler.program import Program, Region
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.interpreter import run_outputs
from systolith_golden.machine import HazardError, Machine, MachineError
from systolith_sim.executor import Executor, MachineTarget
from systolith_sim.models import model_inputs, model_path
from systolith_sim.random_networks import NetworkBuilder, random_inputs, random_network
from systolith_spec.commands import decode, encode
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import PRESETS

_KIB = 1024
TINY, SMALL, BASE = (PRESETS[name] for name in ("tiny-4x4", "small-8x8", "base-16x16"))
# Buffers so small that everything has to be tiled; every number of banks; lanes from one to all columns.
CRAMPED = (
    AcceleratorConfig(name="3x5", rows=3, cols=5, activation_bytes=2 * _KIB, weight_bytes=_KIB, parameter_bytes=512,
                      accumulator_depth=16, vector_lanes=5, parameter_groups=2, axi_data_width=32),
    AcceleratorConfig(name="12x6", rows=12, cols=6, activation_bytes=4 * _KIB, activation_banks=1, weight_bytes=2 * _KIB,
                      parameter_bytes=512, accumulator_depth=32, vector_lanes=3, parameter_groups=4, axi_data_width=64),
    AcceleratorConfig(name="5x7", rows=5, cols=7, activation_bytes=8 * _KIB, activation_banks=4, weight_bytes=_KIB,
                      parameter_bytes=_KIB, accumulator_depth=8, vector_lanes=1, parameter_groups=8, axi_data_width=128),
)
CONFIGS = (TINY, SMALL, BASE, *CRAMPED)


def assert_exact(graph, config, inputs):
    """Compile, run on the machine model with all checks, compare; returns the image."""
    image = compile_graph(graph, config)
    target = MachineTarget(image, check_hazards=True)
    got = Executor(image, graph, target).infer_now(inputs)
    wanted = run_outputs(graph, inputs)
    assert len(got) == len(wanted) > 0
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return image


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_networks(config, first):
    for seed in range(first, first + 10):
        graph = random_network(seed)
        assert_exact(graph, config, random_inputs(graph, seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("config", CRAMPED, ids=lambda config: config.name)
def test_networks_far_larger_than_the_buffers(config, seed):
    graph = random_network(seed, max_size=24, max_channels=50)
    assert_exact(graph, config, random_inputs(graph, seed))


@pytest.mark.parametrize("name", ["pretrainedResnet_quant", "ad01_int8", "lenet5_mnist_int8_b1", "hello_world_int8",
                                  "kws_ref_model", "vww_96_int8", "str_ww_ref_model"])
@pytest.mark.parametrize("config", (TINY, SMALL, BASE), ids=lambda config: config.name)
def test_real_networks(config, name):
    path = model_path(name)
    if path is None:
        pytest.skip("the folder of networks (SYSTOLITH_MODELS) is absent")
    graph = read_tflite(path)
    image = assert_exact(graph, config, model_inputs(name)[0])
    assert {layer.op for layer in image.layers if layer.host} <= {"SOFTMAX"}


def dilated(height, width):
    net = NetworkBuilder(3, (1, 19, 17, 5))
    net.dilated_conv(7, kernel=(height, width), dilation=(2, 3))
    return net.graph()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_dilation_written_as_batches_becomes_one_layer(config):
    graph = dilated(3, 2)
    image = assert_exact(graph, config, random_inputs(graph, 1))
    assert [layer.op for layer in image.layers] == ["SPACE_TO_BATCH_ND+CONV_2D+BATCH_TO_SPACE_ND"]


def test_residual_additions_are_fused():
    net = NetworkBuilder(5, (1, 9, 9, 12))
    first = net.conv(12, kernel=(3, 3), padding="SAME")
    second = net.conv(12, kernel=(3, 3), padding="SAME")
    net.add(second, first)
    graph = net.graph()
    layers = lower(graph).layers
    assert [layer.op for layer in layers] == ["CONV_2D", "CONV_2D+ADD"]
    assert all(isinstance(layer, MatrixLayer) for layer in layers)
    for config in CONFIGS:
        assert_exact(graph, config, random_inputs(graph, 1))


def test_optional_units_move_work_to_the_host():
    net = NetworkBuilder(5, (1, 9, 9, 4))
    first = net.conv(4, kernel=(3, 3), padding="SAME")
    second = net.conv(4, kernel=(3, 3), padding="SAME")
    net.add(second, first)
    net.max_pool(kernel=(2, 2), stride=(2, 2))
    graph = net.graph()
    plain = replace(TINY, residual_add=False, pooling=False, softmax=False)
    layers = lower(graph, residual_add=False, pooling=False).layers
    assert [layer.op for layer in layers if isinstance(layer, HostLayer)] == ["ADD", "MAX_POOL_2D"]
    assert_exact(graph, plain, random_inputs(graph, 1))


def test_single_rounding():
    graph = random_network(4)
    inputs = random_inputs(graph, 4)
    image = compile_graph(graph, SMALL, rounding="single")
    got = Executor(image, graph, MachineTarget(image)).infer_now(inputs)
    for mine, theirs in zip(got, run_outputs(graph, inputs, "single"), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_layer_that_cannot_be_tiled_is_named():
    net = NetworkBuilder(1, (1, 64, 64, 3))
    net.conv(8, kernel=(60, 60), padding="VALID")
    with pytest.raises(UnsupportedError, match=r"^Operator 0 \(CONV_2D, .* cannot be tiled for configuration '3x5': "):
        compile_graph(net.graph(), CRAMPED[0])


# Tokens.

def test_each_needed_token_is_needed():
    """Removing any one token of a program is a hazard or a deadlock (the checker's mutants)."""
    graph = random_network(1)
    image = compile_graph(graph, TINY)
    step = next(step for step in image.steps if step.program is not None)
    decoded = [decode(data) for data in image.commands(step)]
    waiting = [i for i, (_, fields) in enumerate(decoded) if fields["wait"]]
    assert len(waiting) > 5
    caught = 0
    for index in waiting[:25]:
        memory = image.memory.copy()
        command, fields = decoded[index]
        bit = 1 << (fields["wait"].bit_length() - 1)
        giver = next(i for i in range(index - 1, -1, -1) if decoded[i][0].engine is not None
                     and 1 << decoded[i][0].engine == bit and decoded[i][1]["signal"] >> command.engine & 1)
        for i, key, mask in ((index, "wait", bit), (giver, "signal", 1 << command.engine)):
            name, values = decoded[i][0].name, dict(decoded[i][1])
            values[key] &= ~mask
            del values["opcode"]
            at = step.program + 64 * i
            memory[at:at + 64] = np.frombuffer(encode(name, **values), np.uint8)
        with pytest.raises((HazardError, MachineError)):
            Machine(TINY, memory, writable=image.writable, check_hazards=True).run(step.program)
        caught += 1
    assert caught == len(waiting[:25])


def test_independent_commands_get_no_tokens():
    program = Program(TINY, 4096)
    program.append("LOAD", writes=(Region("activation", 0, 64),), length=64, count_1=1, count_2=1)
    program.append("STORE", reads=(Region("activation", 64, 128),), buffer=64, length=64, count_1=1, count_2=1)
    load, store, end = (decode(data)[1] for data in program.encode())
    assert load["signal"] == store["wait"] == end["wait"] == 0


def test_dependent_commands_get_one_token():
    program = Program(TINY, 4096)
    program.append("LOAD", writes=(Region("activation", 0, 64),), length=64, count_1=1, count_2=1)
    for _ in range(2):
        program.append("STORE", reads=(Region("activation", 0, 64),), length=64, count_1=1, count_2=1)
    load, first, second, _ = (decode(data)[1] for data in program.encode())
    assert (load["signal"], first["wait"], second["wait"]) == (8, 1, 0)


# Image files.

def test_image_file_round_trip(tmp_path):
    graph = random_network(2)
    image = compile_graph(graph, SMALL)
    image.save(tmp_path / "net.image")
    loaded = Image.load(tmp_path / "net.image")
    np.testing.assert_array_equal(loaded.memory, image.memory)
    assert (loaded.config, loaded.steps, loaded.inputs, loaded.outputs, loaded.layers, loaded.scratch) == (
        image.config, image.steps, image.inputs, image.outputs, image.layers, image.scratch)


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:10], "is not an image file"),
    (lambda data: b"x" + data[1:], "is not an image file"),
    (lambda data: data[:-1], "is damaged"),
    (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "is damaged"),
    (lambda data: data[:8] + b"\x63" + data[9:], "has format version 99"),
])
def test_image_file_errors(tmp_path, damage, message):
    path = tmp_path / "net.image"
    compile_graph(random_network(2), SMALL).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ImageError, match=message):
        Image.load(path)
