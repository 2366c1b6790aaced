"""Single operators of the tensor-level golden model: corner cases, errors, and the precision of multipliers."""

import numpy as np
import pytest

from systolith_compiler.graph import Graph, ModelError, Operator, Quantization, Tensor, UnsupportedError
from systolith_compiler.tflite_options import default_options
from systolith_golden.arithmetic import quantize_multiplier, requantize
from systolith_golden.interpreter import run, run_outputs
from systolith_golden.operators import macs
from systolith_golden.reference import TfliteMicro, count_mismatches
from systolith_sim.random_networks import NetworkBuilder, random_inputs
from systolith_sim.tflite_writer import serialize_tflite

pytest.importorskip(
    "tflite_micro", reason="the package tflite_micro, the independent reference, is not installed"
)


def check(graph, seed=0):
    """Compare every operator of a graph with TensorFlow Lite Micro; the number of compared values."""
    inputs = random_inputs(graph, seed)
    reference = TfliteMicro(serialize_tflite(graph), preserve_all=True).run_tensors(inputs)
    counts = count_mismatches(graph, reference)
    assert {graph.operators[i].kind: wrong for i, (wrong, _) in counts.items() if wrong} == {}
    return sum(size for _, size in counts.values())


def tensor(index, shape, scale=None, zero_point=0, data=None, dtype=np.int8):
    quantization = None if scale is None else Quantization.per_tensor(scale, zero_point)
    return Tensor(
        index,
        f"tensor_{index}",
        tuple(shape),
        np.dtype(dtype),
        quantization,
        data,
        np.dtype(dtype).name.upper(),
    )


def single(kind, *tensors, **options):
    """A graph of one operator: the last tensor is its output, tensors without data are inputs."""
    indices = tuple(t.index for t in tensors)
    operator = Operator(0, kind, indices[:-1], indices[-1:], {**default_options(kind), **options})
    inputs = tuple(t.index for t in tensors[:-1] if t.data is None)
    return Graph("single", list(tensors), [operator], inputs, indices[-1:])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3), (4, 2)])
@pytest.mark.parametrize(
    ("kernel", "dilation"), [((1, 1), (1, 1)), ((3, 3), (1, 1)), ((2, 5), (1, 1)), ((3, 2), (2, 3))]
)
def test_convolutions(kernel, dilation, stride, padding):
    net = NetworkBuilder(5, (1, 9, 11, 3))
    geometry = {"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding}
    net.conv(7, **geometry, activation="RELU6")
    net.conv(5, source=net.input, **geometry, per_channel=False, bias=False)
    net.depthwise(source=net.input, multiplier=3, **geometry, activation="RELU_N1_TO_1")
    net.depthwise(source=net.input, **geometry, per_channel=False, bias=False)
    assert check(net.graph()) > 0


def test_batches():
    net = NetworkBuilder(6, (3, 6, 5, 4))
    net.conv(6)
    net.depthwise()
    net.max_pool(padding="SAME", kernel=(3, 2))
    net.mean((1, 2))
    net.fully_connected(5)
    check(net.graph())


def test_same_padding_larger_than_the_image():
    net = NetworkBuilder(7, (1, 2, 3, 2))
    net.conv(4, kernel=(7, 6))
    net.average_pool(kernel=(5, 5), stride=(1, 1), padding="SAME")
    check(net.graph())


def test_long_reduction():
    net = NetworkBuilder(8, (1, 4000))
    net.fully_connected(3)
    check(net.graph())


def test_accumulators_wrap():
    bias = np.array([2**31 - 1, -(2**31), 2**30], np.int32)
    weights = np.array([[127, 127]] * 3, np.int8)
    graph = single(
        "FULLY_CONNECTED",
        tensor(0, (1, 2), 0.5, -128),
        tensor(1, (3, 2), 0.5, 0, weights),
        tensor(2, (3,), 0.25, 0, bias, np.int32),
        tensor(3, (1, 3), 2.0**22, 0),
    )
    inputs = [np.array([[127, 127]], np.int8)]
    outputs = run_outputs(graph, inputs)[0]
    np.testing.assert_array_equal(outputs, TfliteMicro(serialize_tflite(graph)).run(inputs)[0])
    assert outputs[0, 0] == -128  # 2**31 - 1 plus a positive sum wraps to the negative end


@pytest.mark.parametrize("axes", [(1,), (2,), (3,), (1, 2), (2, 1), (-1,), (1, 3), (0, 1, 2)])
@pytest.mark.parametrize("keep_dims", [False, True])
def test_mean_axes(axes, keep_dims):
    net = NetworkBuilder(9, (2, 5, 7, 3))
    net.mean(axes, keep_dims=keep_dims)
    check(net.graph())


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (6,), (1, 1, 1, 6), (5, 1), (1, 4, 1, 1), (1,)])
@pytest.mark.parametrize("kind", ["add", "subtract", "multiply"])
def test_broadcast(kind, shape):
    net = NetworkBuilder(10, (1, 4, 5, 6))
    constant = net.constant(shape)
    getattr(net, kind)(net.input, constant)
    getattr(net, kind)(constant, net.input, activation="RELU")
    check(net.graph())


