"""Rewrite a bundle of an older format in the newest format. The ONNX files do not change."""

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import vaedge
from vaedge.bundle.manifest import MANIFEST_NAME
from vaedge.bundle.reader import Bundle, read_variants
from vaedge.bundle.reference import Inputs, read_reference
from vaedge.distributions.prior import read_prior
from vaedge.files.images import is_image_shape
from vaedge_export.bundle_files import file_entries, fixed_batch_size, reference_file
from vaedge_export.card.images import samples_png
from vaedge_export.card.render import render_card
from vaedge_export.errors import ExportError
from vaedge_export.from_run import export_command
from vaedge_export.graphs import Graphs
from vaedge_export.reference import fp32_reference, variant_reference


def upgrade_bundle(path: str | os.PathLike[str]) -> Path:
    """Rewrite the manifest, the prior, the references, the samples and the card of a bundle in the newest format.

    The ONNX files, the metrics, the calibrations, and all images except the samples do not change. For variants other
    than fp32, the references are computed from the graphs. The samples on the card are drawn again, because a seed
    gives other latents in format 2 than in format 1.

    Args:
        path: The bundle's folder. The new files are written to a copy. If the copy passes a check, it replaces the
            folder.

    Returns:
        The bundle's folder.

    Raises:
        vaedge.BundleError: The bundle is damaged.
        ExportError: The folder is not writable, or the bundle does not reproduce its reference outputs on this machine.
            The bundle is unchanged.
    """
    folder = Path(path)
    bundles = {bundle.variant: bundle for bundle in read_variants(folder)}
    fp32 = bundles["fp32"]
    fp32.verify_others()
    files = _new_files(bundles)
    old = fp32.manifest
    manifest = replace(
        old,
        variants={name: replace(entry, reference=reference_file(name)) for name, entry in old.variants.items()},
        files={**old.files, **file_entries(files)},
        training={**old.training, **_export_command(old)},
    )
    if is_image_shape(old.input_shape) and (folder / "samples.png").is_file():
        with vaedge.VAE(fp32) as vae:
            files["samples.png"] = samples_png(vae, Inputs.of(fp32))
    images = [image.name for image in folder.glob("*.png")]
    files["README.md"] = render_card(manifest, images).encode()
    files[MANIFEST_NAME] = manifest.to_json().encode()
    _replace(folder, files)
    return folder


def _new_files(bundles: dict[str, Bundle]) -> dict[str, bytes]:
    """Return a dict from file name to new content, for the prior file and for the reference files of all variants."""
    fp32 = bundles["fp32"]
    manifest = fp32.manifest
    stored = read_reference(fp32)
    names = ("x", "z", *manifest.conditions, "mean", "log_var", "decoded", *manifest.parameters)
    arrays = {name: stored[name] for name in names}
    files: dict[str, bytes] = {}
    # A prior in format 2 keeps its bytes, because each calibration depends on the SHA-256 of the prior.
    if manifest.prior_file is not None and manifest.format_version == 1:
        constants = read_prior(manifest.prior, fp32.prior, manifest.latent_shape).to_npz()
        if constants is not None:
            files[manifest.prior_file] = constants
    for name, bundle in bundles.items():
        with vaedge.VAE(bundle) as vae:
            if name == "fp32":
                content = fp32_reference(arrays, vae)
            else:
                content = variant_reference(arrays, vae, Graphs(bundle.encoder, bundle.decoder))
        files[reference_file(name)] = content
    return files


def _export_command(manifest: vaedge.Manifest) -> dict[str, str]:
    """Return the export command that the card shows, as a dict {"export": command}.

    The dict is empty if the manifest has no training command, or already has an export command. The command omits
    `--allow-loss`, because the manifest does not contain this value.
    """
    if "command" not in manifest.training or "export" in manifest.training:
        return {}
    batch, note = fixed_batch_size(manifest.files), manifest.metrics.get("note")
    calibration = any(variant.calibration is not None for variant in manifest.variants.values())
    return {"export": export_command(manifest.name, list(manifest.variants), None, batch, note, calibration)}


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    """Copy a bundle, write the files into the copy, check the copy, and replace the original with the copy."""
    token = secrets.token_hex(4)
    copy, old = (folder.with_name(f".{folder.name}.{token}.{suffix}") for suffix in ("tmp", "old"))
    try:
        shutil.copytree(folder, copy)
        for name, content in files.items():
            (copy / name).write_bytes(content)
        if not vaedge.check(copy).passed:
            raise ExportError(
                f"{folder} does not reproduce its own reference outputs on this machine; the bundle is unchanged"
            )
        folder.rename(old)
        try:
            copy.rename(folder)
        except OSError:
            old.rename(folder)
            raise
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror or error}; the bundle is unchanged") from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(old)
