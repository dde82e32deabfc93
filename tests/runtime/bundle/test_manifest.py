"""A manifest that was written and read is unchanged, and invalid fields are refused."""

import json
from dataclasses import dataclass, replace

import pytest

import vaedge
from vaedge.bundle.json_reader import Fields
from vaedge.bundle.manifest import PRIORS, may_name_condition, optional_field
from vaedge.distributions.prior import Mixture, StandardNormal


def remove(*keys):
    def change(tree):
        for key in keys[:-1]:
            tree = tree[key]
        del tree[keys[-1]]

    return change


def put(value, *keys):
    def change(tree):
        for key in keys[:-1]:
            tree = tree[key]
        tree[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("other", "format"), "format is"),
        (put(3, "format_version"), "format version 3.*reads versions 1 and 2"),
        (put(0, "format_version"), "format version 0.*reads versions 1 and 2"),
        (put("reference.npz", "reference"), "reference.* is not a field"),
        (remove("variants", "fp32", "reference"), "variants.fp32.reference is missing"),
        (put(True, "format_version"), "format_version is true"),
        (remove("input"), "input is missing"),
        (remove("input", "shape"), "input.shape is missing"),
        (remove("input", "range"), "input.range is missing"),
        (put([1, 28, 0], "input", "shape"), "input.shape is"),
        (put("28", "input", "shape"), "input.shape is"),
        (put("float64", "input", "dtype"), "input.dtype is"),
        (put("float64", "latent", "dtype"), "latent.dtype is"),
        (put([1, 0], "input", "range"), "input.range is"),
        (put([f"x{i}" for i in range(28)], "input", "features"), "input.features is .*; expected distinct"),
        (put([], "likelihood", "parameters"), "likelihood.parameters is"),
        (put(["logits", "logits"], "likelihood", "parameters"), "parameters must be distinct names other than 'x'"),
        (put(["x"], "likelihood", "parameters"), "parameters must be distinct names other than 'x'"),
        (put({}, "variants"), "variants is empty"),
        (put("nowhere.onnx", "variants", "fp32", "encoder"), "'nowhere.onnx' is used, but it is not listed"),
        (put("nowhere.onnx", "variants", "int8", "decoder"), "'nowhere.onnx' is used, but it is not listed"),
        (put("nowhere.npz", "variants", "int8", "reference"), "'nowhere.npz' is used, but it is not listed"),
        (put({"name": "mixture", "file": "nowhere.npz"}, "prior"), "'nowhere.npz' is used, but it is not listed"),
        (put({"name": "mixture"}, "prior"), "prior.file is missing"),
        (put({"name": "standard_normal", "file": "reference.npz"}, "prior"), "prior.file.* is not a field"),
        (put({"name": "uniform"}, "prior"), r"prior.name is \"uniform\"; expected one of standard_normal, mixture"),
        (put({"sha256": "0" * 64, "bytes": 1}, "files", "../secret"), "not a bare name"),
        (put("0" * 63, "files", "encoder.onnx", "sha256"), "files.encoder.onnx.sha256 is"),
        (put("A" * 64, "files", "encoder.onnx", "sha256"), "files.encoder.onnx.sha256 is"),
        (put(-1, "files", "encoder.onnx", "bytes"), "bytes is -1"),
        (put("1.2.3.4.5", "minimum_onnxruntime"), "minimum_onnxruntime is"),
        (put({"y": {"dtype": "int32", "shape": [], "classes": ["a"]}}, "conditions"), "conditions.y.dtype is"),
        (put({"y": {"dtype": "int64", "shape": [], "classes": []}}, "conditions"), "conditions.y.classes is"),
        (put({"z": {"dtype": "float32", "shape": [], "classes": []}}, "conditions"), "'z' cannot be the name"),
        (put({"y": {"dtype": "float32", "shape": [], "classes": [], "max": 1}}, "conditions"), "max.* is not a field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_field_is_refused(bundle, change, message):
    tree = json.loads((bundle / "manifest.json").read_text())
    change(tree)
    with pytest.raises(vaedge.BundleError, match=message):
        vaedge.Manifest.from_json(json.dumps(tree))


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (put(None, "input", "range"), lambda manifest: manifest.input_range is None),
        (put([-1.5, 2], "input", "range"), lambda manifest: manifest.input_range == (-1.5, 2.0)),
        (put("1.2.3.4", "minimum_onnxruntime"), lambda manifest: manifest.minimum_onnxruntime == "1.2.3.4"),
        (
            put({"y": {"dtype": "float32", "shape": [2], "classes": []}}, "conditions"),
            lambda manifest: manifest.conditions == {"y": vaedge.Condition("float32", (2,))},
        ),
        (
            put({"seed": {"dtype": "int64", "shape": [], "classes": ["a"]}}, "conditions"),
            lambda manifest: manifest.conditions == {"seed": vaedge.Condition("int64", (), ("a",))},
        ),
    ],
    ids=["no range", "range", "release", "float32 condition", "condition with the name of an argument"],
)
def test_valid_field_is_read(bundle, change, read):
    tree = json.loads((bundle / "manifest.json").read_text())
    change(tree)
    assert read(vaedge.Manifest.from_json(json.dumps(tree)))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        *(("y", True), ("n", True), ("seed", True), ("self", True), ("label_2", True), ("loc", True)),
        *(("x", False), ("z", False), ("mean", False), ("log_var", False), ("decoded", False), ("logits", False)),
        *(("Y", False), ("2d", False), ("_y", False), ("", False), ("a-b", False)),
    ],
)
def test_name_of_a_condition_is_not_that_of_another_array(name, allowed):
    assert may_name_condition(name, ("logits",)) == allowed


