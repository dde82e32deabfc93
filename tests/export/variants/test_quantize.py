"""The operators of quantized graphs, and their agreement with float32."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vaedge_export.examples import random_examples
from vaedge_export.graphs import serialize, trace
from vaedge_export.variants import quantize
from vaedge_export.variants.quantize import QUANTIZERS, layers, outlier_factors, to_fp16, to_int4, to_int8
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae


def run_graph(model, **inputs):
    """Run a graph with exact 8-bit products. Some CPUs saturate these products by default."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(serialize(model, "graph", {}), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def operators(model):
    return {node.op_type for node in model.graph.node}


def perceptron(a, b):
    """Return the serialized graph of x -> relu(x a) b."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "b"], ["y"], name="second"),
    ]
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("x", a.shape[0]), ("y", b.shape[1]))
    ]
    weights = [numpy_helper.from_array(array, name) for array, name in ((a, "a"), (b, "b"))]
    graph = helper.make_graph(nodes, "graph", tensors[:1], tensors[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((64, 96)).astype(np.float32), rng.standard_normal((96, 64)).astype(np.float32)
    a[:, :4] *= 50  # four outlier channels
    return a, b


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).standard_normal((40, 64)).astype(np.float32)


def relative_error(found, expected):
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.mark.parametrize(("name", "limit"), [("fp16", 1e-3), ("int8", 0.02), ("int4", 0.2)])
def test_quantized_graph_is_close_to_float32(weights, x, name, limit):
    a, b = weights
    model = QUANTIZERS[name].quantize(perceptron(a, b), {"x": x}, [])
    assert 0 < relative_error(run_graph(model, x=x), np.maximum(x @ a, 0) @ b) < limit


def test_int8_weights_are_signed_with_one_scale_per_channel(weights, x):
    model = to_int8(perceptron(*weights), {"x": x}, [])
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    assert tensors["a_quantized"].data_type == TensorProto.INT8
    assert [tuple(tensors[f"{name}_scale"].dims) for name in "ab"] == [(96,), (64,)]


def test_only_layers_that_are_not_kept_are_quantized(weights, x):
    content = perceptron(*weights)
    for convert, operator in ((to_int8, "MatMulInteger"), (to_int4, "MatMulNBits")):
        model = convert(content, {"x": x}, ["second"])
        assert {"MatMul", operator} <= operators(model)
        assert operators(convert(content, {"x": x}, [])).isdisjoint({"MatMul"})


def test_registry_says_which_variants_can_keep_layers():
    assert {name: entry.can_keep_layers for name, entry in QUANTIZERS.items()} == {
        "fp16": False,
        "int8": True,
        "int4": True,
    }


def test_half_precision_keeps_float32_inputs_and_outputs(weights):
    model = to_fp16(perceptron(*weights), {}, [])
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {1}
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}


def test_scaling_outliers_down_makes_int8_more_precise(weights, x, monkeypatch):
    a, b = weights
    expected = np.maximum(x @ a, 0) @ (b * np.r_[np.full(4, 0.02), np.ones(92)][:, None].astype(np.float32))
    content = perceptron(a, (b * np.r_[np.full(4, 0.02), np.ones(92)][:, None]).astype(np.float32))
    scaled = to_int8(content, {"x": x}, [])
    assert "second_scaled" in {node.name for node in scaled.graph.node}
    assert "first_scaled" not in {node.name for node in scaled.graph.node}
    monkeypatch.setattr(quantize, "_scale_outliers_down", lambda model, inputs, keep: model)
    plain = to_int8(content, {"x": x}, [])
    errors = [relative_error(run_graph(model, x=x), expected) for model in (scaled, plain)]
    assert errors[0] < 0.3 * errors[1]


def test_scaling_outliers_down_does_not_change_the_outputs_in_float32(weights, x):
    a, b = weights
    scaled = quantize._scale_outliers_down(onnx.load_from_string(perceptron(a, b)), {"x": x}, [])
    assert "second_scaled" in {node.name for node in scaled.graph.node}
    assert relative_error(run_graph(scaled, x=x), np.maximum(x @ a, 0) @ b) < 1e-5


def test_kept_layers_are_not_scaled(weights, x):
    model = to_int8(perceptron(*weights), {"x": x}, ["second"])
    assert not any("scaled" in node.name for node in model.graph.node)


def test_outliers_are_scaled_to_the_90th_percentile_of_the_channels():
    activations = np.array([[1, -2, 3, 0, 5, 6, 7, 8, 9, 10, -22], [0] * 10 + [1]], np.float32)
    factors = outlier_factors(activations)  # the 90th percentile of 11 values is the tenth value
    assert factors.dtype == np.float32
    np.testing.assert_allclose(factors, [1] * 10 + [2.2])
    np.testing.assert_array_equal(outlier_factors(np.zeros((3, 4), np.float32)), np.ones(4))
    single = np.zeros((3, 20), np.float32)
    single[0, 0] = 7
    np.testing.assert_array_equal(outlier_factors(single), np.ones(20))


def gemm(**attributes):
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], name="layer", **attributes)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    rng = np.random.default_rng(0)
    w, c = rng.standard_normal((4, 4)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    initializers = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(c, "c")]
    graph = helper.make_graph([node], "graph", tensors[:1], tensors[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), w, c


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}])
def test_plain_gemm_becomes_matmul_and_add(attributes):
    model, w, c = gemm(**attributes)
    x = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    replaced = quantize._with_matmuls(model)
    assert operators(replaced) == {"MatMul", "Add"}
    np.testing.assert_allclose(run_graph(replaced, x=x), x @ (w.T if attributes else w) + c, rtol=1e-5)
    assert layers(gemm(**attributes)[0].SerializeToString()) == {"layer": 16}


@pytest.mark.parametrize("attributes", [{"alpha": 2.0}, {"beta": 0.5}, {"transA": 1}])
def test_other_gemm_stays_as_it_is(attributes):
    assert operators(quantize._with_matmuls(gemm(**attributes)[0])) == {"Gemm"}


def test_layers_are_counted_by_their_weights(weights):
    assert layers(perceptron(*weights)) == {"first": 64 * 96, "second": 96 * 64}


def test_convolutions_are_quantized_statically(make_spec):
    vae = build_vae(TrainConfig(network="conv", channels=8, latent=4), (1, 16, 16)).eval()
    network = make_spec(vae.encoder, vae.decoder, input_shape=(1, 16, 16), latent_shape=(4,)).networks[0]
    examples = random_examples(70, make_spec(vae.encoder, vae.decoder, input_shape=(1, 16, 16), latent_shape=(4,)))
    content, _ = trace(network, network.inputs(examples), {})
    batches = []
    reader = quantize._calibration_reader(network.inputs(examples))
    while (batch := reader.get_next()) is not None:
        batches.append(len(batch["x"]))
    assert batches == [32, 32, 6]
    model = to_int8(content, network.inputs(examples), [])
    assert "QuantizeLinear" in operators(model)
    assert "ConvInteger" not in operators(model)
    scales = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer if tensor.name.endswith("_scale")}
    assert (8,) in scales.values()  # one scale for each channel of a weight
    expected = network.compute(network.inputs(examples))["mean"]
    assert np.abs(run_graph(model, x=examples.x) - expected).max() < 0.1 * np.abs(expected).max()
