"""Open a bundle: read its manifest, read each file once, and let through only bytes whose sha256 agrees."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vaedge.bundle.gate import check_graph
from vaedge.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest
from vaedge.bundle.signature import declared_signature, decoder_signature, encoder_signature
from vaedge.errors import BundleError, BundleNotFoundError, InputError

# A pipe or a device is never waited for, should one take a file's place between the look at it and its opening.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose bytes have been verified.

    Attributes:
        path: the folder.
        manifest: what the folder says of itself.
        sha256: of `manifest.json`, which says which bundle it is, for it has the sha256 of every file that it names.
        variant: name of the precision that was chosen.
        encoder: bytes of the encoder's graph.
        decoder: bytes of the decoder's graph.
        prior: bytes of the prior's constants, or None where it has none.
    """

    path: Path
    manifest: Manifest
    sha256: str
    variant: str
    encoder: bytes
    decoder: bytes
    prior: bytes | None

    def read(self, name: str) -> bytes:
        """Read another file that the manifest lists, and verify it.

        Raises:
            BundleNotFoundError: it is missing.
            BundleError: it is not the file that was exported.
        """
        return _read_verified(self.path, name, self.manifest)

    def verify_others(self) -> None:
        """Compare every file that was not read for this variant with its size and sha256, and walk its graphs.

        Raises:
            BundleNotFoundError: one is missing.
            BundleError: one is not the file that was exported, or a graph is refused.
        """
        graphs = {
            graph: variant for variant, pair in self.manifest.variants.items() for graph in (pair.encoder, pair.decoder)
        }
        for name in self.manifest.files:
            if name in graphs and graphs[name] != self.variant:
                _read_graph(self.path, name, self.manifest, graphs[name])
            elif name not in graphs and name != self.manifest.prior_file:
                self.read(name)


def read_manifest(path: str | os.PathLike[str], sha256: str | None = None) -> tuple[Manifest, str]:
    """Read the manifest of the bundle at `path`.

    Args:
        path: the bundle's folder.
        sha256: of `manifest.json`, in hexadecimal digits, where the caller knows which bundle it must be.

    Returns:
        The manifest, and the sha256 that it has.

    Raises:
        BundleNotFoundError: there is no such folder, or no manifest in it.
        BundleError: the manifest is not valid, or not the one with this sha256.
        InputError: the sha256 is none.
    """
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise InputError(f"sha256 is {sha256!r}; expected 64 hexadecimal digits, as `vaedge info` prints them")
    folder = Path(path)
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise BundleNotFoundError(f"{folder} cannot be looked at: {error.strerror}") from error
    if not is_folder:
        raise BundleNotFoundError(f"{folder} is not a folder; a bundle is the folder that `vaedge export` wrote")
    content = _read(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES, "is a folder vaedge exported?")
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise BundleError(
            f"{folder / MANIFEST_NAME} has the sha256 {found}, and {sha256} was asked for: another bundle"
        )
    try:
        return Manifest.from_json(content.decode("utf-8")), found
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
    manifest, found = read_manifest(folder, sha256)
    if not isinstance(variant, str) or variant not in manifest.variants:
        raise InputError(f"{folder} has no variant {variant!r}; it has {', '.join(manifest.variants)}")
    return _read_variant(folder, manifest, found, variant)


def read_variants(path: str | os.PathLike[str], sha256: str | None = None) -> Iterator[Bundle]:
    """Read the manifest once, and then the files of each variant.

    Args:
        path: the bundle's folder.
        sha256: as for `read_manifest`.

    Yields:
        One bundle per variant, as `read_bundle` returns it.

    Raises:
        BundleNotFoundError: the folder or one of the files is missing.
        BundleError: the manifest is not valid, or a file is not the one that was exported.
    """
    folder = Path(path)
    manifest, found = read_manifest(folder, sha256)
    for variant in manifest.variants:
        yield _read_variant(folder, manifest, found, variant)


def _read_variant(folder: Path, manifest: Manifest, sha256: str, variant: str) -> Bundle:
    graphs = manifest.variants[variant]
    return Bundle(
        path=folder,
        manifest=manifest,
        sha256=sha256,
        variant=variant,
        encoder=_read_graph(folder, graphs.encoder, manifest, variant),
        decoder=_read_graph(folder, graphs.decoder, manifest, variant),
        prior=_read_verified(folder, manifest.prior_file, manifest) if manifest.prior_file else None,
    )


def _read_graph(folder: Path, name: str, manifest: Manifest, variant: str) -> bytes:
    """Read a graph that is the one that was exported, holds nothing but what a bundle's graphs do, and fits."""
    content = _read_verified(folder, name, manifest)
    try:
        check_graph(content, contrib=variant != "fp32")
        found = declared_signature(content)
    except BundleError as error:
        raise BundleError(f"{folder / name} is refused: {error}") from error
    expected = encoder_signature if name == manifest.variants[variant].encoder else decoder_signature
    expected(manifest).require(found, str(folder / name))
    return content


def _read_verified(folder: Path, name: str, manifest: Manifest) -> bytes:
    entry = manifest.files[name]
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
    """Read a regular file of at most so many bytes; a link is followed, as package managers and caches make them."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a device can already do harm
            raise BundleError(f"{path} is no regular file: it is not the file that was exported")
        with os.fdopen(os.open(path, _OPEN_FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > most:
                raise BundleError(f"{path} is larger than {most:,} bytes: it is not the file that was exported")
            return file.read(most)
    except FileNotFoundError as error:
        raise BundleNotFoundError(f"{path} is missing: {advice}") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
