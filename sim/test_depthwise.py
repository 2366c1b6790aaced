"""Depthwise convolutions in column mode: random layers on odd geometries, against the tensor level."""

from dataclasses import replace

import numpy as np
import pytest

from systolith_compiler.compiler import compile_graph
from systolith_compiler.depthwise_passes import choose_passes
from systolith_compiler.layers import MatrixLayer
from systolith_compiler.lowering import lower
from systolith_golden.column_product import column_product, output_positions
from systolith_golden.cycles import predict
from systolith_golden.interpreter import run_outputs
from systolith_sim.executor import Executor, MachineTarget
from systolith_sim.random_networks import NetworkBuilder, random_inputs, random_network
from systolith_spec.column_mode import column_outputs, column_row, column_stream
from systolith_spec.commands import decode
from systolith_spec.config import AcceleratorConfig, ConfigurationError
from systolith_spec.presets import PRESETS, preset

_KIB = 1024
TINY, SMALL, BASE = (PRESETS[name] for name in ("tiny-4x4", "small-8x8", "base-16x16"))
# More columns than rows and fewer, one to three streams, lines that must be cut, few and many buffers.
ODD = (
    AcceleratorConfig(name="3x5", rows=3, cols=5, activation_bytes=2 * _KIB, weight_bytes=_KIB, parameter_bytes=512,
                      accumulator_depth=16, vector_lanes=5, parameter_groups=2, axi_data_width=32, depthwise_streams=1),
    AcceleratorConfig(name="12x6", rows=12, cols=6, activation_bytes=4 * _KIB, activation_banks=1, weight_bytes=2 * _KIB,
                      parameter_bytes=512, accumulator_depth=32, vector_lanes=3, parameter_groups=4, axi_data_width=64,
                      depthwise_streams=3, line_depth=16),
    AcceleratorConfig(name="5x7", rows=5, cols=7, activation_bytes=8 * _KIB, activation_banks=4, weight_bytes=_KIB,
                      parameter_bytes=_KIB, accumulator_depth=8, vector_lanes=1, parameter_groups=8, axi_data_width=128,
                      depthwise_streams=2, line_depth=16),
    replace(SMALL, name="8x8 by 4", depthwise_streams=4),
)
CONFIGS = (TINY, SMALL, BASE, *ODD)


def commands(image):
    """Fields of all COMPUTE commands."""
    decoded = [decode(command) for step in image.steps if step.program is not None for command in image.commands(step)]
    return [fields for command, fields in decoded if command.name == "COMPUTE"]


