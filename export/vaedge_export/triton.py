"""Write a bundle as a model repository of the Triton inference server.

DIR/NAME_encoder/{config.pbtxt,1/model.onnx}    x -> mean, log_var
DIR/NAME_decoder/{config.pbtxt,1/model.onnx}    z -> x, and the parameters of p(x|z)
DIR/NAME_reconstruct/{config.pbtxt,1/}          the encoder, then the decoder: x -> the reconstruction from the mean
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vaedge import Manifest
from vaedge.bundle.reader import read_bundle
from vaedge_export.folder import new_folder

_MAX_BATCH_SIZE = 512
_TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}


class _Tensor(NamedTuple):
    """A tensor as the manifest describes it. `shape` is the shape of one example."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def write_triton(bundle: str | os.PathLike[str], directory: str | os.PathLike[str]) -> None:
    """Write the float32 graphs of a bundle as a model repository of Triton.

    Args:
        bundle: The bundle's folder.
        directory: The folder of the model repository, which must not exist.

    Raises:
        vaedge.BundleError: The bundle is missing or damaged.
        ExportError: The folder of the model repository exists, or cannot be written.
    """
    read = read_bundle(bundle)
    manifest = read.manifest
    x = _Tensor("x", "float32", manifest.input_shape)
    latents = [_Tensor(name, "float32", manifest.latent_shape) for name in ("z", "mean", "log_var")]
    parameters = [_Tensor(name, "float32", manifest.input_shape) for name in manifest.parameters]
    conditions = _conditions(manifest)
    parts = {
        "encoder": (read.encoder, [x, *conditions], latents[1:]),
        "decoder": (read.decoder, [latents[0], *conditions], [x, *parameters]),
    }
    with new_folder(Path(directory)) as folder:
        for part, (graph, inputs, outputs) in parts.items():
            version = folder / f"{manifest.name}_{part}" / "1"
            version.mkdir(parents=True)
            (version / "model.onnx").write_bytes(graph)
            config = [f'name: "{manifest.name}_{part}"', 'backend: "onnxruntime"', *_tensors(inputs, outputs)]
            config += ["dynamic_batching { max_queue_delay_microseconds: 100 }"]
            (version.parent / "config.pbtxt").write_text("\n".join(config) + "\n", "utf-8")
        ensemble = folder / f"{manifest.name}_reconstruct"
        (ensemble / "1").mkdir(parents=True)
        (ensemble / "config.pbtxt").write_text(_ensemble(manifest), "utf-8")


def _conditions(manifest: Manifest) -> list[_Tensor]:
    return [_Tensor(name, condition.dtype, condition.shape) for name, condition in manifest.conditions.items()]


def _ensemble(manifest: Manifest) -> str:
    """Return the Triton configuration of `NAME_reconstruct`, which runs the encoder and then the decoder."""
    name, conditions = manifest.name, _conditions(manifest)
    inputs = [_Tensor("x", "float32", manifest.input_shape), *conditions]
    outputs = [_Tensor("reconstruction", "float32", manifest.input_shape)]
    same = {condition.name: condition.name for condition in conditions}
    lines = [f'name: "{name}_reconstruct"', 'platform: "ensemble"', *_tensors(inputs, outputs)]
    lines += ["ensemble_scheduling {"]
    lines += _step(f"{name}_encoder", {"x": "x", **same}, {"mean": "mean"})
    lines += _step(f"{name}_decoder", {"z": "mean", **same}, {"x": "reconstruction"})
    return "\n".join([*lines, "}"]) + "\n"


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    maps = [f'    input_map {{ key: "{key}" value: "{value}" }}' for key, value in inputs.items()]
    maps += [f'    output_map {{ key: "{key}" value: "{value}" }}' for key, value in outputs.items()]
    return ["  step {", f'    model_name: "{model}"', "    model_version: -1", *maps, "  }"]


def _tensors(inputs: Sequence[_Tensor], outputs: Sequence[_Tensor]) -> list[str]:
    lines = [f"max_batch_size: {_MAX_BATCH_SIZE}"]
    for kind, tensors in (("input", inputs), ("output", outputs)):
        lines += [
            f'{kind} {{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype]} {_dims(tensor.shape)} }}'
            for tensor in tensors
        ]
    return lines


def _dims(shape: tuple[int, ...]) -> str:
    """Return the shape of one example for Triton.

    Triton has no empty shape. For the shape (), this function returns [1], and Triton removes this axis.
    """
    if not shape:
        return "dims: [ 1 ] reshape { shape: [ ] }"
    return f"dims: [ {', '.join(map(str, shape))} ]"