def test_priors_of_the_manifest_are_those_of_the_runtime():
    priors = StandardNormal, Mixture
    assert list(PRIORS) == [prior.name for prior in priors]


def test_manifest_reads_back_as_it_was_written(bundle):
    text = (bundle / "manifest.json").read_text()
    manifest = vaedge.Manifest.from_json(text)
    assert manifest.to_json() == text
    assert set(manifest.files) == {
        *("encoder.onnx", "decoder.onnx", "reference.npz"),
        *("encoder.int8.onnx", "decoder.int8.onnx", "reference.int8.npz"),
    }
    assert all(entry.bytes == (bundle / name).stat().st_size for name, entry in manifest.files.items())
    assert json.loads(text)["latent"]["shape"] == [20]


def test_features_are_read_and_written(bundle):
    tree = json.loads((bundle / "manifest.json").read_text())
    tree["input"] |= {"shape": [2], "features": ["height", "weight (kg)"]}
    manifest = vaedge.Manifest.from_json(json.dumps(tree))
    assert manifest.features == ("height", "weight (kg)")
    assert json.loads(manifest.to_json())["input"]["features"] == ["height", "weight (kg)"]
    for names in (["height"], ["height", "height"], ["height", ""], ["height", "a\n"], ["height", 2], "ab"):
        tree["input"]["features"] = names
        with pytest.raises(vaedge.BundleError, match="input.features is"):
            vaedge.Manifest.from_json(json.dumps(tree))


def test_limits_of_log_scale_are_read_and_written(bundle):
    tree = json.loads((bundle / "manifest.json").read_text())
    assert vaedge.Manifest.from_json(json.dumps(tree)).log_scale_range is None
    tree["likelihood"] = {"name": "gaussian", "parameters": ["loc", "log_scale"], "log_scale_range": [-6, 10]}
    manifest = vaedge.Manifest.from_json(json.dumps(tree))
    assert manifest.log_scale_range == (-6, 10)
    assert json.loads(manifest.to_json())["likelihood"] == tree["likelihood"]
    for limits in (None, [10, -6], [-6], [-6, 10**400], "ab"):
        tree["likelihood"]["log_scale_range"] = limits
        with pytest.raises(vaedge.BundleError, match="likelihood.log_scale_range is"):
            vaedge.Manifest.from_json(json.dumps(tree))
    for parameters in (["logits"], ["log_scale", "loc"]):
        tree["likelihood"] |= {"parameters": parameters, "log_scale_range": [-6, 10]}
        with pytest.raises(vaedge.BundleError, match="likelihood.log_scale_range is .* the second must be log_scale"):
            vaedge.Manifest.from_json(json.dumps(tree))


@pytest.mark.parametrize(("name", "limits"), [("gaussian", (-6, 10)), ("discretized_logistic", (-8, 8))])
def test_format_1_has_the_limits_of_its_likelihood(bundle, name, limits):
    tree = json.loads((bundle / "manifest.json").read_text())
    tree |= {"format_version": 1, "reference": "reference.npz"}
    tree["likelihood"] = {"name": name, "parameters": ["loc", "log_scale"]}
    for variant in tree["variants"].values():
        del variant["reference"]
    assert vaedge.Manifest.from_json(json.dumps(tree)).log_scale_range == limits
    tree["likelihood"]["log_scale_range"] = [-1, 1]
    with pytest.raises(vaedge.BundleError, match="log_scale_range.* is not a field of this format"):
        vaedge.Manifest.from_json(json.dumps(tree))


@dataclass(frozen=True, kw_only=True)
class ExtendedManifest(vaedge.Manifest):
    """A manifest with a new optional field, declared in the way that CONTRIBUTING.md describes."""

    license: str | None = optional_field(Fields.text)


def test_optional_field_needs_only_its_declaration(bundle):
    text = (bundle / "manifest.json").read_text()
    old = ExtendedManifest.from_json(text)
    assert old.license is None
    assert old.to_json() == text

    new = replace(old, license="MIT")
    assert json.loads(new.to_json()) == {**json.loads(text), "license": "MIT"}
    assert ExtendedManifest.from_json(new.to_json()) == new
    with pytest.raises(vaedge.BundleError, match="license.* is not a field"):
        vaedge.Manifest.from_json(new.to_json())


def test_optional_field_is_validated_where_the_file_has_it(bundle):
    tree = json.loads((bundle / "manifest.json").read_text())
    for invalid in (None, 1, ""):
        with pytest.raises(vaedge.BundleError, match="license is .*; expected a string"):
            ExtendedManifest.from_json(json.dumps({**tree, "license": invalid}))
