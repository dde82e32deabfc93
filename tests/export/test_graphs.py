"""Tracing of modules to serialized graphs."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from vaedge_export import ExportError
from vaedge_export.examples import random_examples
from vaedge_export.graphs import IR_VERSION, OPSET, trace, with_fixed_batch
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.model.likelihoods import LIKELIHOODS


def run_graph(content, **inputs):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return dict(zip((output.name for output in session.get_outputs()), session.run(None, inputs), strict=True))


def trace_network(spec, index):
    network = spec.networks[index]
    return trace(network, network.inputs(random_examples(3, spec)), {"key": "value"})


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_decoder_of_every_likelihood_returns_its_mean_and_its_parameters(make_spec, name):
    config = TrainConfig(likelihood=name, hidden=(8,), latent=3, activation="gated")
    vae = build_vae(config, (1, 4, 4)).eval()
    content, _ = trace_network(make_spec(vae.encoder, vae.decoder, likelihood=name), 1)
    z = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32) * 3
    found = run_graph(content, z=z)
    parameters = vae.generative(torch.from_numpy(z))
    assert list(found) == ["x", *LIKELIHOODS[name].parameters]
    np.testing.assert_allclose(found.pop("x"), LIKELIHOODS[name].mean(*parameters).detach(), atol=1e-5)
    for array, expected in zip(found.values(), parameters, strict=True):
        np.testing.assert_allclose(array, expected.detach(), atol=1e-5)


def test_clamp_of_log_var_is_in_the_graph(vae, make_spec):
    with torch.no_grad():
        vae.encoder.output.bias[3:] = torch.tensor([-1e6, 0.0, 1e6])
    content, _ = trace_network(make_spec(vae.encoder, vae.decoder), 0)
    assert run_graph(content, x=np.zeros((1, 1, 4, 4), np.float32))["log_var"][0, [0, 2]].tolist() == [-30, 20]


@pytest.mark.parametrize("cpu_flushes", [False, True])
def test_denormal_weights_are_set_to_zero_and_counted(vae, make_spec, cpu_flushes):
    tiny = 0x00800000  # the bits of the smallest normal number
    bits = [1, tiny - 1, 0x80000001, tiny, 0x80000000 + tiny, 0, 0x80000000]
    weights = np.array(bits, np.uint32).view(np.float32)
    with torch.no_grad():
        vae.encoder.output.weight[0, :7] = torch.from_numpy(weights)
    torch.set_flush_denormal(cpu_flushes)
    try:
        content, flushed = trace_network(make_spec(vae.encoder, vae.decoder), 0)
    finally:
        torch.set_flush_denormal(False)
    graph = onnx.load_model_from_string(content).graph
    (weight,) = (onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name == "output.weight")
    assert (weight[0, :3] == 0).all()
    np.testing.assert_array_equal(weight[0, 3:7].view(np.uint32), bits[3:])
    assert flushed == 3


def test_graph_has_the_stated_versions_and_metadata(bundle):
    model = onnx.load(bundle / "encoder.onnx")
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET) == (10, 20)
    assert (model.producer_name, model.producer_version, model.doc_string) == ("vaedge", "", "")
    assert {entry.key: entry.value for entry in model.metadata_props}["graph"] == "encoder"
    assert model.graph.name == "encoder"
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_fixed_batch_size_changes_only_the_first_axis(bundle):
    content = (bundle / "encoder.onnx").read_bytes()
    fixed = with_fixed_batch(content, 5)
    x = np.random.default_rng(0).random((5, 1, 4, 4), np.float32)
    np.testing.assert_array_equal(run_graph(fixed, x=x)["mean"], run_graph(content, x=x)["mean"])
    shapes = [
        [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in onnx.load_model_from_string(fixed).graph.output
    ]
    assert shapes == [[5, 3], [5, 3]]


def test_module_that_torch_cannot_trace_is_refused_with_the_cause(vae, make_spec, wrap):
    untraceable = wrap(vae.encoder, lambda q: q if float(q[0].sum()) > 0 else q[::-1])
    with pytest.raises(ExportError, match=r"torch cannot export the encoder \(Wrapped\)") as caught:
        trace_network(make_spec(untraceable, vae.decoder), 0)
    assert caught.value.__cause__ is not None
