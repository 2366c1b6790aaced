"""Models whose tensors do not fit together are refused before anything relies on them."""

from dataclasses import replace

import numpy as np
import pytest

from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph, ModelError, Operator, Quantization, Tensor
from systolith_compiler.graph_check import check_operators
from systolith_compiler.tflite_options import default_options
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.operators import OPERATORS
from systolith_sim.models import MODEL_NAMES, model_path
from systolith_sim.random_networks import EXTRA_STEPS, STEPS, random_network
from systolith_spec.presets import preset


def network(kind, shapes, output, constants=(), dtype=np.int8, **options) -> Graph:
    """One operator with inputs of some shapes, or constants of integers."""
    tensors = [Tensor(i, f"t{i}", shape, np.dtype(np.int8), Quantization.per_tensor(0.1)) for i, shape in enumerate(shapes)]
    for values in constants:
        data = np.array(values, np.int32)
        tensors.append(Tensor(len(tensors), f"c{len(tensors)}", data.shape, np.dtype(np.int32), None, data))
    inputs = tuple(range(len(tensors)))
    tensors.append(Tensor(len(tensors), "out", output, np.dtype(dtype), Quantization.per_tensor(0.1)))
    operator = Operator(0, kind, inputs, (len(inputs),), {**default_options(kind), **options})
    return Graph("one", tensors, [operator], tuple(range(len(shapes))), (len(inputs),))


_CONV = {"padding": "VALID", "stride_h": 1, "stride_w": 1}
_IMAGE, _KERNEL = (1, 5, 6, 2), (3, 2, 2, 2)


@pytest.mark.parametrize("graph", [
    network("CONV_2D", [_IMAGE, _KERNEL, (3,)], (1, 4, 5, 3), **_CONV),
    network("CONV_2D", [_IMAGE, (4, 1, 1, 1)], (1, 5, 6, 4), **_CONV),  # grouped
    network("DEPTHWISE_CONV_2D", [_IMAGE, (1, 2, 2, 4)], (1, 4, 5, 4), **_CONV),
    network("FULLY_CONNECTED", [(2, 6), (3, 4)], (3, 3)),
    network("MEAN", [_IMAGE], (1, 2), [[1, -2]], keep_dims=False),
    network("MEAN", [_IMAGE], (1, 1, 1, 2), [[1, 2]], keep_dims=True),
    network("PAD", [(2, 3)], (3, 6), [[[0, 1], [2, 1]]]),
    network("TRANSPOSE", [(2, 3)], (3, 2), [[1, 0]]),
    network("CONCATENATION", [(2, 3), (2, 4)], (2, 7), axis=-1),
    network("STRIDED_SLICE", [(4, 6)], (2, 3), [[0, 0], [4, 6], [2, 2]]),
    network("GATHER", [(4, 6)], (4, 2), [[5, 0]], axis=1),
    network("SPACE_TO_BATCH_ND", [(1, 4, 5, 2)], (4, 2, 3, 2), [[2, 2], [[0, 0], [0, 1]]]),
    network("BATCH_TO_SPACE_ND", [(4, 2, 3, 2)], (1, 4, 5, 2), [[2, 2], [[0, 0], [0, 1]]]),
    network("ADD", [(1, 4, 4, 3), (3,)], (1, 4, 4, 3)),
    network("RESHAPE", [(2, 6)], (3, 4)),
])
def test_consistent(graph):
    check_operators(graph)


