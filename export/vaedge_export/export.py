"""Export a pair of modules as a bundle: validate, check, trace, compare, add variants, write."""

import importlib.metadata
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy.typing as npt
from torch import nn

import vaedge
from vaedge.bundle.manifest import MANIFEST_NAME, Manifest
from vaedge.bundle.reader import CalibrationFile, ModelFiles
from vaedge.bundle.reference import Inputs
from vaedge.detection import Calibration
from vaedge.distributions.prior import Prior
from vaedge_export.bundle_files import (
    PRIOR_FILE,
    calibration_file,
    file_entries,
    fixed_batch_file,
    graph_files,
    reference_file,
    variant_entry,
)
from vaedge_export.calibration import calibrate_variants, with_calibrations
from vaedge_export.card.images import card_images, detection_png
from vaedge_export.card.render import render_card
from vaedge_export.checks.agreement import BATCH_SIZES, compare
from vaedge_export.checks.graphs import check_purity, check_same_bytes, check_signature
from vaedge_export.checks.modules import check_modules
from vaedge_export.errors import ExportError
from vaedge_export.examples import ExamplesLike, random_examples, validate_calibration, validate_examples
from vaedge_export.folder import new_folder, require_absent
from vaedge_export.graphs import Graphs, trace, with_fixed_batch
from vaedge_export.reference import REFERENCE_EXAMPLES, fp32_reference, reference_arrays, variant_reference
from vaedge_export.spec import Spec, validate_arguments
from vaedge_export.variants.measure import Comparison, with_measurements
from vaedge_export.variants.search import make_variant

MINIMUM_ONNXRUNTIME = "1.24"  # the oldest release with which the tests of the runtime pass
_PRODUCERS = ("torch", "onnx", "onnxscript", "onnxruntime")

_Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of a model, for the manifest and the model card.

    Attributes:
        metrics: Dict from the name of a metric to its value: a float in nats per example, or a text that describes the
            measurement.
        training: Dict that describes how the model was made. The card shows these keys: "command" is the training
            command, "export" is the export command, "seconds" is the training time, and "note" is a text.
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
    prior: Prior | None = None,
    conditions: Mapping[str, vaedge.Condition] = MappingProxyType({}),
    examples: ExamplesLike | None = None,
    labels: Sequence[str] = (),
    calibration: ExamplesLike | None = None,
    variants: Sequence[str] = ("fp32",),
    allow_loss: float | None = None,
    fixed_batch: int | None = None,
    input_mean: npt.ArrayLike | None = None,
    input_std: npt.ArrayLike | None = None,
    encoding: str | None = None,
    features: Sequence[str] = (),
    provenance: Provenance = Provenance(),
    progress: bool = False,
) -> Path:
    """Export an encoder and a decoder as a bundle of ONNX graphs, and verify that the graphs agree with the modules.

    Args:
        encoder: Module in evaluation mode: x (n, *input_shape) -> (mean, log_var), each (n, *latent_shape) float32.
        decoder: Module in evaluation mode: z (n, *latent_shape) -> the parameters of p(x|z), each (n, *input_shape)
            float32.
        out: The bundle's folder, which must not exist.
        input_shape: Shape of one example of x.
        latent_shape: Shape of one z.
        likelihood: Name of p(x|z), a key of `vaedge_train.model.likelihoods.LIKELIHOODS`. It determines the parameters
            that the decoder must return, the formula for the mean of p(x|z), and the allowed values of x.
        prior: p(z), such as a `vaedge.distributions.prior.Mixture`; None is N(0, I).
        conditions: Dict from the name of each further input to its description. Both modules take these inputs in this
            order, after x or z.
        examples: Real examples, (n, *input_shape). The export runs the graphs and the modules on the examples, and
            compares the results. It stores some examples as a reference, and shows some on the card. For a conditional
            model, this is a mapping from names to arrays; the names are "x" and the names of the conditions. With None,
            the export compares the results of random examples.
        labels: Name of the class of each example. If z has two elements, the card shows a map of the latent space with
            one color for each class. May be empty.
        calibration: At least 20 normal examples, of the same type as `examples`, on which the model was not trained.
            `VAE.calibrate` divides them into three parts, and the bundle then detects anomalies. A comparison of the
            variants at a false-alarm rate of 1 % needs about 250 examples. If None, the bundle has no calibration.
        variants: Names of the variants to write in addition to "fp32", which is always written. The names are keys of
            `vaedge_export.variants.quantize.QUANTIZERS`. These variants need `examples`.
        allow_loss: Maximum loss of a variant, a decrease of the ELBO in nats per example. None means the
            larger one of 0.3 and a thousandth of |ELBO|.
        fixed_batch: Batch size of an additional copy of the float32 graphs, for engines that require a fixed one. None
            writes no copy.
        input_mean: Mean of the data, for modules that work in standardized units, (x - input_mean) / input_std. The
            bundle takes and returns x in the units of the data. An array that broadcasts to input_shape; None means 0.
        input_std: Standard deviation of the data, for modules that work in standardized units. An array of
            positive numbers that broadcasts to input_shape; None means 1.
        encoding: "uint8" if the model was trained on 8-bit data that was divided by 255. x may then be given as uint8,
            and the range of x is [0, 1]. With None, x must be given as floating-point numbers.
        features: Names of the elements of x, for tables, such as the columns of a CSV file; may be empty.
        provenance: Metrics and origin of the model, for the manifest and the card.
        progress: Whether to print each step.

    Returns:
        The bundle's folder.

    Raises:
        ExportError: An argument cannot be used, a module fails or cannot be traced, the folder exists, or the disk is
            full.
        VerificationError: The modules or their graphs failed a check. Each check has its own subclass.
        LossError: The loss of a variant exceeds `allow_loss`.
        vaedge.InputError: `examples` or `calibration`, or the conditions in them, are not valid inputs of the model.
    """
    say: _Say = print if progress else _silent
    destination = Path(out)
    require_absent(destination)
    spec = validate_arguments(
        encoder,
        decoder,
        input_shape=input_shape,
        latent_shape=latent_shape,
        likelihood=likelihood,
        prior=prior,
        conditions=conditions,
        variants=variants,
        allow_loss=allow_loss,
        fixed_batch=fixed_batch,
        input_mean=input_mean,
        input_std=input_std,
        encoding=encoding,
        features=features,
    )
    if spec.variants and examples is None:
        raise ExportError(f"variants {', '.join(spec.variants)} need examples, to measure the loss on them")
    real = None if examples is None else validate_examples(examples, spec)
    normal = None if calibration is None else validate_calibration(calibration, spec)
    random = random_examples(max(BATCH_SIZES), spec)
    if labels and (real is None or len(labels) != len(real.x)):
        raise ExportError(f"labels has {len(labels)} names; expected one for each of the examples, or an empty list")
    batch = None if real is None else real.repeated(max(BATCH_SIZES))

    say("checking the modules")
    check_modules(spec, batch or random, real=batch is not None)
    say("tracing both modules twice")
    manifest = _describe(spec, destination.name, provenance)
    graphs, denormals = _trace(spec, random, manifest.graph_metadata())
    open_vae = partial(_open, manifest, spec.prior_constants)
    vae = open_vae("fp32", graphs)
    say(f"comparing with torch at batch sizes {', '.join(map(str, BATCH_SIZES))}")
    manifest = replace(manifest, verification=compare(spec, vae, graphs, random, batch, denormals))
    arrays = reference_arrays(spec, (batch or random).repeated(REFERENCE_EXAMPLES))
    files = {**_fp32_files(spec, graphs), reference_file("fp32"): fp32_reference(arrays, vae)}
    all_graphs = {"fp32": graphs}
    if spec.variants and real is not None:
        comparison = Comparison(graphs, open_vae, real)
        made = _make_variants(spec, comparison, random, say)
        manifest = with_measurements(manifest, comparison, made, say)
        for name, (smaller, _) in made.items():
            reference = variant_reference(arrays, open_vae(name, smaller), smaller)
            files |= {**graph_files(name, smaller), reference_file(name): reference}
            all_graphs[name] = smaller
    images = card_images(vae, real, random, labels)
    if normal is not None:
        say("calibrating anomaly detection")
        calibrated = calibrate_variants(all_graphs, open_vae, normal)
        for name, found in calibrated.items():
            say(f"{name}: {found.calibration.describe()}")
        manifest = with_calibrations(manifest, calibrated)
        files |= {calibration_file(name): found.calibration.to_npz() for name, found in calibrated.items()}
        images["detection.png"] = detection_png(calibrated["fp32"].calibration)
    say(f"writing {destination}")
    _write(destination, replace(manifest, files=file_entries(files)), files, images)
    return destination


