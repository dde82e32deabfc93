"""A pair of modules, or a run folder, becomes a bundle: trace, verify, describe, write."""

import hashlib
import importlib.metadata
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import vaedge
from vaedge.arrays import as_batch
from vaedge.bundle import Bundle
from vaedge.manifest import MANIFEST_NAME, FileEntry, Manifest, Variant
from vaedge.noise import standard_normal
from vaedge.pictures import beside, grid_png, is_picture_shape
from vaedge_export import card, verify
from vaedge_export.errors import ExportError
from vaedge_export.folder import new_folder, require_absent
from vaedge_export.graphs import OPSET, DecoderWithMean, trace
from vaedge_train import load_run
from vaedge_train.likelihoods import LIKELIHOODS

# The oldest release on which the runtime's tests were run.
MINIMUM_ONNXRUNTIME = "1.24"
_PRODUCERS = ("torch", "onnx", "onnxscript", "onnxruntime")
_ENCODER, _DECODER, _REFERENCE = "encoder.onnx", "decoder.onnx", "reference.npz"
_REFERENCE_ITEMS = 8
_PICTURED = 64
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What the manifest says beside the graphs.

    Attributes:
        metrics: measured figures, floats in nats per item, and texts that say how they were measured.
        training: how the model was made; `command` is printed on the card.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def export_run(run: str | os.PathLike[str], out: str | os.PathLike[str], *, progress: bool = False) -> Path:
    """Export what `vaedge train` left in a run folder; `export_vae` says how.

    Args:
        run: the run folder.
        out: the bundle's folder, which must not exist yet.
        progress: print each stage.

    Raises:
        vaedge_train.RunError: it is no finished run.
        ExportError: as for `export_vae`.
    """
    require_absent(Path(out))
    trained = load_run(run)
    config, metrics = trained.config, trained.metrics
    name = Path(out).name
    how = (
        f"the test items of {Path(config.dataset).name}, p(x|z): {config.likelihood}, closed-form KL, "
        f"{config.samples} draw{'s' * (config.samples > 1)} of z per item"
    )
    figures = {key: metrics[key] for key in ("test_elbo", "test_distortion", "test_rate", "train_elbo")}
    return export_vae(
        trained.vae.encoder,
        trained.vae.decoder,
        out,
        input_shape=trained.input_shape,
        latent_shape=(config.latent,),
        likelihood=config.likelihood,
        examples=trained.examples,
        provenance=Provenance(
            metrics={**figures, "measured_on": how},
            training={
                "command": config.command(name),
                "epochs": metrics["epoch"],
                "seconds": metrics["seconds"],
            },
        ),
        progress=progress,
    )


