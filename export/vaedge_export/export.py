"""A pair of modules becomes a bundle: trace, verify, describe, write."""

import hashlib
import importlib.metadata
import io
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import nn

import vaedge
from vaedge.arrays import as_batch, as_condition
from vaedge.bundle import Bundle
from vaedge.manifest import MANIFEST_NAME, FileEntry, Manifest, Variant
from vaedge.noise import standard_normal
from vaedge.pictures import beside, grid_png, is_picture_shape
from vaedge.prior import Mixture
from vaedge_export import card, verify
from vaedge_export.errors import ExportError
from vaedge_export.folder import new_folder, require_absent
from vaedge_export.graphs import OPSET, DecoderWithMean, trace
from vaedge_train.likelihoods import LIKELIHOODS

# The oldest release on which the runtime's tests were run.
MINIMUM_ONNXRUNTIME = "1.24"
_PRODUCERS = ("torch", "onnx", "onnxscript", "onnxruntime")
_ENCODER, _DECODER, _REFERENCE, _PRIOR = "encoder.onnx", "decoder.onnx", "reference.npz", "prior.npz"
_REFERENCE_ITEMS = 8
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


def export_vae(
    encoder: nn.Module,
    decoder: nn.Module,
    out: str | os.PathLike[str],
    *,
    input_shape: Sequence[int],
    latent_shape: Sequence[int],
    likelihood: str = "bernoulli",
    prior: Mixture | None = None,
    conditions: Mapping[str, vaedge.Condition] = MappingProxyType({}),
    examples: np.typing.ArrayLike | Mapping[str, np.typing.ArrayLike] | None = None,
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
        likelihood: name of p(x|z), a key of vaedge_train.likelihoods.LIKELIHOODS. It says which parameters the
            decoder returns, how their mean follows, and which values x may have: "bernoulli", "bce_surrogate" and
            "continuous_bernoulli" take logits, "gaussian" and "discretized_logistic" loc and log_scale.
        prior: p(z); None is N(0, I).
        conditions: further inputs, by name, which both modules take after x or z, in this order.
        examples: (n, *input_shape) real items, for the comparison, the reference and the card's pictures; of a
            conditional model a mapping, with `x` and each condition. None compares on random ones.
        provenance: what else the manifest and the card shall say.
        progress: print each stage.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: an argument cannot be used, a module fails or cannot be traced, the folder exists, or the disk
            is full.
        VerificationError: the modules or their graphs failed a check; the class says which.
        vaedge.InputError: the examples are no items, or no values of the conditions.
    """
    destination = Path(out)
    require_absent(destination)
    item_shape, z_shape = _shape("input_shape", input_shape), _shape("latent_shape", latent_shape)
    if likelihood not in LIKELIHOODS:
        raise ExportError(f"likelihood is {likelihood!r}; known are {', '.join(LIKELIHOODS)}")
    distribution = LIKELIHOODS[likelihood]
    for name, module in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(module, nn.Module):
            raise ExportError(f"the {name} is a {type(module).__name__}; expected a torch.nn.Module")
        if module.training:
            raise ExportError(f"the {name} is in training mode: call .eval() on it first")
    say = print if progress else _silent
    x, told = _items(examples, item_shape, distribution.support, conditions)
    z = standard_normal((len(x), *z_shape), _SEED)
    verify.check_modules(encoder, decoder, distribution, (item_shape, z_shape), told)
    verify.check_parameters(decoder, distribution, (z, *told.values()))

    with_mean = DecoderWithMean(decoder, distribution)
    latent = dict.fromkeys(("mean", "log_var"), z_shape)
    item = dict.fromkeys(("x", *distribution.parameters), item_shape)
    graphs = {}
    for file, module, name, inputs, outputs in (
        (_ENCODER, encoder, "encoder", {"x": x, **told}, latent),
        (_DECODER, with_mean, "decoder", {"z": z, **told}, item),
    ):
        say(f"tracing the {name}")
        graphs[file] = trace(module, name, inputs, tuple(outputs))
        verify.check_purity(graphs[file], name)
        verify.check_signature(graphs[file], name, inputs, outputs)

    manifest = Manifest(
        name=destination.name,
        input_shape=item_shape,
        input_range=distribution.support,
        latent_shape=z_shape,
        likelihood=likelihood,
        parameters=distribution.parameters,
        prior="mixture" if prior else "standard_normal",
        prior_file=_PRIOR if prior else None,
        variants={"fp32": Variant(_ENCODER, _DECODER, OPSET, verify.IR_VERSION_LIMIT)},
        reference=_REFERENCE,
        files={},
        minimum_onnxruntime=MINIMUM_ONNXRUNTIME,
        conditions=conditions,
        producers={
            "vaedge": vaedge.__version__,
            **{name: importlib.metadata.version(name) for name in _PRODUCERS},
        },
        metrics=provenance.metrics,
        training=provenance.training,
    )
    frozen = {_PRIOR: prior.to_npz()} if prior else {}
    bundle = Bundle(destination, manifest, "fp32", graphs[_ENCODER], graphs[_DECODER], b"", frozen.get(_PRIOR))
    vae = vaedge.VAE(bundle)
    say(f"comparing with torch at batches {', '.join(map(str, verify.BATCHES))}")
    torch_encoder, torch_decoder = verify.torch_function(encoder), verify.torch_function(with_mean)
    to_encoder, to_decoder = {"x": x, **told}, {"z": z, **told}
    differences = {
        **verify.check_agreement("encoder", tuple(latent), torch_encoder, verify.runtime_encoder(vae), to_encoder),
        **verify.check_agreement("decoder", tuple(item), torch_decoder, verify.runtime_decoder(vae), to_decoder),
    }

    reference = _reference(x, z, told, torch_encoder, torch_decoder, distribution.parameters)
    files = {**graphs, **frozen, _REFERENCE: reference}
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
    pictures = _pictures(vae, x, told, with_originals=examples is not None)
    say(f"writing {destination}")
    with new_folder(destination) as folder:
        for name, content in {**files, **pictures}.items():
            (folder / name).write_bytes(content)
        (folder / "README.md").write_text(card.render(manifest, pictures), encoding="utf-8")
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        if not vaedge.check(folder).passed:
            raise ExportError("the bundle does not reproduce its own reference arrays on this machine")
    return destination


def _shape(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        shape = tuple(operator.index(size) for size in sizes)
    except TypeError as error:
        raise ExportError(f"{name} is {sizes!r}; expected the sizes of one item, such as (1, 28, 28)") from error
    if not shape or min(shape) < 1:
        raise ExportError(f"{name} is {sizes!r}; expected sizes of at least 1")
    return shape


def _items(
    examples: np.typing.ArrayLike | Mapping[str, np.typing.ArrayLike] | None,
    shape: tuple[int, ...],
    value_range: tuple[float, float] | None,
    conditions: Mapping[str, vaedge.Condition],
) -> tuple[verify.Array, dict[str, verify.Array]]:
    """Return 64 items and their conditions: the examples, repeated where they are too few, or random ones."""
    count = max(verify.BATCHES)
    if examples is None:
        rng = np.random.default_rng(_SEED)
        if value_range is None:
            x = rng.standard_normal((count, *shape), np.float32)
        else:
            x = rng.uniform(*value_range, (count, *shape)).astype(np.float32)
        return x, {name: _random_values(condition, rng, count) for name, condition in conditions.items()}
    given = dict(examples) if isinstance(examples, Mapping) else {"x": examples}
    if given.keys() != {"x", *conditions}:
        raise ExportError(f"the examples are {', '.join(given)}; expected {', '.join(['x', *conditions])}")
    x = as_batch(given["x"], "examples", shape, value_range)
    told = {name: as_condition(given[name], name, condition, len(x)) for name, condition in conditions.items()}
    return np.resize(x, (count, *shape)), {name: np.resize(a, (count, *a.shape[1:])) for name, a in told.items()}


def _random_values(condition: vaedge.Condition, rng: np.random.Generator, count: int) -> verify.Array:
    if condition.classes:
        return rng.integers(len(condition.classes), size=(count, *condition.shape))
    return rng.standard_normal((count, *condition.shape), np.float32)


def _reference(
    x: verify.Array,
    z: verify.Array,
    told: Mapping[str, verify.Array],
    encoder: verify.Compute,
    decoder: verify.Compute,
    parameters: tuple[str, ...],
) -> bytes:
    """Return `reference.npz`: a few inputs, and what torch makes of them."""
    x, z = x[:_REFERENCE_ITEMS], z[:_REFERENCE_ITEMS]
    told = {name: values[:_REFERENCE_ITEMS] for name, values in told.items()}
    mean, log_var = encoder({"x": x, **told})
    decoded, *values = decoder({"z": z, **told})
    content = io.BytesIO()
    arrays: dict[str, Any] = {"x": x, "mean": mean, "log_var": log_var, "z": z, "decoded": decoded, **told}
    arrays.update(zip(parameters, values, strict=True))
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _pictures(vae: vaedge.VAE, x: verify.Array, told: Mapping[str, Any], *, with_originals: bool) -> dict[str, bytes]:
    """Return the card's pictures, by file name; none for items that cannot be shown."""
    if not is_picture_shape(vae.input_shape):
        return {}
    pictures = {"samples.png": grid_png(vae.sample(len(x), seed=_SEED, **told))}
    if with_originals:
        pictures["reconstructions.png"] = grid_png(*beside(x, vae.reconstruct(x, **told)))
    return pictures


def _silent(_: str) -> None:
    """Print nothing."""
