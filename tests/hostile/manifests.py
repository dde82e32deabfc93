"""Hostile manifests: changes of a good one, and texts in its place."""


def put(value, *keys):
    """A change of a JSON tree."""

    def change(tree):
        for key in keys[:-1]:
            tree = tree[key]
        tree[keys[-1]] = value

    return change


SCALAR = {"shape": [], "classes": []}

MANIFESTS = {
    "no format": put("pickle", "format"),
    "another version": put(3, "format_version"),
    "a version below the first": put(0, "format_version"),
    "the reference of format 1": put("reference.npz", "reference"),
    "a variant without a reference": put(None, "variants", "fp32", "reference"),
    "a reference that is not listed": put("other.npz", "variants", "int8", "reference"),
    "a reference above the folder": put("../secret", "variants", "int8", "reference"),
    "a version that is no number": put("1", "format_version"),
    "a field that nobody knows": put("os.system", "hook"),
    "a field that nobody knows, deeper": put("x", "files", "encoder.onnx", "url"),
    "a variant's field that nobody knows": put("x", "variants", "fp32", "session_options"),
    "a name above the folder": put("../../secret", "variants", "fp32", "encoder"),
    "a name above the folder, listed": put({"sha256": "0" * 64, "bytes": 8}, "files", "../../secret"),
    "an absolute name": put({"sha256": "0" * 64, "bytes": 8}, "files", "/etc/passwd"),
    "a name with a backslash": put({"sha256": "0" * 64, "bytes": 8}, "files", "..\\secret"),
    "a name that is the folder": put({"sha256": "0" * 64, "bytes": 8}, "files", "."),
    "a name that ends a string": put({"sha256": "0" * 64, "bytes": 8}, "files", "encoder.onnx\0.txt"),
    "an empty name": put({"sha256": "0" * 64, "bytes": 8}, "files", ""),
    "a hidden name": put({"sha256": "0" * 64, "bytes": 8}, "files", ".bashrc"),
    "a terminal's escape": put("\x1b]0;owned\x07", "name"),
    "half a pair": put("\ud800", "name"),
    "a variant with a path for a name": put({}, "variants", "../fp32"),
    "an item of a petabyte": put([2**25, 2**25], "input", "shape"),
    "a latent of a petabyte": put([2**50], "latent", "shape"),
    "an item of a hundred axes": put([1] * 100, "input", "shape"),
    "a size below zero": put([-1, 28, 28], "input", "shape"),
    "a size that is true": put([True, 28, 28], "input", "shape"),
    "a size that is a fraction": put([1.5, 28, 28], "input", "shape"),
    "a range without an end": put([0, 1e308 * 10], "input", "range"),
    "a range of a number too large to convert": put([0, 10**400], "input", "range"),
    "a range the wrong way round": put([1, 0], "input", "range"),
    "another type": put("object", "input", "dtype"),
    "a condition with an argument's name": put(
        {"seed": {"dtype": "float32", "shape": [], "classes": []}}, "conditions"
    ),
    "a condition of objects": put({"y": {"dtype": "object", "shape": [], "classes": []}}, "conditions"),
    "a parameter twice": put(["logits", "logits"], "likelihood", "parameters"),
    "a parameter that hides x": put(["x"], "likelihood", "parameters"),
    "no parameters": put([], "likelihood", "parameters"),
    "an unknown prior": put({"name": "pickle", "file": "reference.npz"}, "prior"),
    "a prior without its file": put({"name": "mixture", "file": "prior.npz"}, "prior"),
    "a prior that is the encoder": put({"name": "mixture", "file": "encoder.onnx"}, "prior"),
    "a release that is none": put("1.24; import os", "minimum_onnxruntime"),
    "a release of ten thousand digits": put("9" * 10_000, "minimum_onnxruntime"),
    "no variants": put({}, "variants"),
    "a file of more bytes than there are": put(2**70, "files", "encoder.onnx", "bytes"),
    "a sha256 that is none": put("0" * 63, "files", "encoder.onnx", "sha256"),
    "another sha256": put("0" * 64, "files", "encoder.onnx", "sha256"),
}

TEXTS = {
    "no JSON": b"format: vaedge",
    "nothing": b"",
    "a list": b"[]",
    "not UTF-8": b"\xff\xfe{}",
    "a pickle": b"cos\nsystem\n(S'true'\ntR.",
    "brackets without an end": b"[" * 900_000,
    "objects without an end": b'{"a":' * 150_000,
    "a number of half a million digits": b'{"format": ' + b"9" * 500_000 + b"}",
    "a name twice": b'{"format": "vaedge", "format": "other"}',
    "two megabytes": b" " * 2_000_000,
    "not a number": b'{"format": NaN}',
}
