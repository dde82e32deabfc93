"""Read a bundle: first the manifest, then each file once. The SHA-256 of each file must match the manifest."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vaedge.bundle.graph_checks import check_graph
from vaedge.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest
from vaedge.bundle.signature import declared_signature, decoder_signature, encoder_signature
from vaedge.errors import BundleError, BundleNotFoundError, InputError

# O_NONBLOCK: opening a file must not wait, even if a pipe or a device has just replaced the file.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_MAX_CALIBRATION_BYTES = 2**26


class CalibrationFile(NamedTuple):
    """The content of a file with the calibration of anomaly detection for one variant.

    Attributes:
        location: Location of the file, for error messages. None for a `Calibration` that is not in a file.
        content: The content of the file.
    """

    location: str | None
    content: bytes


@dataclass(frozen=True)
class ModelFiles:
    """The files that a VAE needs to run one variant.

    Attributes:
        manifest: The manifest.
        variant: Name of the variant.
        encoder: Serialized graph of the encoder.
        decoder: Serialized graph of the decoder.
        prior: Content of the prior's file, or None for N(0, I).
        calibration: The file with the calibration of anomaly detection, or None.
    """

    manifest: Manifest
    variant: str
    encoder: bytes
    decoder: bytes
    prior: bytes | None
    calibration: CalibrationFile | None = field(default=None, kw_only=True)

    @property
    def model_sha256(self) -> str:
        """SHA-256 that identifies the graphs and the prior, 64 hexadecimal digits.

        It is the SHA-256 of the concatenated SHA-256 digests of the encoder, the decoder, and the prior's file if there
        is one.
        """
        contents = (self.encoder, self.decoder, self.prior)
        return _join_sha256(hashlib.sha256(content).digest() for content in contents if content is not None)

    def locate(self, name: str) -> str:
        """Return the location of a file, for error messages."""
        return f"{name} of {self.manifest.name}"


@dataclass(frozen=True)
class Bundle(ModelFiles):
    """The verified files of one variant of a bundle on disk.

    Attributes:
        path: The bundle's folder.
        sha256: SHA-256 of `manifest.json`. This hash identifies the bundle, because the manifest holds the SHA-256 of
            every other file that the runtime opens.
    """

    path: Path
    sha256: str

    @property
    def model_sha256(self) -> str:
        """SHA-256 that identifies the graphs and the prior, 64 hexadecimal digits.

        It is computed from the digests in the manifest. The files were verified against these digests.
        """
        return variant_sha256(self.manifest, self.variant)

    def locate(self, name: str) -> str:
        """Return the location of a file, for error messages."""
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        """Read a file that the manifest lists, and verify it.

        Raises:
            BundleNotFoundError: The file is missing.
            BundleError: The size or the SHA-256 of the file differs from the manifest.
        """
        return _read_verified(self.path, name, self.manifest)

    def verify_others(self) -> None:
        """Verify the files that were not read for this variant. Also check the content of the graphs of other variants.

        Raises:
            BundleNotFoundError: A file is missing.
            BundleError: The size or the SHA-256 of a file differs from the manifest, or a graph fails the checks.
        """
        variants = self.manifest.variants.items()
        graphs = {graph: variant for variant, pair in variants for graph in (pair.encoder, pair.decoder)}
        for name in self.manifest.files:
            if name in graphs and graphs[name] != self.variant:
                _read_graph(self.path, name, self.manifest, graphs[name])
            elif name not in graphs and name != self.manifest.prior_file:
                self.read(name)


def read_manifest(path: str | os.PathLike[str], sha256: str | None = None) -> tuple[Manifest, str]:
    """Read the manifest of a bundle.

    Args:
        path: The bundle's folder.
        sha256: Expected SHA-256 of `manifest.json`, in hexadecimal digits. None accepts any manifest.

    Returns:
        The manifest, and the SHA-256 of `manifest.json`.

    Raises:
        BundleNotFoundError: The folder does not exist, or has no manifest.
        BundleError: The manifest is invalid, or the SHA-256 of `manifest.json` differs from `sha256`.
        InputError: `sha256` is not 64 hexadecimal digits.
    """
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise InputError(f"sha256 is {sha256!r}; expected 64 hexadecimal digits, as `vaedge info` prints them")
    folder = Path(path)
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise BundleNotFoundError(f"{folder} cannot be opened: {error.strerror}") from error
    if not is_folder:
        raise BundleNotFoundError(f"{folder} is not a folder; a bundle is the folder that `vaedge export` wrote")
    content = _read(folder / MANIFEST_NAME, MAX_MANIFEST_BYTES, "expected a folder that `vaedge export` wrote")
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise BundleError(
            f"{folder / MANIFEST_NAME} has the SHA-256 {found}; expected {sha256}. This is not the expected bundle"
        )
    try:
        return Manifest.from_json(content.decode("utf-8")), found
    except UnicodeDecodeError as error:
        raise BundleError(f"{folder / MANIFEST_NAME} is not UTF-8 text") from error
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from error.__cause__


def read_bundle(path: str | os.PathLike[str], variant: str = "fp32", sha256: str | None = None) -> Bundle:
    """Read the manifest and the files of one variant, and verify the size and the SHA-256 of each file.

    Args:
        path: The bundle's folder.
        variant: Name of a variant in the manifest.
        sha256: As for `read_manifest`.

    Raises:
        BundleNotFoundError: The folder or a file is missing.
        BundleError: The manifest is invalid, or the size or the SHA-256 of a file differs from the manifest.
        InputError: The bundle does not have this variant.
    """
    folder = Path(path)
    manifest, found = read_manifest(folder, sha256)
    if not isinstance(variant, str) or variant not in manifest.variants:
        raise InputError(f"{folder} has no variant {variant!r}; it has {', '.join(manifest.variants)}")
    return _read_variant(folder, manifest, found, variant)


def read_variants(path: str | os.PathLike[str], sha256: str | None = None) -> Iterator[Bundle]:
    """Read the manifest once, and then the files of each variant.

    Args:
        path: The bundle's folder.
        sha256: As for `read_manifest`.

    Yields:
        One bundle per variant, as `read_bundle` returns it.

    Raises:
        BundleNotFoundError: The folder or a file is missing.
        BundleError: The manifest is invalid, or the size or the SHA-256 of a file differs from the manifest.
    """
    folder = Path(path)
    manifest, found = read_manifest(folder, sha256)
    for variant in manifest.variants:
        yield _read_variant(folder, manifest, found, variant)


def _read_variant(folder: Path, manifest: Manifest, sha256: str, variant: str) -> Bundle:
    graphs = manifest.variants[variant]
    return Bundle(
        manifest=manifest,
        variant=variant,
        encoder=_read_graph(folder, graphs.encoder, manifest, variant),
        decoder=_read_graph(folder, graphs.decoder, manifest, variant),
        prior=_read_verified(folder, manifest.prior_file, manifest) if manifest.prior_file else None,
        calibration=read_calibration(folder, manifest, variant),
        path=folder,
        sha256=sha256,
    )


def variant_sha256(manifest: Manifest, variant: str) -> str:
    """Return the SHA-256 that identifies the graphs and the prior of a variant.

    It is computed from the SHA-256 of each file in the manifest, so no file is read.
    """
    graphs = manifest.variants[variant]
    names = (graphs.encoder, graphs.decoder, manifest.prior_file)
    return _join_sha256(bytes.fromhex(manifest.files[name].sha256) for name in names if name is not None)


def read_calibration(folder: Path, manifest: Manifest, variant: str) -> CalibrationFile | None:
    """Read and verify the calibration of a variant. Return None if the variant has no calibration.

    The graphs of the variant are not read.

    Raises:
        BundleNotFoundError: The file is missing.
        BundleError: The size or the SHA-256 of the file differs from the manifest.
    """
    name = manifest.variants[variant].calibration
    return None if name is None else CalibrationFile(str(folder / name), _read_verified(folder, name, manifest))


def read_calibration_file(path: str | os.PathLike[str]) -> CalibrationFile:
    """Read a calibration that is not part of a bundle.

    Raises:
        BundleNotFoundError: The file is missing.
        BundleError: The file is larger than 64 MiB, is not a regular file, or cannot be read.
    """
    advice = "`vaedge calibrate` writes such a file"
    return CalibrationFile(str(path), _read(Path(path), _MAX_CALIBRATION_BYTES, advice))


def _join_sha256(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _read_graph(folder: Path, name: str, manifest: Manifest, variant: str) -> bytes:
    """Read a graph, verify it, check its content, and compare its inputs and outputs with the manifest."""
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
            f"{folder / name} has {len(content):,} bytes, and the manifest says {entry.bytes:,}: "
            "the file was cut short; copy the bundle again"
        )
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(
            f"{folder / name} is not the file that was exported (its SHA-256 differs from the manifest's); "
            "copy the bundle again, or export it again"
        )
    return content


def _read(path: Path, maximum: int, advice: str) -> bytes:
    """Read a regular file of at most `maximum` bytes. Links are followed, because package managers create them."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a device can have side effects
            raise BundleError(f"{path} is not a regular file: the exporter did not write this file")
        with os.fdopen(os.open(path, _OPEN_FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > maximum:
                raise BundleError(f"{path} is larger than {maximum:,} bytes: the exporter did not write this file")
            return file.read(maximum)
    except FileNotFoundError as error:
        raise BundleNotFoundError(f"{path} is missing: {advice}") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
