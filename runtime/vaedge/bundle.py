"""Open a bundle: read its manifest, read each file once, and let through only bytes whose sha256 agrees."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from vaedge.errors import BundleError, BundleNotFoundError, InputError
from vaedge.gate import check_graph
from vaedge.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, FileEntry, Manifest, Variant


@dataclass(frozen=True)
class Bundle:
    """A bundle whose bytes have been verified.

    Attributes:
        path: the folder.
        manifest: what the folder says of itself.
        variant: name of the precision that was chosen.
        encoder: bytes of the encoder's graph.
        decoder: bytes of the decoder's graph.
        reference: bytes of the reference arrays.
        prior: bytes of the prior's constants, or None where it has none.
    """

    path: Path
    manifest: Manifest
    variant: str
    encoder: bytes
    decoder: bytes
    reference: bytes
    prior: bytes | None


def read_manifest(path: str | os.PathLike[str], sha256: str | None = None) -> Manifest:
    """Read the manifest of the bundle at `path`.

    Args:
        path: the bundle's folder.
        sha256: of `manifest.json`, in hexadecimal digits, where the caller knows which bundle it must be.

    Raises:
        BundleNotFoundError: there is no such folder, or no manifest in it.
        BundleError: the manifest is not valid, or not the one with this sha256.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BundleNotFoundError(f"{folder} is not a folder; a bundle is the folder that `vaedge export` wrote")
    content = _read(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES, "is a folder vaedge exported?")
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise BundleError(
            f"{folder / MANIFEST_NAME} has the sha256 {found}, and {sha256} was asked for: another bundle"
        )
    try:
        return Manifest.from_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BundleError(f"{folder / MANIFEST_NAME} is not UTF-8 text") from error
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error.__cause__


def read_bundle(path: str | os.PathLike[str], variant: str = "fp32", sha256: str | None = None) -> Bundle:
    """Read the manifest and the files of one variant, and verify each file's size and sha256.

    Args:
        path: the bundle's folder.
        variant: name of the precision, one of the manifest's variants.
        sha256: as for `read_manifest`.

    Raises:
        BundleNotFoundError: the folder or one of the files is missing.
        BundleError: the manifest is not valid, or a file is not the one that was exported.
        InputError: the bundle has no such variant.
    """
    folder = Path(path)
    manifest = read_manifest(folder, sha256)
    if variant not in manifest.variants:
        raise InputError(f"{folder} has no variant {variant!r}; it has {', '.join(manifest.variants)}")
    graphs: Variant = manifest.variants[variant]
    return Bundle(
        path=folder,
        manifest=manifest,
        variant=variant,
        encoder=_read_graph(folder, graphs.encoder, manifest, variant),
        decoder=_read_graph(folder, graphs.decoder, manifest, variant),
        reference=_read_verified(folder, manifest.reference, manifest.files[manifest.reference]),
        prior=_read_verified(folder, manifest.prior_file, manifest.files[manifest.prior_file])
        if manifest.prior_file
        else None,
    )


def _read_graph(folder: Path, name: str, manifest: Manifest, variant: str) -> bytes:
    """Read a graph that is the one that was exported, and that holds nothing but what a bundle's graphs do."""
    content = _read_verified(folder, name, manifest.files[name])
    try:
        check_graph(content, contrib=variant != "fp32")
    except BundleError as error:
        raise BundleError(f"{folder / name} is refused: {error}") from error
    return content


def verify_files(path: str | os.PathLike[str], manifest: Manifest) -> None:
    """Compare every file that the manifest lists with its size and sha256.

    Raises:
        BundleNotFoundError: one is missing.
        BundleError: one is not the file that was exported.
    """
    for name, entry in manifest.files.items():
        _read_verified(Path(path), name, entry)


def _read_verified(folder: Path, name: str, entry: FileEntry) -> bytes:
    content = _read(folder / name, entry.bytes, "copy the whole bundle again")
    if len(content) != entry.bytes:
        raise BundleError(
            f"{folder / name} has {len(content):,} bytes where the manifest says {entry.bytes:,}: "
            "it was cut short; copy the bundle again"
        )
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(
            f"{folder / name} is not the file that was exported (its sha256 differs from the manifest's); "
            "copy the bundle again, or export it again"
        )
    return content


def _read(path: Path, most: int, advice: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError as error:
        raise BundleNotFoundError(f"{path} is missing: {advice}") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise BundleError(f"{path} is larger than {most:,} bytes: it is not the file that was exported")
    return content
