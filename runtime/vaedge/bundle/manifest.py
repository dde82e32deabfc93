"""The manifest: what a bundle says of itself, as a frozen dataclass, to and from `manifest.json`.

The exporter writes it and the runtime reads it, both through this file, so the format is spelled once.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from vaedge.bundle.json_reader import Fields, parse_json
from vaedge.errors import BundleError

FORMAT = "vaedge"
FORMAT_VERSION = 2  # what is written
READABLE_VERSIONS = (1, 2)
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
PRIORS = ("standard_normal", "mixture")
# Names that a condition cannot have: arguments of the calls, and arrays of the reference.
_ARGUMENTS = frozenset(("self", "x", "z", "n", "k", "a", "b", "steps", "sample", "seed", "out"))
_STORED = frozenset(("mean", "log_var", "decoded"))

_GRAPH_KEYS = ("format", "format_version", "name", "input", "latent", "conditions", "likelihood", "prior")
_BARE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CONDITION_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")


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
        reference: file name of the inputs and outputs that `vaedge check` compares with; None in bundles of format 1
            for variants other than fp32.
        measured: what it costs and brings, against fp32; empty for fp32 itself where it is alone.
    """

    encoder: str
    decoder: str
    opset: int
    ir_version: int
    reference: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """One further input of both graphs, beside x and z: what a conditional model is told of each item.

    Attributes:
        dtype: "int64" for the number of a class, "float32" for anything else.
        shape: of one item's value; () for a single number.
        classes: for int64 the names of the values 0, 1, ..., which says how many there are; else empty.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()


def may_name_condition(name: str, parameters: Collection[str]) -> bool:
    """Say whether a condition can have this name, and not that of an argument, an array, or a parameter of p(x|z)."""
    return bool(_CONDITION_NAME.fullmatch(name)) and name not in _ARGUMENTS | _STORED | set(parameters)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle holds.

    Attributes:
        name: the bundle's name, for people.
        input_shape: shape of one item of `x`, without the batch axis; float32.
        input_range: least and greatest value of `x`, or None where every finite value is allowed.
        latent_shape: shape of one `z`, without the batch axis; float32.
        likelihood: name of p(x|z).
        conditions: further inputs of both graphs, by name, in their order after `x` or `z`.
        parameters: names of p(x|z)'s parameters, in the order of the decoder's outputs after `x`.
        prior: name of p(z): "standard_normal", or "mixture".
        prior_file: file name of a mixture's constants, else None.
        variants: the graphs, by the name of their precision.
        files: every file that the runtime may open, by name.
        minimum_onnxruntime: oldest ONNX Runtime release that runs the graphs.
        producers: version of each package that made the bundle.
        verification: what the exporter compared and found.
        metrics: measured figures (nats per item) and how they were measured.
        training: how the model was made, with the command.
        format_version: version of the format that the manifest was read from; what is written is always the newest.
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
    files: Mapping[str, FileEntry]
    minimum_onnxruntime: str
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    producers: Mapping[str, str] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Return the text of `manifest.json`; the same manifest gives the same text."""
        return json.dumps(self._tree(), indent=2, ensure_ascii=False) + "\n"

    def graph_metadata(self) -> dict[str, str]:
        """Return what each graph says of itself, so that one found alone is not a riddle: keys of the manifest."""
        tree = self._tree()
        return {key: json.dumps(tree[key], ensure_ascii=False) for key in _GRAPH_KEYS}

    def _tree(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "input": {"shape": self.input_shape, "dtype": "float32", "range": self.input_range},
            "latent": {"shape": self.latent_shape, "dtype": "float32"},
            "conditions": {name: vars(condition) for name, condition in self.conditions.items()},
            "likelihood": {"name": self.likelihood, "parameters": self.parameters},
            "prior": {"name": self.prior, **({"file": self.prior_file} if self.prior_file else {})},
            "variants": {name: vars(variant) for name, variant in self.variants.items()},
            "files": {name: vars(entry) for name, entry in sorted(self.files.items())},
            "minimum_onnxruntime": self.minimum_onnxruntime,
            "producers": self.producers,
            "verification": self.verification,
            "metrics": self.metrics,
            "training": self.training,
        }

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read the text of a `manifest.json`.

        Raises:
            BundleError: the text is not JSON, is of another format version, or a field is missing or wrong;
                the message names the field.
        """
        top = Fields(parse_json(text, MANIFEST_NAME), "", MANIFEST_NAME)
        if top.text("format") != FORMAT:
            raise top.wrong("format", f"{FORMAT!r}")
        version = top.integer("format_version")
        if version not in READABLE_VERSIONS:
            raise BundleError(
                f"{MANIFEST_NAME} has format version {version}, and this vaedge reads versions "
                f"{' and '.join(map(str, READABLE_VERSIONS))}: install the vaedge release that made the bundle, or "
                "export it again"
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
            conditions={name: _read_condition(entry) for name, entry in top.fields("conditions").items()},
            likelihood=likelihood.text("name"),
            parameters=likelihood.texts("parameters"),
            prior=prior.text("name"),
            prior_file=prior.text("file") if prior.text("name") == "mixture" else None,
            variants=_read_variants(top, version),
            files={name: _read_file(entry) for name, entry in top.fields("files").items()},
            minimum_onnxruntime=top.matching("minimum_onnxruntime", _RELEASE),
            producers=top.mapping("producers"),
            verification=top.mapping("verification"),
            metrics=top.mapping("metrics"),
            training=top.mapping("training"),
            format_version=version,
        )
        for fields in (top, item, latent, likelihood, prior):
            fields.finish()
        manifest._check_names()
        return manifest

    def _check_names(self) -> None:
        if len(set(self.parameters) | {"x"}) != len(self.parameters) + 1:
            raise BundleError(f"{MANIFEST_NAME}: likelihood.parameters are not distinct names other than 'x'")
        for name in self.conditions:
            if not may_name_condition(name, self.parameters):
                raise BundleError(f"{MANIFEST_NAME}: conditions: {name!r} cannot be the name of a condition")
        for place, names in (("files", self.files), ("variants", self.variants)):
            for name in names:
                if not _BARE_NAME.fullmatch(name):
                    raise BundleError(
                        f"{MANIFEST_NAME}: {place}: {name!r} is not a bare name (letters, digits, '.', '_', '-')"
                    )
        if not self.variants:
            raise BundleError(f"{MANIFEST_NAME}: variants is empty; a bundle has at least one")
        used = [self.prior_file] if self.prior_file else []
        for variant in self.variants.values():
            used += [variant.encoder, variant.decoder, *([variant.reference] if variant.reference else [])]
        for name in used:
            if name not in self.files:
                raise BundleError(f"{MANIFEST_NAME}: {name!r} is used but has no entry under files")


def _read_file(entry: Fields) -> FileEntry:
    file = FileEntry(sha256=entry.matching("sha256", _SHA256), bytes=entry.integer("bytes"))
    entry.finish()
    return file


def _read_variants(top: Fields, version: int) -> dict[str, Variant]:
    """Read the variants; format 1 has one reference for the whole bundle, which is that of fp32."""
    entries = top.fields("variants").items()
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
        measured=entry.mapping("measured"),
    )
    entry.finish()
    return variant


def _read_condition(entry: Fields) -> Condition:
    dtype = entry.text("dtype")
    if dtype not in ("int64", "float32"):
        raise entry.wrong("dtype", "'int64' or 'float32'")
    condition = Condition(dtype, entry.shape("shape", scalar=True), entry.texts("classes", empty=dtype == "float32"))
    entry.finish()
    return condition
