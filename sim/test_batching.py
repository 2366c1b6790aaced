"""Several samples in one run: the results of each alone, fewer cycles, and a refusal where samples are not alike."""

import numpy as np
import pytest

from systolith_compiler.batching import batched
from systolith_compiler.graph import UnsupportedError
from systolith_compiler.tflite_reader import read_tflite
from systolith_sim.convolution import convolution_graph
from systolith_sim.gemm import gemm_graph
from systolith_sim.inference import infer
from systolith_sim.models import model_path
from systolith_sim.samples import random_sample
from systolith_spec.presets import preset


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_each_sample_gets_its_own_result(batch):
    graph, config = gemm_graph(1, 70, 33, 1), preset("tiny-4x4")
    samples = [random_sample(graph, seed) for seed in range(5)]
    alone = infer(graph, config, samples, level="machine")
    together = infer(graph, config, samples, level="machine", batch=batch)
    assert together.bit_exact and together.macs == batch * alone.macs
    assert np.array_equal(together.outputs[0], alone.outputs[0]) and together.outputs[0].any()
    assert together.predicted_cycles < min(batch, 5) * alone.predicted_cycles


def test_a_real_network():
    path = model_path("ad01_int8")
    if path is None:
        pytest.skip("ad01_int8.tflite is not there")
    graph, config = read_tflite(path), preset("base-16x16")
    samples = [random_sample(graph, seed) for seed in range(3)]
    report = infer(graph, config, samples, level="machine", model=path, batch=3)
    assert report.bit_exact and report.bit_exact_tflite_micro is not False
    assert report.predicted_cycles < 20_000


def test_samples_that_are_not_alike_are_refused():
    with pytest.raises(UnsupportedError, match="CONV_2D.*a batch above 1 needs a network of fully connected layers"):
        batched(convolution_graph(8, 8, 4, 4), 2)
    with pytest.raises(UnsupportedError, match="first axis of 1, not 'A'"):
        batched(gemm_graph(3, 8, 8, 1), 2)