def assert_exact(graph, config, seed=0):
    inputs = random_inputs(graph, seed)
    image = compile_graph(graph, config)
    got = Executor(image, graph, MachineTarget(image, check_hazards=True)).infer_now(inputs)
    for mine, theirs in zip(got, run_outputs(graph, inputs), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return image


def layer_graph(seed, *, shape, **arguments):
    net = NetworkBuilder(seed, (1, *shape))
    net.depthwise(**arguments)
    return net.graph()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_random_layers(config):
    rng = np.random.default_rng(config.rows * 100 + config.cols)
    columns = 0
    for seed in range(40):
        kernel = tuple(int(size) for size in rng.integers(1, 8 if seed % 3 else 4, 2))
        stride = tuple(int(size) for size in rng.integers(1, 4, 2)) if seed % 2 else (1, 1)
        dilation = (1, 1) if seed % 2 or seed % 4 else tuple(int(size) for size in rng.integers(1, 4, 2))
        smallest = [(kernel[i] - 1) * dilation[i] + 1 for i in (0, 1)]
        height, width = (int(rng.integers(low, low + 18)) for low in smallest)
        graph = layer_graph(seed, shape=(height, width, int(rng.integers(1, 3 * config.cols))), kernel=kernel,
                            stride=stride, dilation=dilation, padding=str(rng.choice(["SAME", "VALID"])),
                            per_channel=bool(rng.integers(2)))
        columns += any(fields["column_mode"] for fields in commands(assert_exact(graph, config, seed)))
    assert columns >= 25


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_networks_with_depthwise_layers(config):
    for seed in range(12):
        graph = random_network(seed, steps=("depthwise", "dilated_depthwise", "conv", "residual", "max_pool"),
                               max_size=16, max_channels=24)
        assert_exact(graph, config, seed)


@pytest.mark.parametrize(("kernel", "stride", "cycles"), [
    # Positions fed for 16 channels: rows of lines, times their length.
    ((3, 3), (1, 1), (24 + 2) * (10 + 2)),
    ((3, 3), (2, 2), (12 + 1) * (2 * 5 + 1) + 12 * (2 * 5 + 1)),
    ((5, 5), (1, 1), (24 + 2) * (10 + 4) + (24 + 1) * (10 + 4)),
    ((7, 7), (1, 1), 2 * ((24 + 2) + (24 + 2) + 24) * (10 + 4)),
    ((1, 5), (1, 1), 24 * (10 + 4)),
    ((5, 1), (1, 1), ((24 + 2) + (24 + 1)) * 10),
])
def test_cycles_of_a_block(kernel, stride, cycles):
    graph = layer_graph(1, shape=(24, 10, 16), kernel=kernel, stride=stride)
    layer = lower(graph).layers[0]
    assert isinstance(layer, MatrixLayer)
    assert choose_passes(layer, BASE).cycles(layer.output.height, layer.output.width) == cycles


def test_a_3x3_layer_takes_a_cycle_per_vector():
    """Four blocks of 25x25 outputs: cycles stay close to the positions of the lines, some of which tiles feed twice."""
    graph = layer_graph(2, shape=(25, 25, 64), kernel=(3, 3))
    image = compile_graph(graph, BASE)
    step = image.steps[0]
    predicted = predict(BASE, image.commands(step), 20, program_offset=step.program, program_limit=image.writable)
    fed = sum(fields["y_count"] * fields["x_count"] for fields in commands(image))
    assert 4 * 27 * 27 <= fed <= 4 * 27 * 27 * 1.5
    assert predicted.busy["COMPUTE"] <= 1.2 * fed
    dense = compile_graph(graph, replace(BASE, depthwise_streams=0))
    assert not any(fields["column_mode"] for fields in commands(dense))
    assert sum(f["y_count"] * f["x_count"] * f["ky_count"] * f["kx_count"] for f in commands(dense)) >= 5 * fed


def test_multipliers_and_single_channels_are_products():
    for shape, multiplier in (((9, 9, 6), 2), ((9, 9, 1), 8)):
        graph = layer_graph(3, shape=shape, multiplier=multiplier)
        assert not any(fields["column_mode"] for fields in commands(assert_exact(graph, BASE)))


def test_column_product_is_the_documented_sum():
    config = ODD[1]
    rng = np.random.default_rng(1)
    line, rows = 9, 6
    fields = {"column_mode": 1, "y_count": rows, "x_count": line, "skip_rows": 2, "valid_columns": 6, "column_step": 2}
    vectors, weights = rng.integers(-128, 128, (rows * line, 12)), rng.integers(-128, 128, (12, 6))
    sums = column_product(config, vectors, weights, output_positions(fields), line)
    assert len(sums) == column_outputs(fields) == 4 * 3
    entry = 0
    for y in range(2, rows):
        for x in (0, 2, 4):
            for column in range(6):
                assert sums[entry, column] == sum(
                    weights[4 * g + k, column] * vectors[(y - g) * line + x + k, column]
                    for g in range(3) for k in range(4))
            entry += 1


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_rows_and_streams(config):
    for row in range(config.rows):
        stream, tap = column_stream(config, row)
        assert column_row(config, stream, tap) == row and 0 <= stream < config.depthwise_streams
    assert column_stream(config, 0) == (0, 0)


def test_configuration_rules():
    with pytest.raises(ConfigurationError, match=r"depthwise_streams must be 0 to rows / 2 = 4, not 5"):
        replace(SMALL, depthwise_streams=5)
    with pytest.raises(ConfigurationError, match=r"line_depth must be a power of two, not 100"):
        replace(SMALL, line_depth=100)
    with pytest.raises(ConfigurationError, match=r"line_depth must be at least twice the 16 taps of a stream, not 16"):
        replace(preset("16x4"), depthwise_streams=1, line_depth=16)
    assert [preset(f"{rows}x8").depthwise_streams for rows in (4, 6, 9, 32)] == [1, 2, 3, 3]
