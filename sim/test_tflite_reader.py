"""The model reader: real files, written files, and files that are not models, truncated or damaged."""

from dataclasses import replace

import numpy as np
import pytest
import tflite

from systolith_compiler.graph import Graph, ModelError, Operator, Quantization, Tensor, UnsupportedError
from systolith_compiler.tflite_options import default_options
from systolith_compiler.tflite_reader import parse_tflite, read_tflite
from systolith_sim.models import MODEL_NAMES, model_path
from systolith_sim.random_networks import EXTRA_STEPS, STEPS, NetworkBuilder, random_network
from systolith_sim.tflite_writer import serialize_tflite, write_tflite


def assert_same(first, second):
    assert (first.inputs, first.outputs) == (second.inputs, second.outputs)
    assert len(first.tensors) == len(second.tensors) > 0
    for a, b in zip(first.tensors, second.tensors, strict=True):
        assert (a.index, a.name, a.shape, a.dtype) == (b.index, b.name, b.shape, b.dtype)
        assert (a.data is None) == (b.data is None)
        assert a.data is None or np.array_equal(a.data, b.data)
        assert (a.quantization is None) == (b.quantization is None)
        if a.quantization is not None:
            np.testing.assert_array_equal(a.quantization.scales, b.quantization.scales)
            np.testing.assert_array_equal(a.quantization.zero_points, b.quantization.zero_points)
            assert a.quantization.axis == b.quantization.axis
    assert len(first.operators) == len(second.operators) > 0
    for a, b in zip(first.operators, second.operators, strict=True):
        assert (a.index, a.kind, a.inputs, a.outputs, a.options) == (
            b.index,
            b.kind,
            b.inputs,
            b.outputs,
            b.options,
        )


def small_network():
    net = NetworkBuilder(1, (1, 6, 6, 2), "small")
    net.conv(4, activation="RELU6", stride=(2, 1))
    net.average_pool(padding="SAME")
    net.reshape((1, -1))
    net.fully_connected(3)
    return net.graph()


def kinds(graph):
    return [operator.kind for operator in graph.operators]


# Reading what is written


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("form", [{}, {"external_buffers": True}, {"omit_zero_points": True}])
def test_round_trip(seed, form):
    graph = random_network(seed, steps=STEPS + EXTRA_STEPS)
    assert_same(parse_tflite(serialize_tflite(graph, **form)), graph)


def test_file(tmp_path):
    path = tmp_path / "small.tflite"
    write_tflite(small_network(), path)
    graph = read_tflite(path)
    assert graph.name == "small"
    assert_same(graph, small_network())
    assert graph.tensors[0].type_name == "INT8"
    constants = [tensor for tensor in graph.tensors if tensor.constant]
    assert constants
    assert not any(tensor.data.flags.writeable for tensor in constants)


