"""The manifest: what a bundle says of itself, as a frozen dataclass, to and from `manifest.json`.

The exporter writes it and the runtime reads it, both through this file, so the format is spelled once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vaedge.errors import BundleError

FORMAT = "vaedge"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
PRIORS = ("standard_normal", "mixture")

_BARE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle.

    Attributes:
        sha256: 64 lower-case hexadecimal digits.
        bytes: the file's exact size.
    """

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Variant:
    """The two graphs of one precision; file names inside the bundle.

    Attributes:
        encoder: file name of the graph `x` -> `mean`, `log_var`.
        decoder: file name of the graph `z` -> `x`, then the parameters of p(x|z).
        opset: version of the plain ONNX operators that the graphs use.
        ir_version: version of the ONNX file format.
    """

    encoder: str
    decoder: str
    opset: int
    ir_version: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle holds.

    Attributes:
        name: the bundle's name, for people.
        input_shape: shape of one item of `x`, without the batch axis; float32.
        input_range: least and greatest value of `x`, or None where every finite value is allowed.
        latent_shape: shape of one `z`, without the batch axis; float32.
        likelihood: name of p(x|z).
        parameters: names of p(x|z)'s parameters, in the order of the decoder's outputs after `x`.
        prior: name of p(z): "standard_normal", or "mixture".
        prior_file: file name of a mixture's constants, else None.
        variants: the graphs, by the name of their precision.
        reference: file name of the arrays that `vaedge check` compares with.
        files: every file that the runtime may open, by name.
        minimum_onnxruntime: oldest ONNX Runtime release that runs the graphs.
        producers: version of each package that made the bundle.
        verification: what the exporter compared and found.
        metrics: measured figures (nats per item) and how they were measured.
        training: how the model was made, with the command.
    """

    name: str
    input_shape: tuple[int, ...]
    input_range: tuple[float, float] | None
    latent_shape: tuple[int, ...]
    likelihood: str
    parameters: tuple[str, ...]
    prior: str
    prior_file: str | None
    variants: Mapping[str, Variant]
    reference: str
    files: Mapping[str, FileEntry]
    minimum_onnxruntime: str
    producers: Mapping[str, str] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the text of `manifest.json`; the same manifest gives the same text."""
        tree = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "input": {"shape": self.input_shape, "dtype": "float32", "range": self.input_range},
            "latent": {"shape": self.latent_shape, "dtype": "float32"},
            "likelihood": {"name": self.likelihood, "parameters": self.parameters},
            "prior": {"name": self.prior, **({"file": self.prior_file} if self.prior_file else {})},
            "variants": {name: vars(variant) for name, variant in self.variants.items()},
            "reference": self.reference,
            "files": {name: vars(entry) for name, entry in sorted(self.files.items())},
            "minimum_onnxruntime": self.minimum_onnxruntime,
            "producers": self.producers,
            "verification": self.verification,
            "metrics": self.metrics,
            "training": self.training,
        }
        return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read the text of a `manifest.json`.

        Raises:
            BundleError: the text is not JSON, is of another format version, or a field is missing or wrong;
                the message names the field.
        """
        try:
            tree = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{MANIFEST_NAME} is not valid JSON: {error}") from error
        top = _Fields(tree, "")
        if top.text("format") != FORMAT:
            raise top.wrong("format", f"{FORMAT!r}")
        if top.integer("format_version") != FORMAT_VERSION:
            raise BundleError(
                f"{MANIFEST_NAME} has format version {top.integer('format_version')}, and this vaedge reads "
                f"version {FORMAT_VERSION}: install the vaedge release that made the bundle, or export it again"
            )
        item, latent, likelihood = top.fields("input"), top.fields("latent"), top.fields("likelihood")
        for tensor in (item, latent):
            if tensor.text("dtype") != "float32":
                raise tensor.wrong("dtype", "'float32'")
        prior = top.fields("prior")
        if prior.text("name") not in PRIORS:
            raise prior.wrong("name", f"one of {', '.join(PRIORS)}")
        manifest = cls(
            name=top.text("name"),
            input_shape=item.shape("shape"),
            input_range=item.range("range"),
            latent_shape=latent.shape("shape"),
            likelihood=likelihood.text("name"),
            parameters=tuple(likelihood.texts("parameters")),
            prior=prior.text("name"),
            prior_file=prior.text("file") if prior.text("name") == "mixture" else None,
            variants={
                name: Variant(
                    encoder=variant.text("encoder"),
                    decoder=variant.text("decoder"),
                    opset=variant.integer("opset"),
                    ir_version=variant.integer("ir_version"),
                )
                for name, variant in top.fields("variants").items()
            },
            reference=top.text("reference"),
            files={
                name: FileEntry(sha256=entry.matching("sha256", _SHA256), bytes=entry.integer("bytes"))
                for name, entry in top.fields("files").items()
            },
            minimum_onnxruntime=top.text("minimum_onnxruntime"),
            producers=top.mapping("producers"),
            verification=top.mapping("verification"),
            metrics=top.mapping("metrics"),
            training=top.mapping("training"),
        )
        manifest._check_file_names()
        return manifest

    def _check_file_names(self) -> None:
        for name in self.files:
            if not _BARE_NAME.fullmatch(name):
                raise BundleError(
                    f"{MANIFEST_NAME}: files: {name!r} is not a bare file name (letters, digits, '.', '_', '-')"
                )
        if not self.variants:
            raise BundleError(f"{MANIFEST_NAME}: variants is empty; a bundle has at least one")
        used = [self.reference, *([self.prior_file] if self.prior_file else [])]
        for variant in self.variants.values():
            used += [variant.encoder, variant.decoder]
        for name in used:
            if name not in self.files:
                raise BundleError(f"{MANIFEST_NAME}: {name!r} is used but has no entry under files")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Fields:
    """One object of the JSON tree, read field by field, so that an error can name the place."""

    def __init__(self, tree: object, place: str) -> None:
        if not isinstance(tree, dict):
            raise BundleError(f"{MANIFEST_NAME}: {place or 'the whole file'} is not an object")
        self._tree: dict[str, Any] = tree
        self._place = place

    def wrong(self, key: str, expected: str) -> BundleError:
        place = f"{self._place}.{key}" if self._place else key
        if key not in self._tree:
            return BundleError(f"{MANIFEST_NAME}: {place} is missing; expected {expected}")
        shown = json.dumps(self._tree[key])
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return BundleError(f"{MANIFEST_NAME}: {place} is {shown}; expected {expected}")

    def text(self, key: str) -> str:
        value = self._tree.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a string")
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise self.wrong(key, f"text like {pattern.pattern}")
        return value

    def integer(self, key: str) -> int:
        value = self._tree.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, "a whole number")
        return value

    def texts(self, key: str) -> list[str]:
        value = self._tree.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise self.wrong(key, "a list of strings")
        return value

    def shape(self, key: str) -> tuple[int, ...]:
        value = self._tree.get(key)
        valid = isinstance(value, list) and value and all(type(size) is int and size > 0 for size in value)
        if not valid:
            raise self.wrong(key, "a list of positive whole numbers")
        return tuple(self._tree[key])

    def range(self, key: str) -> tuple[float, float] | None:
        value = self._tree.get(key, "missing")
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2:
            raise self.wrong(key, "[least, greatest] or null")
        if not all(type(end) in (int, float) for end in value) or not value[0] < value[1]:
            raise self.wrong(key, "[least, greatest] or null")
        return float(value[0]), float(value[1])

    def mapping(self, key: str) -> dict[str, Any]:
        value = self._tree.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return value

    def fields(self, key: str) -> "_Fields":
        return _Fields(self.mapping(key), f"{self._place}.{key}" if self._place else key)

    def items(self) -> list[tuple[str, "_Fields"]]:
        return [(key, self.fields(key)) for key in self._tree]
