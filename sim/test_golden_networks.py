"""The tensor-level golden model against TensorFlow Lite Micro, operator by operator, on real and random networks."""

import numpy as np
import pytest

from systolith_compiler.tflite_reader import parse_tflite, read_tflite
from systolith_golden.interpreter import run, run_outputs
from systolith_golden.operators import OPERATORS, macs
from systolith_golden.reference import TfliteMicro, count_mismatches
from systolith_sim.models import MODEL_NAMES, model_inputs, model_path
from systolith_sim.random_networks import EXTRA_STEPS, STEPS, random_inputs, random_network
from systolith_sim.tflite_writer import serialize_tflite

pytest.importorskip(
    "tflite_micro", reason="the package tflite_micro, the independent reference, is not installed"
)

SAMPLES = {"mobilenet_v2_quantized_1x3x224x224": 1, "kwt1_core_int8": 1, "hello_world_int8": 20}

# Multiply-accumulate operations as published or counted by hand.
MACS = {
    "ad01_int8": 264_192,
    "hello_world_int8": 288,
    "pretrainedResnet_quant": 12_501_632,
    "mobilenet_v2_quantized_1x3x224x224": 300_774_272,
}


def assert_no_mismatches(graph, counts):
    wrong = [
        f"operator {index} ({kind}): {counts[index][0]} of {counts[index][1]} values"
        for index, kind in ((operator.index, operator.kind) for operator in graph.operators)
        if counts[index][0]
    ]
    assert not wrong, "; ".join(wrong)
    assert len(counts) == len(graph.operators) > 0
    assert all(size > 0 for _, size in counts.values())


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_network_layer_by_layer(name):
    path = model_path(name)
    if path is None:
        pytest.skip("the folder of real networks (SYSTOLITH_MODELS) is absent")
    graph = read_tflite(path)
    interpreter = TfliteMicro(path, preserve_all=True)
    samples = model_inputs(name, SAMPLES.get(name, 3))
    assert samples
    for inputs in samples:
        reference = interpreter.run_tensors(inputs)
        values = run(graph, inputs)
        assert set(values) == set(reference)
        for index, array in values.items():  # end to end: each layer reads the golden model's own values
            np.testing.assert_array_equal(array, reference[index], err_msg=graph.tensors[index].name)


@pytest.mark.parametrize("name", MACS)
def test_macs(name):
    path = model_path(name)
    if path is None:
        pytest.skip("the folder of real networks (SYSTOLITH_MODELS) is absent")
    graph = read_tflite(path)
    assert sum(macs(graph, operator) for operator in graph.operators) == MACS[name]


def test_real_network_classifies():
    path = model_path("kws_ref_model")
    if path is None:
        pytest.skip("the folder of real networks (SYSTOLITH_MODELS) is absent")
    graph = read_tflite(path)
    labels = np.load(path.parent / "kws_ref_inputs_int8_4890.npz")["y"]
    count = 60
    labels = labels[:: 4890 // count][:count]
    hits = [
        int(run_outputs(graph, inputs)[0].argmax()) == label
        for inputs, label in zip(model_inputs("kws_ref_model", count), labels, strict=True)
    ]
    assert np.mean(hits) > 0.85  # 91.9 % over all 4890


@pytest.mark.parametrize("seed", range(60))
def test_random_network_layer_by_layer(seed):
    steps = STEPS if seed % 2 else STEPS + EXTRA_STEPS
    contents = serialize_tflite(random_network(seed, steps=steps))
    graph = parse_tflite(contents)
    inputs = random_inputs(graph, seed)
    reference = TfliteMicro(contents, preserve_all=True).run_tensors(inputs)
    assert_no_mismatches(graph, count_mismatches(graph, reference))
    if not any(operator.kind == "SPACE_TO_BATCH_ND" for operator in graph.operators):
        values = run(graph, inputs)
        for index, array in reference.items():
            np.testing.assert_array_equal(values[index], array)


def test_random_networks_are_worth_testing():
    kinds, spread = set(), []
    for seed in range(60):
        graph = random_network(seed)
        kinds |= {operator.kind for operator in graph.operators}
        values = run(graph, random_inputs(graph, seed))
        for operator in graph.operators:
            output = values[operator.outputs[0]]
            spread.append(np.mean((output > -128) & (output < 127)))
    expected = (
        "CONV_2D FULLY_CONNECTED ADD MAX_POOL_2D AVERAGE_POOL_2D MEAN PAD RESHAPE CONCATENATION RELU RELU6"
    )
    expected += " QUANTIZE SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND SOFTMAX"
    assert kinds == set(expected.split())
    assert kinds <= set(OPERATORS)
    assert np.mean(spread) > 0.5  # most values lie between the ends of the int8 range


def test_random_network_is_reproducible():
    assert serialize_tflite(random_network(7)) == serialize_tflite(random_network(7))
    assert serialize_tflite(random_network(7)) != serialize_tflite(random_network(8))


def test_random_network_rejects_unknown_steps():
    with pytest.raises(ValueError, match=r"^Steps must be among conv, .*, not \{'convolution'\}$"):
        random_network(0, steps=("conv", "convolution"))


def test_single_rounding_differs_rarely():
    graph = random_network(3)
    inputs = random_inputs(graph, 3)
    double, single = run(graph, inputs), run(graph, inputs, rounding="single")
    first = graph.operators[0].outputs[0]
    assert np.abs(double[first].astype(int) - single[first]).max() <= 1