def test_options():
    conv, pool, reshape, dense = small_network().operators
    graph = parse_tflite(serialize_tflite(small_network()))
    assert kinds(graph) == ["CONV_2D", "AVERAGE_POOL_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert graph.operators[0].options == conv.options | {"stride_h": 2, "stride_w": 1, "activation": "RELU6"}
    assert graph.operators[1].options == pool.options | {"padding": "SAME", "filter_h": 2, "filter_w": 2}
    assert graph.operators[2].options == {"new_shape": reshape.options["new_shape"]}
    assert graph.operators[3].options == {"activation": "NONE", "keep_num_dims": False, "weights_format": 0}
    assert dense.options == graph.operators[3].options


def test_graph_helpers():
    graph = small_network()
    conv, pool, *_ = graph.operators
    assert graph.producer(graph.inputs[0]) is None
    assert graph.producer(conv.outputs[0]) is conv
    assert graph.consumers(conv.outputs[0]) == [pool]
    assert graph.input_tensor(conv, 0) is graph.tensors[graph.inputs[0]]
    assert graph.input_tensor(conv, 3) is None
    assert graph.output_tensor(pool).shape == (1, 2, 3, 4)
    assert graph.tensors[conv.inputs[1]].quantization.per_channel
    error = UnsupportedError(graph, pool, "for no reason")
    assert (error.kind, error.index, error.reason) == ("AVERAGE_POOL_2D", 1, "for no reason")
    assert str(error) == (
        "Operator 1 (AVERAGE_POOL_2D, inputs 'conv_2d_3', outputs 'average_pool_2d_4') is not supported: for no reason"
    )


def test_unquantised_tensor():
    tensor = Tensor(0, "x", (1,), np.dtype(np.float32), type_name="FLOAT32")
    with pytest.raises(ModelError, match=r"^Tensor 0 \('x', FLOAT32\) is not quantised$"):
        _ = tensor.scale


# Real files


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_real_file(name):
    path = model_path(name)
    if path is None:
        pytest.skip("the folder of real networks (SYSTOLITH_MODELS) is absent")
    graph = read_tflite(path)
    assert graph.name == name
    assert_same(parse_tflite(serialize_tflite(graph)), graph)


def test_operator_code_that_only_the_new_field_holds():
    path = model_path("kwt1_core_int8")
    if path is None:
        pytest.skip("the folder of real networks (SYSTOLITH_MODELS) is absent")
    graph = read_tflite(path)
    assert graph.operators[2].kind == "QUANTIZE"
    assert kinds(graph).count("ADD") == 97


# Traps of real exporters


def index_tensor(index, name, values):
    data = None if values is None else np.array(values, np.int32)
    shape = (4,) if data is None else data.shape
    return Tensor(index, name, shape, np.dtype(np.int32), None, data, "INT32")


def test_shape_arithmetic_of_keras_is_folded():
    quantization = Quantization.per_tensor(0.1, 3)
    tensors = [
        Tensor(0, "image", (1, 3, 4, 2), np.dtype(np.int8), quantization),
        replace(index_tensor(1, "shape", None), shape=(4,)),
        index_tensor(2, "begin", [0]),
        index_tensor(3, "end", [1]),
        index_tensor(4, "stride", [1]),
        replace(index_tensor(5, "batch", None), shape=()),
        index_tensor(6, "features", 24),
        replace(index_tensor(7, "new_shape", None), shape=(2,)),
        Tensor(8, "flat", (1, 24), np.dtype(np.int8), quantization),
    ]
    operators = [
        Operator(0, "SHAPE", (0,), (1,)),
        Operator(1, "STRIDED_SLICE", (1, 2, 3, 4), (5,), {"shrink_axis_mask": 1}),
        Operator(2, "PACK", (5, 6), (7,), {"values_count": 2, "axis": 0}),
        Operator(3, "RESHAPE", (0, 7), (8,)),
    ]
    graph = parse_tflite(serialize_tflite(Graph("keras", tensors, operators, (0,), (8,))))
    assert kinds(graph) == ["RESHAPE"]
    assert graph.operators[0].index == 3
    assert graph.tensors[7].data.tolist() == [1, 24]


def test_free_batch_is_one():
    graph = small_network()
    image = graph.tensors[0]
    graph.tensors[0] = replace(image, shape=(-1, *image.shape[1:]))
    assert parse_tflite(serialize_tflite(graph)).tensors[0].shape == image.shape


def test_free_size_is_rejected():
    graph = small_network()
    graph.tensors[0] = replace(graph.tensors[0], shape=(1, -1, 6, 2))
    message = r"^model: tensor 0 \('input_0'\) has a shape that is not fixed or not valid: \[1, -1, 6, 2\]$"
    with pytest.raises(ModelError, match=message):
        parse_tflite(serialize_tflite(graph))


def test_operator_with_options_of_no_known_kind():
    tensors = [Tensor(i, f"t{i}", (1, 4), np.dtype(np.int8), Quantization.per_tensor(0.1)) for i in (0, 1)]
    graph = Graph("odd", tensors, [Operator(0, "HARD_SWISH", (0,), (1,))], (0,), (1,))
    assert parse_tflite(serialize_tflite(graph)).operators[0].options == {}
    assert default_options("CONV_2D")["dilation_h"] == 1
    assert default_options("NO_SUCH_KIND") == {}


# Files that cannot be read


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "the file is empty"),
        (b"PK", "not a TensorFlow Lite model (the identifier 'TFL3' is missing)"),
        (b"\x89PNG\r\n\x1a\n" * 100, "not a TensorFlow Lite model (the identifier 'TFL3' is missing)"),
        (b"\x10\0\0\0TFL3", "the file is truncated or damaged ("),
        (b"\xff\xff\xff\x7fTFL3" + bytes(100), "the file is truncated or damaged ("),
    ],
)
def test_not_a_model(tmp_path, contents, message):
    path = tmp_path / "x.tflite"
    path.write_bytes(contents)
    with pytest.raises(ModelError) as caught:
        read_tflite(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"absent\.tflite: cannot be read: No such file or directory$"):
        read_tflite(tmp_path / "absent.tflite")
    with pytest.raises(ModelError, match=r": cannot be read: Is a directory$"):
        read_tflite(tmp_path)


