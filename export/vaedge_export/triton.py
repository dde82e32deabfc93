"""A bundle -> a model repository of the Triton inference server: encoder, decoder, and the two as an ensemble.

DIR/NAME_encoder/{config.pbtxt,1/model.onnx}    x -> mean, log_var
DIR/NAME_decoder/{config.pbtxt,1/model.onnx}    z -> x, and the parameters of p(x|z)
DIR/NAME_reconstruct/{config.pbtxt,1/}          x -> the reconstruction through the posterior's mean
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vaedge.bundle.reader import Bundle, read_bundle
from vaedge_export.folder import new_folder

_MOST_BATCH = 512
_TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}
Tensor = tuple[str, str, tuple[int, ...]]  # name, type, shape of one item


def write_triton(bundle: str | Path, directory: str | Path) -> None:
    """Write the float32 graphs of a bundle as a model repository.

    Args:
        bundle: the bundle's folder.
        directory: the repository's folder, which must not exist yet.

    Raises:
        vaedge.BundleError: the bundle is damaged.
        ExportError: the directory exists, or cannot be written.
    """
    read = read_bundle(bundle)
    manifest = read.manifest
    told = [(name, condition.dtype, condition.shape) for name, condition in manifest.conditions.items()]
    latent, item = manifest.latent_shape, manifest.input_shape
    parts: dict[str, tuple[bytes, list[Tensor], list[Tensor]]] = {
        "encoder": (
            read.encoder,
            [("x", "float32", item), *told],
            [("mean", "float32", latent), ("log_var", "float32", latent)],
        ),
        "decoder": (
            read.decoder,
            [("z", "float32", latent), *told],
            [("x", "float32", item), *((name, "float32", item) for name in manifest.parameters)],
        ),
    }
    with new_folder(Path(directory)) as folder:
        for part, (graph, inputs, outputs) in parts.items():
            version = folder / f"{manifest.name}_{part}" / "1"
            version.mkdir(parents=True)
            (version / "model.onnx").write_bytes(graph)
            config = [f'name: "{manifest.name}_{part}"', 'backend: "onnxruntime"', *_common(inputs, outputs)]
            config += ["dynamic_batching { max_queue_delay_microseconds: 100 }"]
            (version.parent / "config.pbtxt").write_text("\n".join(config) + "\n", "utf-8")
        ensemble = folder / f"{manifest.name}_reconstruct"
        (ensemble / "1").mkdir(parents=True)
        (ensemble / "config.pbtxt").write_text(_ensemble(read, told), "utf-8")


def _ensemble(bundle: Bundle, told: Sequence[Tensor]) -> str:
    name, item = bundle.manifest.name, bundle.manifest.input_shape
    same = {condition: condition for condition, *_ in told}
    lines = [f'name: "{name}_reconstruct"', 'platform: "ensemble"']
    lines += _common([("x", "float32", item), *told], [("reconstruction", "float32", item)])
    lines += ["ensemble_scheduling {"]
    lines += _step(f"{name}_encoder", {"x": "x", **same}, {"mean": "mean"})
    lines += _step(f"{name}_decoder", {"z": "mean", **same}, {"x": "reconstruction"})
    return "\n".join([*lines, "}"]) + "\n"


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    maps = [f'    input_map {{ key: "{key}" value: "{value}" }}' for key, value in inputs.items()]
    maps += [f'    output_map {{ key: "{key}" value: "{value}" }}' for key, value in outputs.items()]
    return ["  step {", f'    model_name: "{model}"', "    model_version: -1", *maps, "  }"]


def _common(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[str]:
    lines = [f"max_batch_size: {_MOST_BATCH}"]
    for kind, tensors in (("input", inputs), ("output", outputs)):
        lines += [
            f'{kind} {{ name: "{name}" data_type: {_TYPES[dtype]} {_dims(shape)} }}' for name, dtype, shape in tensors
        ]
    return lines


def _dims(shape: tuple[int, ...]) -> str:
    """Return the shape of one item; a single number has to be named as one of one, for Triton knows no empty shape."""
    if not shape:
        return "dims: [ 1 ] reshape { shape: [ ] }"
    return f"dims: [ {', '.join(map(str, shape))} ]"
