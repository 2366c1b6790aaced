"""Predicted cycles of 200 random layers against the generated Verilog, each within 2 %; the first 24 in every run.

With serial control within 1 %, by block RAM and by single-port RAM.
"""

import random

import pytest

from systolith_compiler.compiler import compile_graph
from systolith_golden.interpreter import run_outputs
from systolith_sim.convolution import convolution_graph
from systolith_sim.gemm import gemm_graph
from systolith_sim.network_run import simulate
from systolith_sim.prediction import predict_image
from systolith_sim.samples import random_sample
from systolith_spec.presets import PRESETS

_LAYERS, _GROUP, _ALWAYS = 200, 8, 3
_SERIAL_LAYERS = 40
_CONFIGS = (PRESETS["tiny-4x4"], PRESETS["small-8x8"])


def random_layer(number):
    """A convolution, depthwise convolution or product of some thousand cycles."""
    draw = random.Random(number)
    kind = draw.choice(("conv", "depthwise", "gemm"))
    if kind == "gemm":
        return gemm_graph(draw.randint(1, 64), draw.randint(16, 160), draw.randint(8, 80), number)
    height, width, channels = draw.randint(9, 24), draw.randint(9, 24), draw.randint(4, 24)
    kernel = draw.randint(1, 5), draw.randint(1, 5)
    outputs = channels if kind == "depthwise" else draw.randint(4, 32)
    return convolution_graph(height, width, channels, outputs, kernel=kernel, stride=draw.randint(1, 2),
                             padding=draw.choice(("same", "valid")), depthwise=kind == "depthwise", seed=number)


@pytest.mark.parametrize("group", [
    pytest.param(group, marks=() if group < _ALWAYS else pytest.mark.slow) for group in range(_LAYERS // _GROUP)])
def test_random_layers(group):
    for number in range(group * _GROUP, (group + 1) * _GROUP):
        graph, config = random_layer(number), _CONFIGS[number % 2]
        image, sample = compile_graph(graph, config), random_sample(graph, number)
        (run,) = simulate(image, graph, [sample])
        assert (run.outputs[0] == run_outputs(graph, sample)[0]).all()
        predicted = sum(prediction.total for prediction in predict_image(image))
        assert abs(predicted - run.cycles) <= 0.02 * run.cycles, f"layer {number}: {predicted}, not {run.cycles}"


@pytest.mark.parametrize("name", ["serial-4x4", "icebreaker"])
@pytest.mark.parametrize("group", [
    pytest.param(group, marks=() if group < 1 else pytest.mark.slow) for group in range(_SERIAL_LAYERS // _GROUP)])
def test_random_layers_with_serial_control(group, name):
    config = PRESETS[name]
    for number in range(group * _GROUP, (group + 1) * _GROUP):
        graph = random_layer(number)
        image, sample = compile_graph(graph, config), random_sample(graph, number)
        (run,) = simulate(image, graph, [sample])
        assert (run.outputs[0] == run_outputs(graph, sample)[0]).all()
        predicted = sum(prediction.total for prediction in predict_image(image))
        assert abs(predicted - run.cycles) <= 0.01 * run.cycles, f"layer {number}: {predicted}, not {run.cycles}"
