"""Rewrite a bundle of an older format in the newest one; the graphs stay as they are, byte for byte."""

import hashlib
import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import vaedge
from vaedge.bundle.manifest import MANIFEST_NAME, FileEntry
from vaedge.bundle.reader import Bundle, read_variants
from vaedge.bundle.reference import read_reference
from vaedge.distributions.prior import Mixture
from vaedge.files.images import is_picture_shape
from vaedge_export.card import template as card
from vaedge_export.card.images import samples_png
from vaedge_export.errors import ExportError
from vaedge_export.examples import Rows
from vaedge_export.from_run import export_command
from vaedge_export.reference import fp32_reference, reference_file, variant_reference


def upgrade_bundle(path: str | os.PathLike[str]) -> Path:
    """Rewrite the manifest, the prior, the references, the samples and the card of a bundle in the newest format.

    The ONNX files, the metrics and the other images do not change. The references of smaller variants are computed; the
    samples on the card are drawn again, because format 2 draws other latents for a given seed.

    Args:
        path: The bundle's folder. It is replaced as a whole when all files have been written and checked.

    Returns:
        The bundle's folder.

    Raises:
        vaedge.BundleError: The bundle is damaged.
        ExportError: The folder cannot be written; the bundle is as it was.
    """
    folder = Path(path)
    bundles = {bundle.variant: bundle for bundle in read_variants(folder)}
    bundles["fp32"].verify_others()
    manifest = bundles["fp32"].manifest
    files = _new_files(bundles)
    entries = {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    manifest = replace(
        manifest,
        variants={name: replace(found, reference=reference_file(name)) for name, found in manifest.variants.items()},
        files={**manifest.files, **entries},
        training={**manifest.training, **_export_command(manifest)},
    )
    with vaedge.VAE(bundles["fp32"]) as vae:
        if is_picture_shape(vae.input_shape) and (folder / "samples.png").is_file():
            reference = read_reference(bundles["fp32"])
            conditions = {name: reference[name] for name in manifest.conditions}
            files["samples.png"] = samples_png(vae, Rows(reference["x"], reference["z"], conditions))
    pictures = [found.name for found in folder.glob("*.png")]
    files["README.md"] = card.render(manifest, pictures).encode()
    files[MANIFEST_NAME] = manifest.to_json().encode()
    _replace(folder, files)
    return folder


def _new_files(bundles: dict[str, Bundle]) -> dict[str, bytes]:
    """Return the content of the prior and of every variant's reference."""
    fp32 = bundles["fp32"]
    stored = read_reference(fp32)
    names = ("x", "z", *fp32.manifest.conditions, "mean", "log_var", "decoded", *fp32.manifest.parameters)
    arrays = {name: stored[name] for name in names}
    files: dict[str, bytes] = {}
    if fp32.manifest.prior_file is not None and fp32.prior is not None:
        files[fp32.manifest.prior_file] = Mixture.from_npz(fp32.prior, fp32.manifest.latent_shape).to_npz()
    for name, bundle in bundles.items():
        with vaedge.VAE(bundle) as vae:
            if name == "fp32":
                files[reference_file(name)] = fp32_reference(arrays, vae)
            else:
                files[reference_file(name)] = variant_reference(arrays, vae, (bundle.encoder, bundle.decoder))
    return files


def _export_command(manifest: vaedge.Manifest) -> dict[str, str]:
    """Return the export command, as far as the manifest of an older bundle tells it."""
    if "command" not in manifest.training or "export" in manifest.training:
        return {}
    fixed = [name for name in manifest.files if name.startswith("encoder.batch")]
    fixed_batch = int(fixed[0].removeprefix("encoder.batch").removesuffix(".onnx")) if fixed else None
    note = manifest.metrics.get("note")
    return {"export": export_command(manifest.name, list(manifest.variants), None, fixed_batch, note)}


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    """Copy a bundle, change files of the copy, check it, and put it in the place of the original."""
    token = secrets.token_hex(4)
    copy, old = (folder.with_name(f".{folder.name}.{token}.{suffix}") for suffix in ("tmp", "old"))
    try:
        shutil.copytree(folder, copy)
        for name, content in files.items():
            (copy / name).write_bytes(content)
        if not vaedge.check(copy).passed:
            raise ExportError(f"{folder} does not reproduce its reference on this machine; it was not changed")
        folder.rename(old)
        try:
            copy.rename(folder)
        except OSError:
            old.rename(folder)
            raise
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror or error}; it was not changed") from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    shutil.rmtree(old)
