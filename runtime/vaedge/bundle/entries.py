"""The variants and the files that a manifest lists."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaedge.bundle.json_reader import Fields

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle, as the manifest lists it.

    Attributes:
        sha256: SHA-256 of the content, 64 lower-case hexadecimal digits.
        bytes: Size of the content in bytes.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Variant:
    """One variant of the encoder and the decoder, such as fp32 or int8.

    Attributes:
        encoder: File name of the encoder, which maps `x` to `mean` and `log_var`.
        decoder: File name of the decoder, which maps `z` to `x` and to the parameters of p(x|z).
        opset: Version of the standard ONNX operators that the graphs use.
        ir_version: Version of the ONNX file format.
        reference: Name of the file with the inputs and the expected outputs for `vaedge check`. In bundles of format 1,
            only fp32 has such a file, and this attribute is None for the other variants.
        calibration: Name of the file with the calibration of anomaly detection. None if the variant has no calibration.
        measured: Measurements by the exporter, such as size, times, and change of the ELBO from fp32. May be empty.
    """

    encoder: str
    decoder: str
    opset: int
    ir_version: int
    reference: str | None = None
    calibration: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)

    def tree(self) -> dict[str, Any]:
        """Return the variant as an object of `manifest.json`. Attributes that are None are left out."""
        return {name: value for name, value in vars(self).items() if value is not None}


def read_file(entry: Fields) -> FileEntry:
    """Read one entry of the field `files` of a manifest."""
    file = FileEntry(sha256=entry.matching("sha256", _SHA256), bytes=entry.integer("bytes"))
    entry.finish()
    return file


def read_variants(top: Fields, version: int) -> dict[str, Variant]:
    """Read the variants that a manifest lists.

    In format 1, `reference` is a top-level field of the manifest, and names the file of expected outputs of fp32.
    """
    entries = top.fields("variants").entries()
    if version > 1:
        return {name: _read_variant(entry, entry.text("reference")) for name, entry in entries}
    reference = top.text("reference")
    return {name: _read_variant(entry, reference if name == "fp32" else None) for name, entry in entries}


def _read_variant(entry: Fields, reference: str | None) -> Variant:
    variant = Variant(
        encoder=entry.text("encoder"),
        decoder=entry.text("decoder"),
        opset=entry.integer("opset"),
        ir_version=entry.integer("ir_version"),
        reference=reference,
        calibration=entry.text("calibration") if "calibration" in entry else None,
        measured=entry.mapping("measured"),
    )
    entry.finish()
    return variant
