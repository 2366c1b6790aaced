"""Layouts that fill array rows and columns: the same results, fewer array cycles."""

import numpy as np
import pytest

from systolith_compiler.column_strips import use_column_strips
from systolith_compiler.compiler import compile_graph
from systolith_compiler.layers import MatrixLayer
from systolith_compiler.lowering import lower
from systolith_compiler.widening import widen
from systolith_golden.interpreter import run_outputs
from systolith_golden.timeline import timeline
from systolith_sim.convolution import convolution_graph, convolution_sample
from systolith_sim.executor import Executor, MachineTarget
from systolith_spec.commands import Engine
from systolith_spec.presets import preset


def first_layer(graph) -> MatrixLayer:
    return lower(graph).layers[0]


def assert_exact(graph, config, inputs):
    image = compile_graph(graph, config)
    got = Executor(image, graph, MachineTarget(image, check_hazards=True)).infer_now(inputs)
    np.testing.assert_array_equal(got[0], run_outputs(graph, inputs)[0])
    return image


def array_cycles(image):
    times, _ = timeline(image.config, image.commands(image.steps[0]), program_offset=image.steps[0].program,
                         program_limit=image.writable)
    return sum(entry.work.stream for entry in times if entry.work.engine == Engine.COMPUTE)


@pytest.mark.parametrize("name", ["base-16x16", "small-8x8", "12x6"])
@pytest.mark.parametrize(("sizes", "options"), [
    ((24, 24, 3, 8), {"stride": 2}),
    ((24, 24, 3, 8), {"stride": 2, "padding": "valid", "kernel": (3, 4)}),
    ((20, 28, 1, 6), {"kernel": (5, 5)}),
    ((9, 12, 2, 3), {"kernel": (2, 3)}),
    ((7, 15, 1, 2), {"kernel": (3, 7), "stride": 3}),
])
def test_widened_layers(name, sizes, options):
    graph = convolution_graph(*sizes, **options, seed=3)
    assert_exact(graph, preset(name), convolution_sample(*sizes[:3], 4))


def test_widening_fills_columns():
    layer = first_layer(convolution_graph(96, 96, 3, 8, stride=2))
    wide = widen(layer, preset("base-16x16"))
    assert wide.weights.shape == (16, 3, 5, 3) and wide.strides == (2, 4)
    assert np.count_nonzero(wide.weights) == 2 * np.count_nonzero(layer.weights)
    dense = first_layer(convolution_graph(16, 16, 16, 16))
    assert widen(dense, preset("base-16x16")) is dense


@pytest.mark.parametrize("name", ["base-16x16", "small-8x8", "tiny-4x4"])
@pytest.mark.parametrize(("sizes", "options"), [
    ((49, 10, 1, 64), {"kernel": (10, 4), "stride": 2}),
    ((21, 9, 1, 20), {"kernel": (8, 3)}),
    ((21, 9, 1, 20), {"kernel": (8, 9)}),
    ((30, 8, 2, 17), {"kernel": (6, 3), "stride": 3, "padding": "valid"}),
])
def test_column_strips(name, sizes, options):
    graph = convolution_graph(*sizes, **options, seed=3)
    assert_exact(graph, preset(name), convolution_sample(*sizes[:3], 4))


def test_column_strips_save_array_cycles():
    config = preset("base-16x16")
    graph = convolution_graph(49, 10, 1, 64, kernel=(10, 4), stride=2)
    lowered = lower(graph)
    (storage,) = use_column_strips(lowered, config)
    assert storage.size == 5 * 49 * 4 and lowered.layers[0].source.storage is storage
    assert array_cycles(compile_graph(graph, config)) == 3 * 4 * 125
    large = lower(convolution_graph(96, 96, 3, 8, stride=2))
    assert not use_column_strips(large, config)
