"""Whole networks on the generated Verilog: bit-exact, whatever the memory does, in the predicted cycles."""

from dataclasses import replace

import pytest

from systolith_compiler.compiler import compile_graph
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.cycles import predict
from systolith_golden.interpreter import run_outputs
from systolith_sim.gemm import gemm_graph, gemm_sample
from systolith_sim.inference import infer
from systolith_sim.models import model_inputs, model_path
from systolith_sim.network_run import simulate
from systolith_sim.random_networks import NetworkBuilder, random_inputs, random_network
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import PRESETS

_KIB = 1024
ODD = AcceleratorConfig(
    name="odd-5x6", rows=5, cols=6, activation_bytes=4 * _KIB, weight_bytes=2 * _KIB, parameter_bytes=_KIB,
    accumulator_depth=32, vector_lanes=3, parameter_groups=4, axi_data_width=64, queue_commands=4,
    depthwise_streams=2, line_depth=16)
NANO, TINY, SMALL, BASE, SERIAL = (
    PRESETS[name] for name in ("nano-4x4", "tiny-4x4", "small-8x8", "base-16x16", "serial-4x4"))
# Small enough for several tiles.
SINGLE_PORT = replace(SERIAL, name="single-port", activation_ports=1)
SERIAL_8 = replace(
    SERIAL, name="serial-8x8", rows=8, cols=8, activation_bytes=16 * _KIB, weight_bytes=8 * _KIB, accumulator_depth=128)


def assert_exact(graph, config, samples, **memory):
    image = compile_graph(graph, config)
    runs = simulate(image, graph, samples, **memory)
    assert len(runs) == len(samples) > 0
    for run, sample in zip(runs, samples, strict=True):
        for mine, theirs in zip(run.outputs, run_outputs(graph, sample), strict=True):
            assert (mine == theirs).all()
    return runs, image


@pytest.mark.parametrize("stall", [0, 30])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("config", [TINY, ODD, SERIAL, SINGLE_PORT], ids=lambda config: config.name)
def test_random_networks(config, seed, stall):
    graph = random_network(seed, max_size=10, max_channels=16)
    assert_exact(graph, config, [random_inputs(graph, seed)], stall=stall, seed=seed + 1, memory_latency=7)


def test_random_network_on_the_smallest_preset():
    """Without additions and softmax, which the host computes."""
    graph = random_network(3, max_size=10, max_channels=16)
    assert_exact(graph, SERIAL_8, [random_inputs(graph, 3)], memory_latency=7)
    assert_exact(graph, replace(SERIAL_8, activation_ports=1), [random_inputs(graph, 3)], memory_latency=7)
    assert_exact(graph, NANO, [random_inputs(graph, 3)], memory_latency=7)


@pytest.mark.parametrize("seed", range(3))
def test_sums_in_dsp_blocks_and_multipliers_of_luts(seed):
    """Two columns whose sums are made with the products, the others of LUTs; depthwise layers too."""
    config = replace(TINY, name="tiny-sums", dsp_sums=True, dsp_budget=8)
    steps = ("depthwise", "conv", "residual", "max_pool") if seed else None
    graph = random_network(seed, max_size=10, max_channels=16, **({"steps": steps} if steps else {}))
    assert_exact(graph, config, [random_inputs(graph, seed)], stall=30 * (seed % 2), seed=seed + 1, memory_latency=7)


@pytest.mark.parametrize("stall", [0, 30])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("config", [TINY, ODD], ids=lambda config: config.name)
def test_networks_with_depthwise_layers(config, seed, stall):
    """Column mode between products, pools and additions that read the same banks, with and without memory stalls."""
    steps = ("depthwise", "depthwise", "dilated_depthwise", "conv", "residual", "max_pool")
    graph = random_network(seed, steps=steps, max_size=12, max_channels=16)
    assert_exact(graph, config, [random_inputs(graph, seed)], stall=stall, seed=seed + 1, memory_latency=7)


def windows():
    """Every operator with a window, with kernels of every kind and strides of 1 and 2."""
    net = NetworkBuilder(5, (1, 7, 6, 4))
    outputs = []
    for index, kernel in enumerate([(1, 1), (1, 3), (3, 1), (3, 2)]):
        for stride in ((1, 1), (2, 1)):
            given = {"kernel": kernel, "stride": stride, "padding": "SAME" if index % 2 else "VALID", "source": 0}
            outputs += [net.conv(3, **given), net.depthwise(**given), net.max_pool(**given), net.average_pool(**given)]
    return net.graph(*outputs)