def test_truncated():
    contents = serialize_tflite(small_network())
    for length in range(0, len(contents) - 1, 7):
        with pytest.raises(ModelError) as caught:
            parse_tflite(contents[:length])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(8))
def test_damaged(seed):
    """Random bytes anywhere: a clear error or some consistent graph, never another exception."""
    rng = np.random.default_rng(seed)
    good = serialize_tflite(small_network())
    refused = 0
    for _ in range(150):
        contents = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            contents[rng.integers(8, len(contents))] = rng.integers(256)
        try:
            parse_tflite(bytes(contents))
        except ModelError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10


def test_two_subgraphs(monkeypatch):
    contents = serialize_tflite(small_network())
    monkeypatch.setattr(tflite.Model, "SubgraphsLength", lambda self: 2)
    with pytest.raises(ModelError, match=r"^model: the model must have exactly one subgraph, not 2$"):
        parse_tflite(contents)


def broken(change):
    graph = small_network()
    operators = list(graph.operators)
    return change(graph, operators) or replace(graph, operators=operators)


def swap(graph, operators):
    operators[0], operators[1] = operators[1], operators[0]


def repeat(graph, operators):
    operators.append(operators[0])


def forget(graph, operators):
    operators.pop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            swap,
            r"^model: operator 0 \(AVERAGE_POOL_2D\) reads tensor 3 \('conv_2d_3'\) before it is written$",
        ),
        (repeat, r"^model: operator 4 \(CONV_2D\) writes tensor 3 \('conv_2d_3'\) a second time$"),
        (forget, r"^model: output tensor 9 \('fully_connected_9'\) is never written$"),
        (lambda graph, _: replace(graph, outputs=()), r"^model: the model has no inputs or no outputs$"),
        (
            lambda graph, _: replace(graph, outputs=(99,)),
            r"^model: the model's inputs and outputs refer to tensor 99",
        ),
    ],
)
def test_inconsistent(change, message):
    with pytest.raises(ModelError, match=message):
        parse_tflite(serialize_tflite(broken(change)))


def test_constant_of_the_wrong_size():
    graph = small_network()
    weights = graph.tensors[1]
    graph.tensors[1] = replace(weights, data=weights.data.reshape(-1)[:-1])
    with pytest.raises(
        ModelError, match=r"^model: tensor 1 \('weights_1'\) has 71 bytes of data, its shape needs 72$"
    ):
        parse_tflite(serialize_tflite(graph))


def test_scales_that_do_not_fit_the_shape():
    graph = small_network()
    weights = graph.tensors[1]
    quantization = Quantization(np.ones(3, np.float32), np.zeros(3, np.int64), 0)
    graph.tensors[1] = replace(weights, quantization=quantization)
    with pytest.raises(
        ModelError, match=r"has 3 scales and 3 zero points for axis 0 of shape \(4, 3, 3, 2\)$"
    ):
        parse_tflite(serialize_tflite(graph))
    quantization = Quantization(np.full(1, np.nan, np.float32), np.zeros(1, np.int64), 0)
    graph.tensors[1] = replace(weights, quantization=quantization)
    with pytest.raises(ModelError, match=r"has a scale that is negative or not finite$"):
        parse_tflite(serialize_tflite(graph))