def test_weights_that_are_activations():
    graph = single(
        "FULLY_CONNECTED", tensor(0, (4, 6), 0.1, 3), tensor(1, (5, 6), 0.2, -7), tensor(2, (4, 5), 0.9, 11)
    )
    check(graph)


def test_operand_of_four_rows_keeps_its_dimensions():
    net = NetworkBuilder(11, (2, 3, 4, 5))
    net.fully_connected(7, keep_num_dims=True, per_channel=True)
    assert net.shape(net.latest) == (2, 3, 4, 7)
    check(net.graph())


@pytest.mark.parametrize("seed", range(8))
def test_tables_and_softmax(seed):
    net = NetworkBuilder(seed, (1, 40))
    net.tanh()
    net.logistic(net.input)
    net.softmax(net.input, beta=(0.3, 1.0, 7.0)[seed % 3])
    check(net.graph(), seed)


def test_softmax_of_large_differences():
    graph = single("SOFTMAX", tensor(0, (5, 9), 2.5, 4), tensor(1, (5, 9), 1 / 256, -128), beta=1.0)
    check(graph)


@pytest.mark.parametrize("begin_mask", [0, 2])
def test_strided_slice_gather_pad_with_value(begin_mask):
    source = tensor(0, (1, 6, 7, 2), 0.1, 3)
    bounds = [
        tensor(i, (4,), None, 0, np.array(v, np.int32), np.int32)
        for i, v in ((1, (0, 1, 2, 0)), (2, (1, 6, -1, 2)), (3, (1, 2, 1, 1)))
    ]
    height = 3
    check(
        single("STRIDED_SLICE", source, *bounds, tensor(4, (1, height, 4, 2), 0.1, 3), begin_mask=begin_mask)
    )
    indices = tensor(1, (2, 2), None, 0, np.array([[3, 0], [5, 5]], np.int32), np.int32)
    check(single("GATHER", tensor(0, (6, 4), 0.1, 3), indices, tensor(2, (2, 2, 4), 0.1, 3)))
    margins = tensor(1, (4, 2), None, 0, np.array([(0, 0), (1, 2), (0, 1), (0, 0)], np.int32), np.int32)
    value = tensor(2, (1,), 0.1, 3, np.array([-77], np.int8))
    check(single("PADV2", source, margins, value, tensor(3, (1, 9, 8, 2), 0.1, 3)))


def test_space_to_batch_pads_with_the_zero_point():
    net = NetworkBuilder(12, (1, 5, 5, 1))
    net.dilated_conv(2)
    graph = net.graph()
    values = run(graph, [np.zeros((1, 5, 5, 1), np.int8)])
    blocks = values[graph.operators[0].outputs[0]]
    padded = np.pad(np.zeros((5, 5)), ((2, 3), (2, 3)), constant_values=graph.tensors[0].zero_point)
    np.testing.assert_array_equal(blocks[..., 0], [padded[i::2, j::2] for i in (0, 1) for j in (0, 1)])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_dilation_as_blocks_equals_dilation(depthwise, padding):
    net = NetworkBuilder(13, (1, 11, 8, 3))
    net.dilated_conv(5, dilation=(2, 3), padding=padding, depthwise=depthwise, activation="RELU")
    blocks = net.graph()
    product = blocks.operators[1]
    options = product.options | {"dilation_h": 2, "dilation_w": 3, "padding": padding}
    direct = Operator(0, product.kind, (0, *product.inputs[1:]), blocks.outputs, options)
    inputs = random_inputs(blocks, 13)
    output = Graph("direct", blocks.tensors, [direct], blocks.inputs, blocks.outputs)
    np.testing.assert_array_equal(run_outputs(blocks, inputs)[0], run_outputs(output, inputs)[0])


