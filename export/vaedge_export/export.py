"""A pair of modules becomes a bundle: verify, trace, compare, quantise, describe, write."""

import hashlib
import importlib.metadata
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

import vaedge
from vaedge.bundle.manifest import MANIFEST_NAME, FileEntry, Manifest, Variant, may_name_condition
from vaedge.bundle.reader import Bundle
from vaedge.distributions.prior import Mixture
from vaedge_export.card import template as card
from vaedge_export.card.images import card_pictures
from vaedge_export.checks.graphs import BATCHES
from vaedge_export.checks.verifier import ROWS, Verifier
from vaedge_export.errors import ExportError
from vaedge_export.examples import ExamplesLike, given_rows, random_rows
from vaedge_export.folder import new_folder, require_absent
from vaedge_export.graphs import IR_VERSION, OPSET, with_fixed_batch
from vaedge_export.reference import REFERENCE_ROWS, fp32_reference, reference_file, variant_reference
from vaedge_export.variants.measure import Comparison, Graphs, make_variant, require_known
from vaedge_train.model.likelihoods import LIKELIHOODS

# The oldest release on which the runtime's tests were run.
MINIMUM_ONNXRUNTIME = "1.24"
_PRODUCERS = ("torch", "onnx", "onnxscript", "onnxruntime")
PRIOR_FILE = "prior.npz"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What the manifest says beside the graphs.

    Attributes:
        metrics: measured figures, floats in nats per item, and texts that say how they were measured.
        training: How the model was made; the card prints `command` (the training) and `export`, where they are given.
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
    examples: ExamplesLike | None = None,
    variants: Sequence[str] = ("fp32",),
    allow_loss: float | None = None,
    fixed_batch: int | None = None,
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
        likelihood: name of p(x|z), a key of vaedge_train.model.likelihoods.LIKELIHOODS. It says which parameters the
            decoder returns, how their mean follows, and which values x may have: "bernoulli", "bce_surrogate" and
            "continuous_bernoulli" take logits, "gaussian" and "discretized_logistic" loc and log_scale.
        prior: p(z); None is N(0, I).
        conditions: further inputs, by name, which both modules take after x or z, in this order.
        examples: (n, *input_shape) real items, for the comparison, the reference and the card's pictures; of a
            conditional model a mapping, with `x` and each condition. None compares on random ones.
        variants: precisions to write; "fp32" always, then any of "fp16", "int8" and "int4", which need examples.
        allow_loss: what a variant may cost, nats of the ELBO per item; None is 0.3, or a thousandth of the ELBO where
            that is more.
        fixed_batch: write a copy of the float32 graphs for batches of this size too, for engines that ask for it.
        provenance: what else the manifest and the card shall say.
        progress: print each stage.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: an argument cannot be used, a module fails or cannot be traced, the folder exists, or the disk
            is full.
        VerificationError: the modules or their graphs failed a check; the class says which.
        LossError: a variant costs more than it may.
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
    if fixed_batch is not None and fixed_batch < 1:
        raise ExportError(f"fixed_batch is {fixed_batch}; expected at least 1")
    for name, condition in conditions.items():
        if not may_name_condition(name, distribution.parameters):
            raise ExportError(f"{name!r} cannot be the name of a condition: it is that of an argument or a tensor")
        if not isinstance(condition, vaedge.Condition) or condition.dtype not in ("int64", "float32"):
            raise ExportError(f"condition {name} is {condition!r}; expected a vaedge.Condition of int64 or float32")
        if (condition.dtype == "int64") != bool(condition.classes):
            raise ExportError(f"condition {name} is {condition!r}; int64 has classes, and float32 has none")
    if isinstance(variants, str):
        raise ExportError(f"variants is {variants!r}; expected a list of names, such as ['int8']")
    require_known(variants)
    if allow_loss is not None and not allow_loss >= 0:
        raise ExportError(f"allow_loss is {allow_loss}; expected at least 0")
    smaller = [name for name in dict.fromkeys(variants) if name != "fp32"]
    if smaller and examples is None:
        raise ExportError(f"variants {', '.join(smaller)} are measured before they are written: give examples")
    say = print if progress else _silent

    random = random_rows(ROWS, item_shape, z_shape, distribution.support, conditions)
    given = None if examples is None else given_rows(examples, item_shape, z_shape, distribution.support, conditions)
    if smaller and given is not None and (refusal := distribution.refusal(torch.from_numpy(given.x))):
        raise ExportError(f"variants cannot be measured on these examples: {refusal}")
    some = None if given is None else given.resized(ROWS)
    verifier = Verifier(
        encoder,
        decoder,
        distribution,
        dict.fromkeys(("mean", "log_var"), z_shape),
        dict.fromkeys(("x", *distribution.parameters), item_shape),
    )
    say("checking the modules")
    verifier.check_modules(random, some)
    frozen = {PRIOR_FILE: prior.to_npz()} if prior else {}
    manifest = Manifest(
        name=destination.name,
        input_shape=item_shape,
        input_range=distribution.support,
        latent_shape=z_shape,
        likelihood=likelihood,
        parameters=distribution.parameters,
        prior="mixture" if prior else "standard_normal",
        prior_file=PRIOR_FILE if prior else None,
        variants={"fp32": _variant("fp32")},
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
    say("tracing both, twice")
    traced = verifier.trace(random, manifest.graph_metadata())
    fp32: Graphs = traced["encoder"], traced["decoder"]

    def opened(graphs: Graphs) -> vaedge.VAE:
        return vaedge.VAE(Bundle(destination, manifest, "", "fp32", *graphs, frozen.get(PRIOR_FILE)))

    vae = opened(fp32)
    say(f"comparing with torch at batches {', '.join(map(str, BATCHES))}")
    manifest = replace(manifest, verification=verifier.compare(vae, traced, random, some))
    reference = verifier.reference((some or random).resized(REFERENCE_ROWS))
    files = {**_files("fp32", fp32), **frozen, reference_file("fp32"): fp32_reference(reference, vae)}
    if smaller and given is not None:
        comparison = Comparison(fp32, opened, given)
        made: dict[str, tuple[Graphs, list[str]]] = {"fp32": (fp32, [])}
        for name in smaller:
            say(f"quantising to {name}, and measuring what it costs")
            made[name] = make_variant(name, comparison, allow_loss)
            verifier.check_variant(name, made[name][0], random)
            graphs = made[name][0]
            files.update(_files(name, graphs))
            files[reference_file(name)] = variant_reference(reference, opened(graphs), graphs)
        times = comparison.time({name: graphs for name, (graphs, _) in made.items()})
        chosen = {
            name: replace(_variant(name), measured=comparison.measure(graphs, kept, times[name]).to_dict())
            for name, (graphs, kept) in made.items()
        }
        manifest = replace(manifest, variants=chosen)
    if fixed_batch is not None:
        for part, graph in traced.items():
            files[f"{part}.batch{fixed_batch}.onnx"] = with_fixed_batch(graph, fixed_batch)
    entries = {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    manifest = replace(manifest, files=entries)
    pictures = card_pictures(vae, random, given)
    say(f"writing {destination}")
    with new_folder(destination) as folder:
        for name, content in {**files, **pictures}.items():
            (folder / name).write_bytes(content)
        (folder / "README.md").write_text(card.render(manifest, pictures), encoding="utf-8")
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        if not vaedge.check(folder).passed:
            raise ExportError("the bundle does not reproduce its own reference arrays on this machine")
    return destination


def _variant(name: str) -> Variant:
    infix = "" if name == "fp32" else f".{name}"
    return Variant(f"encoder{infix}.onnx", f"decoder{infix}.onnx", OPSET, IR_VERSION, reference_file(name))


def _files(name: str, graphs: Graphs) -> dict[str, bytes]:
    variant = _variant(name)
    return dict(zip((variant.encoder, variant.decoder), graphs, strict=True))


def _shape(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        shape = tuple(operator.index(size) for size in sizes)
    except TypeError as error:
        raise ExportError(f"{name} is {sizes!r}; expected the sizes of one item, such as (1, 28, 28)") from error
    if not shape or min(shape) < 1:
        raise ExportError(f"{name} is {sizes!r}; expected sizes of at least 1")
    return shape


def _silent(_: str) -> None:
    """Print nothing."""
