"""The model repository for the Triton inference server."""

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import vaedge
from vaedge.cli.main import main
from vaedge_export import ExportError, export_vae, write_triton
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    vae = build_vae(TrainConfig(hidden=(8,), latent=3, condition="label"), (1, 4, 4), 2).eval()
    conditions = {"y": vaedge.Condition("int64", (), ("even", "odd"))}
    out = tmp_path_factory.mktemp("models") / "digits"
    shapes = {"input_shape": (1, 4, 4), "latent_shape": (3,)}
    return export_vae(vae.encoder, vae.decoder, out, **shapes, conditions=conditions)


def test_triton_parses_the_model_repository(conditional, tmp_path):
    repository = tmp_path / "repository"
    write_triton(conditional, repository)
    configs = {}
    for folder in repository.iterdir():
        text = (folder / "config.pbtxt").read_text()
        configs[folder.name] = text_format.Parse(text, model_config_pb2.ModelConfig())
        assert configs[folder.name].name == folder.name
        assert configs[folder.name].max_batch_size == 512
        assert (folder / "1").is_dir()
    assert set(configs) == {"digits_encoder", "digits_decoder", "digits_reconstruct"}
    types = {onnx.TensorProto.FLOAT: model_config_pb2.TYPE_FP32, onnx.TensorProto.INT64: model_config_pb2.TYPE_INT64}
    for part in ("encoder", "decoder"):
        config = configs[f"digits_{part}"]
        assert config.backend == "onnxruntime"
        graph = onnx.load(repository / f"digits_{part}" / "1" / "model.onnx").graph
        for declared, real in ((config.input, graph.input), (config.output, graph.output)):
            assert [tensor.name for tensor in declared] == [value.name for value in real]
            for tensor, value in zip(declared, real, strict=True):
                shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:]
                assert list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims) == shape
                assert tensor.data_type == types[value.type.tensor_type.elem_type]
    steps = configs["digits_reconstruct"].ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["digits_encoder", "digits_decoder"]
    assert steps[0].output_map["mean"] == steps[1].input_map["z"]
    assert steps[1].output_map["x"] == configs["digits_reconstruct"].output[0].name
    for step in steps:
        assert step.input_map["y"] == "y"
        assert set(step.input_map) == {tensor.name for tensor in configs[step.model_name].input}


def test_existing_repository_is_not_changed(conditional, tmp_path):
    (tmp_path / "repository").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        write_triton(conditional, tmp_path / "repository")
    words = ["export", "runs/any", "--out", str(tmp_path / "other"), "--triton", str(tmp_path / "repository")]
    assert main(words) == 1
    assert not (tmp_path / "other").exists()


def test_missing_bundle_is_a_bundle_error(tmp_path):
    with pytest.raises(vaedge.BundleNotFoundError):
        write_triton(tmp_path / "missing", tmp_path / "repository")