def _describe(spec: Spec, name: str, provenance: Provenance) -> Manifest:
    """Return a manifest that lacks the files, the results of the comparison, and the measurements of variants."""
    versions = {producer: importlib.metadata.version(producer) for producer in _PRODUCERS}
    return Manifest(
        name=name,
        input_shape=spec.input_shape,
        input_range=spec.input_range,
        encoding=spec.encoding,
        features=spec.features,
        latent_shape=spec.latent_shape,
        likelihood=spec.likelihood.name,
        parameters=spec.likelihood.parameters,
        prior=spec.prior.name,
        prior_file=None if spec.prior_constants is None else PRIOR_FILE,
        variants={variant: variant_entry(variant) for variant in ("fp32", *spec.variants)},
        files={},
        minimum_onnxruntime=MINIMUM_ONNXRUNTIME,
        conditions=spec.conditions,
        producers={"vaedge": vaedge.__version__, **versions},
        metrics=provenance.metrics,
        training=provenance.training,
    )


def _trace(spec: Spec, random: Inputs, metadata: Mapping[str, str]) -> tuple[Graphs, int]:
    """Trace each network twice, and check the form of the graphs.

    Returns:
        The graphs, and the number of denormal weights that were set to zero.
    """
    contents, denormals = [], 0
    for network in spec.networks:
        inputs = network.inputs(random)
        content, flushed = trace(network, inputs, metadata)
        check_purity(content, network.name)
        check_signature(content, network.name, inputs, network.outputs)
        check_same_bytes(network.name, content, trace(network, inputs, metadata)[0])
        contents.append(content)
        denormals += flushed
    return Graphs(*contents), denormals


def _open(
    manifest: Manifest, prior: bytes | None, variant: str, graphs: Graphs, calibration: Calibration | None = None
) -> vaedge.VAE:
    stored = None if calibration is None else CalibrationFile(calibration_file(variant), calibration.to_npz())
    return vaedge.VAE(ModelFiles(manifest, variant, graphs.encoder, graphs.decoder, prior, calibration=stored))


def _fp32_files(spec: Spec, graphs: Graphs) -> dict[str, bytes]:
    """Return a dict from file name to content: the float32 graphs, copies with a fixed batch size, and the prior."""
    files = graph_files("fp32", graphs)
    if spec.prior_constants is not None:
        files[PRIOR_FILE] = spec.prior_constants
    if spec.fixed_batch is not None:
        for network, content in zip(spec.networks, graphs, strict=True):
            fixed = with_fixed_batch(content, spec.fixed_batch)
            files[fixed_batch_file(network.name, spec.fixed_batch)] = fixed
    return files


def _make_variants(
    spec: Spec, comparison: Comparison, random: Inputs, say: _Say
) -> dict[str, tuple[Graphs, list[str]]]:
    """Make and check each variant.

    Returns:
        Dict from the name of a variant to a pair: its graphs, and the names of the layers that stay in float32.
    """
    made = {}
    for name in spec.variants:
        say(f"quantizing to {name} and measuring its loss")
        graphs, kept = make_variant(name, spec.networks, comparison, spec.allow_loss)
        for network, content in zip(spec.networks, graphs, strict=True):
            check_purity(content, f"{network.name}, {name}", contrib=True)
            check_signature(content, f"{network.name}, {name}", network.inputs(random), network.outputs)
        made[name] = graphs, kept
    return made


def _write(destination: Path, manifest: Manifest, files: Mapping[str, bytes], images: Mapping[str, bytes]) -> None:
    """Write the bundle to a temporary folder, check the bundle, and then rename the folder to the destination."""
    with new_folder(destination) as folder:
        for name, content in {**files, **images}.items():
            (folder / name).write_bytes(content)
        (folder / "README.md").write_text(render_card(manifest, images), encoding="utf-8")
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        if not vaedge.check(folder).passed:
            raise ExportError(
                "the bundle does not reproduce its own reference outputs on this machine; nothing was written"
            )


def _silent(_: str) -> None:
    """Print nothing."""