@pytest.mark.parametrize("config", [TINY, SERIAL, SINGLE_PORT], ids=lambda config: config.name)
@pytest.mark.parametrize("stall", [0, 30])
def test_windows_of_every_shape(config, stall):
    graph = windows()
    assert_exact(graph, config, [random_inputs(graph, 5)], stall=stall, memory_latency=7)


@pytest.mark.parametrize("stall", [0, 30])
@pytest.mark.parametrize("shape", [(3, 60, 40), (3, 40, 23), (4, 9, 160), (4, 9, 168)], ids=str)
def test_tensors_larger_than_the_buffer(shape, stall):
    """Blocks of rows, columns and channels, loaded and stored in one and two loops, aligned to the bus or not."""
    net = NetworkBuilder(7, (1, *shape))
    pools = [net.max_pool(kernel=kernel, stride=(1, 1), padding="SAME", source=0) for kernel in ((2, 2), (1, 2))]
    if shape[2] < 100:
        net.concat(pools)
    graph = net.graph()
    assert_exact(graph, ODD, [random_inputs(graph, 7)], stall=stall, memory_latency=7)


def everything():
    """One network with all operators of the accelerator."""
    net = NetworkBuilder(11, (1, 13, 11, 3))
    net.conv(8, kernel=(3, 5), stride=(2, 1), padding="SAME", activation="RELU6")
    left = net.conv(9, kernel=(1, 3), padding="SAME")
    right = net.conv(9, kernel=(3, 1), padding="SAME")
    net.add(left, net.conv(9, kernel=(1, 1), source=right), activation="RELU")
    net.dilated_conv(6, kernel=(2, 2), dilation=(2, 2))
    net.max_pool(kernel=(2, 2), stride=(1, 1), padding="SAME")
    net.pad([(0, 0), (1, 0), (0, 2), (0, 0)])
    net.average_pool(kernel=(3, 2), stride=(2, 2), padding="SAME")
    net.quantize()
    net.relu()
    net.mean()
    net.fully_connected(5)
    net.softmax()
    return net.graph()


def test_several_samples_and_a_host_operator_between_programs():
    graph = everything()
    samples = [random_inputs(graph, seed) for seed in range(3)]
    runs, image = assert_exact(graph, replace(TINY, softmax=False), samples)
    assert [layer.op for layer in image.layers if layer.host] == ["SOFTMAX"]
    assert len({run.cycles for run in runs}) == 1


@pytest.mark.parametrize("latency", [5, 20, 90])
def test_predicted_cycles(latency):
    graph = everything()
    runs, image = assert_exact(graph, TINY, [random_inputs(graph, 0)], memory_latency=latency)
    step = next(step for step in image.steps if step.program is not None)
    predicted = predict(TINY, image.commands(step), latency, program_offset=step.program, program_limit=image.writable).total
    assert abs(predicted - runs[0].cycles) <= 0.02 * runs[0].cycles


@pytest.mark.parametrize(("name", "config", "limit"), [
    ("pretrainedResnet_quant", BASE, 57_000), ("ad01_int8", BASE, 19_000), ("lenet5_mnist_int8_b1", SMALL, 18_000),
    ("kws_ref_model", SMALL, 56_000), ("kws_ref_model", BASE, 21_000), ("vww_96_int8", BASE, 55_000),
    pytest.param("kws_ref_model", PRESETS["icebreaker"], 3_700_000, marks=pytest.mark.slow)],
    ids=lambda value: getattr(value, "name", str(value)))
def test_real_networks(name, config, limit):
    """Real inputs; equal to TensorFlow Lite Micro; cycles as documented."""
    path = model_path(name)
    if path is None:
        pytest.skip("the folder of networks (SYSTOLITH_MODELS) is absent")
    report = infer(read_tflite(path), config, model_inputs(name, 2), model=path)
    assert report.bit_exact and report.bit_exact_tflite_micro
    assert limit is None or report.cycles <= limit
    assert abs(report.predicted_cycles - report.cycles) <= 0.005 * report.cycles
    assert report.utilization == round(report.macs / (report.cycles * config.processing_elements), 6)


def test_gemm():
    report = infer(gemm_graph(37, 50, 29, 1), SMALL, [gemm_sample(37, 50, 1)])
    assert report.bit_exact and report.macs == 37 * 50 * 29