def test_quantize_from_and_to_float():
    net = single("QUANTIZE", tensor(0, (1, 500), dtype=np.float32), tensor(1, (1, 500), 0.013, 7))
    check(net)
    check(single("DEQUANTIZE", tensor(0, (1, 256), 0.013, 7), tensor(1, (1, 256), dtype=np.float32)))
    check(single("QUANTIZE", tensor(0, (1, 256), 0.013, 7, dtype=np.uint8), tensor(1, (1, 256), 0.013, -121)))


# Multipliers are computed in double precision: these inputs lie so close to a tie that float32 would show.


@pytest.mark.parametrize("kind", ["FULLY_CONNECTED", "CONV_2D"])
def test_multiplier_precision_of_products(kind):
    rng = np.random.default_rng(0)
    channels, found = 64, 0
    for _ in range(4):
        scale_in, scale_out = np.float32(rng.uniform(0.05, 0.1, 2))
        scale_weights = np.float32(rng.uniform(1e-6, 2e-6))  # accumulators near 2**27 resolve both products
        exact = float(scale_in) * float(scale_weights) / float(scale_out)
        coarse = float(np.float32(scale_in * scale_weights)) / float(scale_out)
        ties = rng.integers(-120, 120, (channels, 400)) + 0.5
        biases = np.round((ties / exact + ties / coarse) / 2).astype(np.int64)
        differs = requantize(biases, *quantize_multiplier(exact)) != requantize(
            biases, *quantize_multiplier(coarse)
        )
        bias = biases[np.arange(channels), differs.argmax(axis=1)]
        found += int(differs.any(axis=1).sum())
        shape = (1, 4) if kind == "FULLY_CONNECTED" else (1, 1, 1, 4)
        graph = single(
            kind,
            tensor(0, shape, scale_in),
            tensor(1, (channels, *shape[1:]), scale_weights, 0, np.ones((channels, *shape[1:]), np.int8)),
            tensor(2, (channels,), scale_in * scale_weights, 0, bias.astype(np.int32), np.int32),
            tensor(3, (*shape[:-1], channels), scale_out),
            **({} if kind == "FULLY_CONNECTED" else {"stride_h": 1, "stride_w": 1}),
        )
        inputs = [np.zeros(shape, np.int8)]
        got = run_outputs(graph, inputs)[0]
        np.testing.assert_array_equal(got, TfliteMicro(serialize_tflite(graph)).run(inputs)[0])
    assert found > 50


@pytest.mark.parametrize("kind", ["QUANTIZE", "RELU", "MUL"])
def test_multiplier_precision_of_elements(kind):
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(4000):
        code, other = (int(value) for value in rng.integers(1, 256, 2))
        factors = code * other if kind == "MUL" else code
        scale_1, scale_2 = (np.float32(value) for value in rng.uniform(0.01, 0.1, 2))
        product = float(scale_1) * float(scale_2) if kind == "MUL" else float(scale_1)
        scale_out = np.float32(product * factors / (int(rng.integers(0, 250)) + 0.5))
        exact = product / float(scale_out)
        coarse = np.float32(scale_1 * scale_2 if kind == "MUL" else scale_1) / scale_out
        values = [
            int(requantize(np.array([factors]), *quantize_multiplier(float(m)))[0]) for m in (exact, coarse)
        ]
        if values[0] == values[1] or values[0] > 255:
            continue
        found += 1
        operands = [tensor(0, (1, 1), scale_1, -128), tensor(1, (1, 1), scale_2, -128)][
            : 2 if kind == "MUL" else 1
        ]
        graph = single(kind, *operands, tensor(len(operands), (1, 1), scale_out, -128))
        inputs = [np.full((1, 1), value - 128, np.int8) for value in (code, other)][: len(operands)]
        got = run_outputs(graph, inputs)[0]
        assert got[0, 0] == TfliteMicro(serialize_tflite(graph)).run(inputs)[0][0, 0] == values[0] - 128
        if found == 15:
            break
    assert found == 15


