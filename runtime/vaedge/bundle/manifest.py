"""The manifest of a bundle: a frozen dataclass that corresponds to the file `manifest.json`.

The exporter and the runtime both use this module, so the format is defined in one place.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from vaedge._types import Condition
from vaedge.bundle.entries import FileEntry, Variant, read_file, read_variants
from vaedge.bundle.json_reader import Fields, parse_json
from vaedge.bundle.optional_fields import ENCODINGS, read_encoding, read_features, read_log_scale_range
from vaedge.errors import BundleError

FORMAT = "vaedge"
FORMAT_VERSION = 2  # the version that the exporter writes
READABLE_VERSIONS = (1, 2)
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
# Dict from the name of each prior to a bool: whether the bundle has a file with constants of the prior.
PRIORS: Mapping[str, bool] = {"standard_normal": False, "mixture": True}
# Names of arrays in the graphs and in the reference. A condition cannot have one of these names.
_RESERVED = frozenset(("x", "z", "mean", "log_var", "decoded"))

_GRAPH_KEYS = ("format", "format_version", "name", "input", "latent", "conditions", "likelihood", "prior")
_BARE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CONDITION_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")


def optional_field(read: Callable[[Fields, str], Any]) -> Any:
    """Declare an attribute of Manifest that is an optional field of `manifest.json` with the same name.

    The attribute is None if the file lacks the field. A field is not written if the attribute is None.

    Args:
        read: Method of Fields that reads the value from the file, such as `Fields.text`.
    """
    return field(default=None, metadata={"read": lambda top, key: read(top, key) if key in top else None})


def _mapping_field() -> Any:
    """Declare an attribute of Manifest for a required field of `manifest.json` that holds any JSON object."""
    return field(default_factory=dict, metadata={"read": Fields.mapping})


def may_name_condition(name: str, parameters: Collection[str]) -> bool:
    """Return whether a name can be the name of a condition.

    Args:
        name: The name. It must be a lower-case identifier, and must differ from the names of all other arrays in the
            graphs and in the file of the expected outputs.
        parameters: Names of the parameters of p(x|z), which are outputs of the decoder.
    """
    return bool(_CONDITION_NAME.fullmatch(name)) and name not in _RESERVED and name not in parameters


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of `manifest.json`, which describes a bundle.

    Attributes:
        name: Name of the bundle, for display.
        input_shape: Shape of one example of `x`, without the batch axis; float32.
        input_range: Minimum and maximum of the values of `x`. None allows every finite value.
        latent_shape: Shape of one `z`, without the batch axis; float32.
        likelihood: Name of the likelihood p(x|z).
        conditions: Dict from name to condition. The inputs of the encoder are `x` and the conditions in this order. The
            inputs of the decoder are `z` and the conditions in this order.
        parameters: Names of the parameters of p(x|z), in the order of the decoder's outputs after `x`.
        prior: Name of the prior p(z), one of PRIORS.
        prior_file: Name of the file with the prior's constants. None if the prior has no constants.
        variants: Dict from the name of each variant to its files.
        files: Dict from file name to SHA-256 and size, for every file that the runtime may open.
        minimum_onnxruntime: Oldest release of ONNX Runtime that runs the graphs.
        producers: Versions of the packages that made the bundle.
        verification: How the exporter compared the graphs with PyTorch, and which differences it found.
        metrics: Measured metrics (nats per example), and how they were measured.
        training: Description of the training, including its command.
        format_version: Format version of the file that was read. A manifest is always written in the newest version.
        log_scale_range: Minimum and maximum to which the runtime clips log_scale, a parameter of p(x|z). None if the
            graphs limit log_scale themselves.
        encoding: "uint8" if `x` may also be given as uint8, which is divided by 255 in float32; otherwise None.
        features: Names of the elements of `x`, for tables; empty if they have no names.
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
    producers: Mapping[str, str] = _mapping_field()
    verification: Mapping[str, Any] = _mapping_field()
    metrics: Mapping[str, Any] = _mapping_field()
    training: Mapping[str, Any] = _mapping_field()
    format_version: int = FORMAT_VERSION
    encoding: str | None = None
    log_scale_range: tuple[float, float] | None = None
    features: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the text of `manifest.json`. Equal manifests give equal texts."""
        return json.dumps(self._tree(), indent=2, ensure_ascii=False) + "\n"

    def graph_metadata(self) -> dict[str, str]:
        """Return the metadata to store in each graph: a dict from a key of the manifest to its value as JSON.

        The metadata identifies an .onnx file that was separated from its bundle.
        """
        tree = self._tree()
        return {key: json.dumps(tree[key], ensure_ascii=False) for key in _GRAPH_KEYS}

    def _tree(self) -> dict[str, Any]:
        declared = {name: getattr(self, name) for name in self._readers()}
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "input": self._input_tree(),
            "latent": {"shape": self.latent_shape, "dtype": "float32"},
            "conditions": {name: vars(condition) for name, condition in self.conditions.items()},
            "likelihood": self._likelihood_tree(),
            "prior": {"name": self.prior, **({"file": self.prior_file} if self.prior_file else {})},
            "variants": {name: variant.tree() for name, variant in self.variants.items()},
            "files": {name: vars(entry) for name, entry in sorted(self.files.items())},
            "minimum_onnxruntime": self.minimum_onnxruntime,
            **{name: value for name, value in declared.items() if value is not None},
        }

    def _input_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"shape": self.input_shape, "dtype": "float32", "range": self.input_range}
        if self.encoding is not None:
            tree["encoding"] = {"dtype": self.encoding, "scale": ENCODINGS[self.encoding]}
        if self.features:
            tree["features"] = self.features
        return tree

    def _likelihood_tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"name": self.likelihood, "parameters": self.parameters}
        if self.log_scale_range is not None:
            tree["log_scale_range"] = self.log_scale_range
        return tree

    @classmethod
    def _readers(cls) -> dict[str, Callable[[Fields, str], Any]]:
        """Return a dict from the name of an attribute to the function that reads the field of this name."""
        return {entry.name: entry.metadata["read"] for entry in fields(cls) if "read" in entry.metadata}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the text of a `manifest.json`.

        Args:
            text: The content of the file.

        Raises:
            BundleError: The text is not JSON, or has an unsupported format version. A missing, invalid or unknown field
                also raises this error, and the message names the field.
        """
        top = Fields(parse_json(text, MANIFEST_NAME), "", MANIFEST_NAME)
        if top.text("format") != FORMAT:
            raise top.error("format", f"{FORMAT!r}")
        version = top.integer("format_version")
        if version not in READABLE_VERSIONS:
            raise BundleError(
                f"{MANIFEST_NAME} has format version {version}, but this vaedge reads versions "
                f"{' and '.join(map(str, READABLE_VERSIONS))}: install the vaedge release that made the bundle, or "
                "export it again"
            )
        example, latent, likelihood = top.fields("input"), top.fields("latent"), top.fields("likelihood")
        for tensor in (example, latent):
            if tensor.text("dtype") != "float32":
                raise tensor.error("dtype", "'float32'")
        prior = top.fields("prior")
        if prior.text("name") not in PRIORS:
            raise prior.error("name", f"one of {', '.join(PRIORS)}")
        manifest = cls(
            name=top.text("name"),
            input_shape=example.shape("shape"),
            input_range=example.range("range"),
            latent_shape=latent.shape("shape"),
            conditions={name: _read_condition(entry) for name, entry in top.fields("conditions").entries()},
            likelihood=likelihood.text("name"),
            parameters=likelihood.texts("parameters"),
            prior=prior.text("name"),
            prior_file=prior.text("file") if PRIORS[prior.text("name")] else None,
            variants=read_variants(top, version),
            files={name: read_file(entry) for name, entry in top.fields("files").entries()},
            minimum_onnxruntime=top.matching("minimum_onnxruntime", _RELEASE),
            format_version=version,
            encoding=read_encoding(example),
            log_scale_range=read_log_scale_range(likelihood, version),
            features=read_features(example),
            **{name: read(top, name) for name, read in cls._readers().items()},
        )
        for part in (top, example, latent, likelihood, prior):
            part.finish()
        manifest._check_names()
        return manifest

    def _check_names(self) -> None:
        if len(set(self.parameters) | {"x"}) != len(self.parameters) + 1:
            raise BundleError(f"{MANIFEST_NAME}: likelihood.parameters must be distinct names other than 'x'")
        parameters = set(self.parameters)
        for name in self.conditions:
            if not may_name_condition(name, parameters):
                raise BundleError(f"{MANIFEST_NAME}: conditions: {name!r} cannot be the name of a condition")
        for place, names in (("files", self.files), ("variants", self.variants)):
            for name in names:
                if not _BARE_NAME.fullmatch(name):
                    raise BundleError(
                        f"{MANIFEST_NAME}: {place}: {name!r} is not a bare name (letters, digits, '.', '_', '-')"
                    )
        if not self.variants:
            raise BundleError(f"{MANIFEST_NAME}: variants is empty; expected at least one variant")
        used = [self.prior_file] if self.prior_file else []
        for variant in self.variants.values():
            optional = (variant.reference, variant.calibration)
            used += [variant.encoder, variant.decoder, *(name for name in optional if name is not None)]
        for name in used:
            if name not in self.files:
                raise BundleError(f"{MANIFEST_NAME}: {name!r} is used but has no entry under files")


def _read_condition(entry: Fields) -> Condition:
    dtype = entry.text("dtype")
    if dtype not in ("int64", "float32"):
        raise entry.error("dtype", "'int64' or 'float32'")
    condition = Condition(dtype, entry.shape("shape", scalar=True), entry.texts("classes", empty=dtype == "float32"))
    entry.finish()
    return condition
