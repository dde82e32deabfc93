"""Graphs with invalid operators, inputs, outputs or shapes are refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vaedge_export import DeterminismError, PurityError, SignatureError
from vaedge_export.checks.graphs import check_purity, check_same_bytes, check_signature, has_convolutions

INPUTS = {"z": np.zeros((2, 3), np.float32), "y": np.zeros(2, np.int64)}
OUTPUTS = {"x": (3,), "logits": (3,)}


def tensor(name, shape=("batch", 3), element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, shape)


def graph(inputs=None, outputs=None, nodes=None, opset=20, ir_version=10, **fields):
    """Return a serialized decoder x = tanh(z), logits = -z, which ignores its condition y."""
    nodes = nodes or [helper.make_node("Tanh", ["z"], ["x"]), helper.make_node("Neg", ["z"], ["logits"])]
    inputs = inputs or [tensor("z"), tensor("y", ("batch",), TensorProto.INT64)]
    made = helper.make_graph(nodes, "decoder", inputs, outputs or [tensor("x"), tensor("logits")], **fields)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(made, opset_imports=opsets, ir_version=ir_version).SerializeToString()


def test_graph_of_the_expected_form_passes():
    check_signature(graph(), "decoder", INPUTS, OUTPUTS)
    check_purity(graph(), "decoder")
    check_purity(graph(ir_version=9), "decoder")


Y = tensor("y", ("batch",), TensorProto.INT64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": [tensor("z"), tensor("label", ("batch",), TensorProto.INT64)]}, r"inputs are \['z', 'label'\]"),
        ({"inputs": [Y, tensor("z")]}, r"inputs are \['y', 'z'\]; expected \['z', 'y'\]"),
        ({"outputs": [tensor("logits"), tensor("x")]}, r"outputs are \['logits', 'x'\]; expected \['x', 'logits'\]"),
        ({"inputs": [tensor("z"), tensor("y", ("batch",))]}, "decoder: y is float; expected int64"),
        ({"inputs": [tensor("z", element=TensorProto.DOUBLE), Y]}, "decoder: z is double; expected float32"),
        ({"inputs": [tensor("z", (2, 3)), Y]}, "the batch axis of z has the fixed size 2; expected a free size"),
        ({"outputs": [tensor("x", (1, 3)), tensor("logits")]}, "the batch axis of x has the fixed size 1"),
        ({"inputs": [tensor("z", ("batch", 4)), Y]}, r"an example of z has shape \(4,\); expected \(3,\)"),
        ({"inputs": [tensor("z", ("batch", "n")), Y]}, r"an example of z has shape \(None,\); expected \(3,\)"),
        ({"outputs": [tensor("x"), tensor("logits", ("batch", 3, 1))]}, r"logits has shape \(3, 1\)"),
    ],
)
def test_other_signature_is_refused(change, message):
    with pytest.raises(SignatureError, match=message):
        check_signature(graph(**change), "decoder", INPUTS, OUTPUTS)


def nodes(*names):
    return [helper.make_node(name, ["z"], ["x"]) for name in names[:1]] + [helper.make_node("Neg", ["z"], ["logits"])]


@pytest.mark.parametrize("operator", ["Bernoulli", "RandomNormalLike", "RandomUniformLike", "Dropout"])
def test_random_operators_are_refused(operator):
    with pytest.raises(PurityError, match=rf"decoder: the graph draws random numbers \({operator}\)"):
        check_purity(graph(nodes=nodes(operator)), "decoder")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opset": 21}, r"opsets are \{'': 21\} and IR version is 10; expected opset 20 and"),
        ({"opset": 19}, r"opsets are \{'': 19\}"),
        (
            {"ir_version": 11},
            r"opsets are \{'': 20\} and IR version is 11; expected opset 20 and an IR version of at most 10",
        ),
        ({"nodes": nodes("Unknown")}, "the graph is not valid ONNX"),
        ({"nodes": [helper.make_node("Neg", ["z"], ["logits"])]}, "the graph is not valid ONNX"),
    ],
)
def test_other_versions_and_invalid_graphs_are_refused(change, message):
    with pytest.raises(PurityError, match=f"decoder: {message}"):
        check_purity(graph(**change), "decoder")


def test_subgraphs_are_refused():
    branch = helper.make_graph([helper.make_node("Neg", ["z"], ["b"])], "branch", [], [tensor("b")])
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    conditional = helper.make_node("If", ["flag"], ["x"], then_branch=branch, else_branch=branch)
    content = graph(nodes=[conditional, *nodes("Neg")[1:]], initializer=[flag])
    with pytest.raises(PurityError, match=r"the graph contains a subgraph \(If\); remove the control flow"):
        check_purity(content, "decoder")


def test_metadata_of_nodes_is_refused():
    for field in ("doc_string", "metadata_props"):
        model = onnx.load_model_from_string(graph())
        if field == "doc_string":
            model.graph.node[1].doc_string = "File 'model.py', line 3"
        else:
            model.graph.node[1].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="model.py")
        with pytest.raises(PurityError, match="contains metadata of the machine that traced the graph"):
            check_purity(model.SerializeToString(), "decoder")


def test_weights_outside_of_the_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(12))
    weight = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    added = helper.make_node("Add", ["z", "w"], ["x"])
    with pytest.raises(PurityError, match="weights are stored outside the file|the graph is not valid ONNX"):
        check_purity(graph(nodes=[added, *nodes("Neg")[1:]], initializer=[weight]), "decoder")


def test_sparse_tensors_are_refused():
    model = onnx.load_model_from_string(graph())
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("w_indices", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    with pytest.raises(PurityError, match="the graph contains local functions or sparse tensors"):
        check_purity(model.SerializeToString(), "decoder")


def test_operators_of_onnx_runtime_are_allowed_only_in_variants():
    model = onnx.load_model_from_string(graph())
    model.graph.node[0].domain = "com.microsoft"
    model.graph.node[0].op_type = "QuickGelu"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(PurityError, match="opsets"):
        check_purity(model.SerializeToString(), "decoder")
    with pytest.raises(PurityError, match="QuickGelu"):  # the runtime refuses unknown operators
        check_purity(model.SerializeToString(), "decoder", contrib=True)


def test_two_different_traces_are_refused():
    check_same_bytes("encoder", b"same", b"same")
    with pytest.raises(DeterminismError, match="encoder: tracing the module twice gave two different graphs"):
        check_same_bytes("encoder", b"same", b"other")


def test_convolutions_are_found(bundle):
    assert not has_convolutions((bundle / "encoder.onnx").read_bytes())
    convolution = helper.make_node("ConvTranspose", ["z", "w"], ["x"])
    assert has_convolutions(graph(nodes=[convolution, *nodes("Neg")[1:]]))