# Errors


def float_graph():
    return single("RELU", tensor(0, (1, 4), dtype=np.float32), tensor(1, (1, 4), dtype=np.float32))


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (
            single("FLOOR_MOD", tensor(0, (1, 4), 0.1), tensor(1, (1, 4), 0.1)),
            "this operator is not implemented",
        ),
        (float_graph(), "'tensor_0' is FLOAT32, only INT8 is implemented"),
        (
            single("RELU", tensor(0, (1, 4), 0.1, dtype=np.int16), tensor(1, (1, 4), 0.1, dtype=np.int16)),
            "'tensor_0' is INT16, only INT8 is implemented",
        ),
        (single("RELU", tensor(0, (1, 4)), tensor(1, (1, 4), 0.1)), "'tensor_0' is INT8 but not quantised"),
        (
            single(
                "ADD",
                tensor(0, (1, 4), 0.1),
                tensor(1, (1, 4), 0.1),
                tensor(2, (1, 4), 0.1),
                activation="TANH",
            ),
            "the fused activation TANH is not implemented",
        ),
        (
            single("SOFTMAX", tensor(0, (1, 4), 0.1), tensor(1, (1, 4), 0.1), beta=1.0),
            "its output must have scale 0.00390625 and zero point -128, not 0.10000000149011612 and 0",
        ),
        (
            single(
                "TRANSPOSE", tensor(0, (2, 4), 0.1), tensor(1, (2,), dtype=np.int32), tensor(2, (4, 2), 0.1)
            ),
            "'tensor_1' must be a constant",
        ),
    ],
)
def test_unsupported(graph, reason):
    inputs = random_inputs(graph, 0)
    with pytest.raises(UnsupportedError) as caught:
        run(graph, inputs)
    kind = graph.operators[0].kind
    names = [graph.tensors[i].name for i in (*graph.operators[0].inputs, *graph.operators[0].outputs)]
    assert str(caught.value).startswith(f"Operator 0 ({kind}, inputs 'tensor_0'")
    assert str(caught.value).endswith(f"is not supported: {reason}")
    assert (caught.value.kind, caught.value.index, caught.value.reason) == (kind, 0, reason)
    assert caught.value.tensor_names == tuple(names)


def test_inconsistent_shapes():
    graph = single("ADD", tensor(0, (1, 4), 0.1), tensor(1, (1, 3), 0.1), tensor(2, (1, 4), 0.1))
    with pytest.raises(ModelError, match=r"^Operator 0 \(ADD\) is inconsistent: "):
        run(graph, random_inputs(graph, 0))
    graph = single("RESHAPE", tensor(0, (1, 4), 0.1), tensor(1, (1, 5), 0.1))
    with pytest.raises(ModelError, match=r"it computes shape \(1, 4\), but its output has shape \(1, 5\)$"):
        run(graph, random_inputs(graph, 0))


def test_wrong_inputs():
    graph = single("RELU", tensor(0, (1, 4), 0.1), tensor(1, (1, 4), 0.1))
    with pytest.raises(ValueError, match=r"^Inputs must be 1 arrays, not 0$"):
        run(graph, [])
    for array in (np.zeros((1, 5), np.int8), np.zeros((1, 4), np.int16)):
        with pytest.raises(ValueError, match=r"^Input 'tensor_0' must be int8 of shape \(1, 4\), not "):
            run(graph, [array])


def test_macs_by_hand():
    net = NetworkBuilder(0, (1, 8, 8, 4))
    net.conv(6, kernel=(3, 5), stride=(2, 2))
    net.depthwise(multiplier=2, kernel=(3, 3))
    net.max_pool()
    net.reshape((1, -1))
    net.fully_connected(10)
    graph = net.graph()
    counts = [macs(graph, operator) for operator in graph.operators]
    assert counts == [4 * 4 * 6 * 3 * 5 * 4, 4 * 4 * 12 * 3 * 3, 0, 0, 2 * 2 * 12 * 10]
