"""Beyond ONNX Runtime in Python: fixed batches, Triton's model repository."""

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx.reference import ReferenceEvaluator
from tritonclient.grpc import model_config_pb2

import vaedge
from vaedge.cli.main import main
from vaedge_export import ExportError, export_run
from vaedge_export.triton import write_triton
from vaedge_train import TrainConfig, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = TrainConfig(hidden=(8,), latent=3, epochs=1, condition="label")
    return train(config, tmp_path_factory.mktemp("runs") / "run", progress=False)


def test_a_copy_with_a_fixed_batch(run, tmp_path):
    bundle = export_run(run.path, tmp_path / "b", fixed_batch=4)
    z, y = np.random.default_rng(0).standard_normal((4, 3), np.float32), np.arange(4)
    model = onnx.load(bundle / "decoder.batch4.onnx")
    onnx.checker.check_model(model, full_check=True)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_value == 4
    (found,) = ReferenceEvaluator(model).run(["x"], {"z": z, "y": y})
    np.testing.assert_allclose(found, vaedge.load(bundle).decode(z, y=y), atol=1e-5)
    assert "| fp32, fixed batch | `decoder.batch4.onnx` |" in (bundle / "README.md").read_text()
    assert vaedge.check(bundle).passed
    with pytest.raises(ExportError, match="fixed_batch is 0"):
        export_run(run.path, tmp_path / "c", fixed_batch=0)


def test_triton_reads_the_model_repository(run, tmp_path):
    bundle, repository = tmp_path / "told", tmp_path / "repository"
    assert main(["export", str(run.path), "--out", str(bundle), "--triton", str(repository)]) == 0
    configs = {}
    for folder in repository.iterdir():
        text = (folder / "config.pbtxt").read_text()
        configs[folder.name] = text_format.Parse(text, model_config_pb2.ModelConfig())
        assert configs[folder.name].name == folder.name
        assert (folder / "1").is_dir()
    assert set(configs) == {"told_encoder", "told_decoder", "told_reconstruct"}
    types = {onnx.TensorProto.FLOAT: model_config_pb2.TYPE_FP32, onnx.TensorProto.INT64: model_config_pb2.TYPE_INT64}
    for part in ("encoder", "decoder"):
        config = configs[f"told_{part}"]
        assert config.backend == "onnxruntime"
        assert config.max_batch_size > 0
        graph = onnx.load(repository / f"told_{part}" / "1" / "model.onnx").graph
        for declared, real in ((config.input, graph.input), (config.output, graph.output)):
            assert [tensor.name for tensor in declared] == [value.name for value in real]
            for tensor, value in zip(declared, real, strict=True):
                item = [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:]
                assert list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims) == item
                assert tensor.data_type == types[value.type.tensor_type.elem_type]
    steps = configs["told_reconstruct"].ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["told_encoder", "told_decoder"]
    assert steps[0].output_map["mean"] == steps[1].input_map["z"]
    assert steps[1].output_map["x"] == configs["told_reconstruct"].output[0].name
    for step in steps:
        assert step.input_map["y"] == "y"
        needed = {tensor.name for tensor in configs[step.model_name].input}
        assert set(step.input_map) == needed


def test_a_repository_that_exists_is_left_alone(run, tmp_path):
    (tmp_path / "repository").mkdir()
    bundle = export_run(run.path, tmp_path / "told")
    with pytest.raises(ExportError, match="exists already"):
        write_triton(bundle, tmp_path / "repository")
    words = ["export", str(run.path), "--out", str(tmp_path / "other"), "--triton", str(tmp_path / "repository")]
    assert main(words) == 1
    assert not (tmp_path / "other").exists()