def export_vae(
    encoder: nn.Module,
    decoder: nn.Module,
    out: str | os.PathLike[str],
    *,
    input_shape: tuple[int, ...],
    latent_shape: tuple[int, ...],
    likelihood: str = "bernoulli",
    input_range: tuple[float, float] | None = (0.0, 1.0),
    examples: np.typing.ArrayLike | None = None,
    provenance: Provenance = Provenance(),
    progress: bool = False,
) -> Path:
    """Export any encoder and decoder as a bundle, after proving that the graphs are the modules.

    Args:
        encoder: in evaluation mode; x (n, *input_shape) -> (mean, log_var), each (n, *latent_shape).
        decoder: in evaluation mode; z (n, *latent_shape) -> the parameters of p(x|z), each (n, *input_shape).
        out: the bundle's folder, which must not exist yet.
        input_shape: shape of one item of x.
        latent_shape: shape of one z.
        likelihood: name of p(x|z); it says how the mean follows from the parameters.
        input_range: least and greatest value of x; None allows every finite value.
        examples: (n, *input_shape) real items, for the comparison, the reference and the card's pictures;
            None compares on random ones.
        provenance: what else the manifest and the card shall say.
        progress: print each stage.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: an argument cannot be used, torch cannot trace a module, the folder exists, or the disk is
            full.
        VerificationError: a graph failed a check; the class says which.
    """
    destination = Path(out)
    require_absent(destination)
    if likelihood not in LIKELIHOODS:
        raise ExportError(f"likelihood is {likelihood!r}; known are {', '.join(LIKELIHOODS)}")
    for name, module in (("encoder", encoder), ("decoder", decoder)):
        if module.training:
            raise ExportError(f"the {name} is in training mode: call .eval() on it first")
    say = print if progress else _silent

    distribution = LIKELIHOODS[likelihood]
    latent, item = (
        dict.fromkeys(("mean", "log_var"), latent_shape),
        dict.fromkeys(("x", *distribution.parameters), input_shape),
    )
    decoder = DecoderWithMean(decoder, distribution)
    graphs = {}
    for file, module, name, inputs, outputs in (
        (_ENCODER, encoder, "encoder", {"x": input_shape}, latent),
        (_DECODER, decoder, "decoder", {"z": latent_shape}, item),
    ):
        say(f"tracing the {name}")
        ((input_name, shape),) = inputs.items()
        graphs[file] = trace(module, name, shape, input_name, tuple(outputs))
        verify.check_purity(graphs[file], name)
        verify.check_signature(graphs[file], name, inputs, outputs)

    manifest = Manifest(
        name=destination.name,
        input_shape=input_shape,
        input_range=input_range,
        latent_shape=latent_shape,
        likelihood=likelihood,
        parameters=distribution.parameters,
        prior="standard_normal",
        variants={"fp32": Variant(_ENCODER, _DECODER, OPSET, verify.IR_VERSION_LIMIT)},
        reference=_REFERENCE,
        files={},
        minimum_onnxruntime=MINIMUM_ONNXRUNTIME,
        producers={
            "vaedge": vaedge.__version__,
            **{name: importlib.metadata.version(name) for name in _PRODUCERS},
        },
        metrics=provenance.metrics,
        training=provenance.training,
    )
    say(f"comparing with torch at batches {', '.join(map(str, verify.BATCHES))}")
    vae = vaedge.VAE(Bundle(destination, manifest, "fp32", graphs[_ENCODER], graphs[_DECODER], reference=b""))
    x = _items(examples, input_shape, input_range)
    z = standard_normal((len(x), *latent_shape), _SEED)
    torch_encoder, torch_decoder = verify.torch_function(encoder), verify.torch_function(decoder)
    differences = {
        **verify.check_agreement("encoder", tuple(latent), torch_encoder, verify.runtime_encoder(vae), x),
        **verify.check_agreement("decoder", tuple(item), torch_decoder, verify.runtime_decoder(vae), z),
    }

    files = {**graphs, _REFERENCE: _reference(x, z, torch_encoder, torch_decoder, distribution.parameters)}
    manifest = replace(
        manifest,
        files={name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()},
        verification={
            "tolerance": verify.TOLERANCE,
            "batches": list(verify.BATCHES),
            "inputs": "random" if examples is None else "examples",
            "differences": {name: vars(difference) for name, difference in differences.items()},
        },
    )
    pictures = _pictures(vae, None if examples is None else x)
    say(f"writing {destination}")
    with new_folder(destination) as folder:
        for name, content in {**files, **pictures}.items():
            (folder / name).write_bytes(content)
        (folder / "README.md").write_text(card.render(manifest, pictures), encoding="utf-8")
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        if not vaedge.check(folder).passed:
            raise ExportError("the bundle does not reproduce its own reference arrays on this machine")
    return destination


def _items(
    examples: np.typing.ArrayLike | None, shape: tuple[int, ...], value_range: tuple[float, float] | None
) -> verify.Array:
    """Return 64 items: the examples, repeated where they are too few, or random ones."""
    count = max(verify.BATCHES)
    if examples is not None:
        given = as_batch(examples, "examples", shape, value_range)
        return np.resize(given, (count, *shape))
    rng = np.random.default_rng(_SEED)
    if value_range is None:
        return rng.standard_normal((count, *shape), np.float32)
    return rng.uniform(*value_range, (count, *shape)).astype(np.float32)


def _reference(
    x: verify.Array,
    z: verify.Array,
    encoder: verify.Compute,
    decoder: verify.Compute,
    parameters: tuple[str, ...],
) -> bytes:
    """Return `reference.npz`: a few inputs, and what torch makes of them."""
    x, z = x[:_REFERENCE_ITEMS], z[:_REFERENCE_ITEMS]
    mean, log_var = encoder(x)
    decoded, *values = decoder(z)
    content = io.BytesIO()
    arrays: dict[str, Any] = {"x": x, "mean": mean, "log_var": log_var, "z": z, "decoded": decoded}
    arrays.update(zip(parameters, values, strict=True))
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _pictures(vae: vaedge.VAE, examples: verify.Array | None) -> dict[str, bytes]:
    """Return the card's pictures, by file name; none for items that cannot be shown."""
    if not is_picture_shape(vae.input_shape):
        return {}
    pictures = {"samples.png": grid_png(vae.sample(_PICTURED, seed=_SEED))}
    if examples is not None:
        x = examples[:_PICTURED]
        pictures["reconstructions.png"] = grid_png(*beside(x, vae.reconstruct(x)))
    return pictures


def _silent(_: str) -> None:
    """Print nothing."""