@pytest.mark.parametrize(("graph", "message"), [
    (network("CONV_2D", [_IMAGE, _KERNEL], (1, 5, 5, 3), **_CONV), r"its output must have shape \(1, 4, 5, 3\), not"),
    (network("CONV_2D", [_IMAGE, _KERNEL], (1, 4, 5, 3), **{**_CONV, "stride_h": 0}), "stride_h must be at least 1, not 0"),
    (network("CONV_2D", [_IMAGE, _KERNEL], (1, 4, 5, 3), **{**_CONV, "padding": "padding 7"}), "must be SAME or VALID"),
    (network("CONV_2D", [_IMAGE, (3, 9, 2, 2)], (1, 1, 5, 3), **_CONV), r"must fit into \(5, 6\)"),
    (network("CONV_2D", [_IMAGE, (3, 2, 2, 5)], (1, 4, 5, 3), **_CONV), "do not fit 2 channels"),
    (network("CONV_2D", [_IMAGE, _KERNEL, (4,)], (1, 4, 5, 3), **_CONV), "the bias must have 3 elements"),
    (network("CONV_2D", [(5, 6, 2), _KERNEL], (1, 4, 5, 3), **_CONV), "must have 4 dimensions"),
    (network("CONV_2D", [_IMAGE], (1, 4, 5, 3), **_CONV), "it must have 2 to 3 inputs, not 1"),
    (network("DEPTHWISE_CONV_2D", [_IMAGE, (2, 2, 2, 4)], (1, 4, 5, 4), **_CONV), "do not fit 2 channels"),
    (network("FULLY_CONNECTED", [(2, 5), (3, 4)], (3, 3)), "do not fit 10 inputs"),
    (network("FULLY_CONNECTED", [(1, 4), (3, 4)], (1, 3, 1)), "its output must end in 3 channels"),
    (network("MAX_POOL_2D", [_IMAGE], (1, 4, 5, 2), **_CONV, filter_h=0, filter_w=2), "filter_h must be at least 1"),
    (network("MEAN", [_IMAGE], (1, 2), [[1, 4]]), "axis 4 must be one of 4 dimensions"),
    (network("PAD", [(2, 3)], (3, 6), [[0, 1]]), "paddings"),
    (network("PAD", [(2, 3)], (3, 6), [[[0, -1], [0, 0]]]), "paddings"),
    (network("TRANSPOSE", [(2, 3)], (3, 2), [[1, 1]]), "permutation"),
    (network("CONCATENATION", [(2, 3), (3, 4)], (2, 7), axis=1), "do not fit together on axis 1"),
    (network("CONCATENATION", [(2, 3), (2, 4)], (2, 7), dtype=np.int32, axis=1), "must have one type"),
    (network("STRIDED_SLICE", [(4, 6)], (2, 3), [[0], [4], [0]]), "do not fit an input of shape|must have shape"),
    (network("GATHER", [(4, 6)], (4, 3), [[5, 0]], axis=1), r"must have shape \(4, 2\)"),
    (network("SPACE_TO_BATCH_ND", [(1, 4, 5, 2)], (4, 2, 2, 2), [[2, 2], [[0, 0], [0, 0]]]), "not divisible by the block"),
    (network("SPACE_TO_BATCH_ND", [(1, 4, 5, 2)], (4, 2, 2, 2), [[2, 0], [[0, 0], [0, 0]]]), "does not fit an input"),
    (network("BATCH_TO_SPACE_ND", [(3, 2, 3, 2)], (1, 4, 5, 2), [[2, 2], [[0, 0], [0, 1]]]), "a batch of 3 is not divis"),
    (network("BATCH_TO_SPACE_ND", [(4, 2, 3, 2)], (1, 4, 1, 2), [[2, 2], [[0, 0], [5, 5]]]), "leave nothing of shape"),
    (network("ADD", [(1, 4), (3,)], (1, 4)), r"shapes \(1, 4\) and \(3,\) do not fit together"),
    (network("RELU", [(1, 0)], (1, 0)), "must have 1 to 2147483648 elements"),
    (network("SOFTMAX", [(1, 3)], (3, 1)), r"its output must have shape \(1, 3\), not \(3, 1\)"),
])
def test_inconsistent(graph, message):
    with pytest.raises(ModelError, match=rf"^Operator 0 \({graph.operators[0].kind}\) is inconsistent: .*{message}"):
        compile_graph(graph, preset("tiny-4x4"))


def test_missing_inputs_and_outputs():
    graph = network("ADD", [(4,), (4,)], (4,))
    operator = graph.operators[0]
    for change, message in (({"inputs": (0, -1)}, "input 1 is missing"), ({"outputs": ()}, "it must have one output, not 0")):
        with pytest.raises(ModelError, match=message):
            check_operators(replace(graph, operators=[replace(operator, **change)]))


def test_scales_of_zero_and_types_without_numbers():
    graph = network("ADD", [(4,), (4,)], (4,))
    zero = replace(graph.tensors[1], quantization=Quantization.per_tensor(0.0))
    known = replace(zero, data=np.zeros(4, np.int8))
    for tensor, message in ((zero, "'t1' must have a scale above 0"), (known, "input 1 must")):
        with pytest.raises(ModelError, match=message):
            check_operators(replace(graph, tensors=[graph.tensors[0], tensor, graph.tensors[2]]))
    opaque = replace(graph.tensors[0], dtype=np.dtype("V1"), type_name="STRING", quantization=None)
    with pytest.raises(ModelError, match=r"^Tensor 0 \('t0'\) has a type that is not supported: STRING"):
        check_operators(replace(graph, tensors=[opaque, *graph.tensors[1:]]))


def test_factors_that_cannot_be_applied():
    graph = network("MEAN", [(1, 4, 4, 1)], (1, 1), [[1, 2]])
    graph.tensors[2] = replace(graph.tensors[2], quantization=Quantization.per_tensor(1e-12))
    with pytest.raises(ModelError, match=r"a requantisation factor of 2\*\*30 or more cannot be applied"):
        compile_graph(graph, preset("tiny-4x4"))


def test_every_operator_has_a_rule():
    for kind in OPERATORS:
        graph = network(kind, [], (4,))
        with pytest.raises(ModelError, match="is inconsistent"):
            check_operators(graph)


def test_layers_beyond_the_fields_of_commands():
    graph = network("CONV_2D", [(1, 3, 3, 1), (1, 2, 2, 1)], (1, 3, 3, 1), padding="SAME", stride_h=1, stride_w=1,
                    dilation_h=1 << 20)
    weights = np.ones((1, 2, 2, 1), np.int8)
    graph.tensors[1] = replace(graph.tensors[1], data=weights)
    with pytest.raises(ModelError, match="a layer is too large for the commands: Field"):
        compile_graph(replace(graph, inputs=(0,)), preset("tiny-4x4"))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_networks(name):
    path = model_path(name)
    if path is None:
        pytest.skip("the folder of real networks (SYSTOLITH_MODELS) is absent")
    check_operators(read_tflite(path))


def test_random_networks():
    for seed in range(60):
        check_operators(random_network(seed, steps=STEPS + EXTRA_STEPS))
