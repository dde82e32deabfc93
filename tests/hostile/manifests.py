"""Hostile manifests: changes to the JSON of a valid manifest, and texts that replace the whole file."""


def put(value, *keys):
    """Return a function that sets the value at the path `keys` in a parsed JSON text."""

    def change(tree):
        for key in keys[:-1]:
            tree = tree[key]
        tree[keys[-1]] = value

    return change


MANIFESTS = {
    "wrong format": put("pickle", "format"),
    "unknown version": put(3, "format_version"),
    "version zero": put(0, "format_version"),
    "reference of format 1": put("reference.npz", "reference"),
    "variant without a reference": put(None, "variants", "fp32", "reference"),
    "reference that is not listed": put("other.npz", "variants", "int8", "reference"),
    "calibration that is not listed": put("other.npz", "variants", "fp32", "calibration"),
    "calibration outside the folder": put("../secret", "variants", "fp32", "calibration"),
    "calibration that is null": put(None, "variants", "fp32", "calibration"),
    "calibration that is a list": put(["calibration.npz"], "variants", "fp32", "calibration"),
    "calibration that is a graph": put("encoder.onnx", "variants", "fp32", "calibration"),
    "reference outside the folder": put("../secret", "variants", "int8", "reference"),
    "version that is a string": put("1", "format_version"),
    "unknown field": put("os.system", "hook"),
    "unknown field of a file": put("x", "files", "encoder.onnx", "url"),
    "unknown field of a variant": put("x", "variants", "fp32", "session_options"),
    "graph outside the folder": put("../../secret", "variants", "fp32", "encoder"),
    "listed file outside the folder": put({"sha256": "0" * 64, "bytes": 8}, "files", "../../secret"),
    "absolute path": put({"sha256": "0" * 64, "bytes": 8}, "files", "/etc/passwd"),
    "name with a backslash": put({"sha256": "0" * 64, "bytes": 8}, "files", "..\\secret"),
    "name of the folder itself": put({"sha256": "0" * 64, "bytes": 8}, "files", "."),
    "name with a null character": put({"sha256": "0" * 64, "bytes": 8}, "files", "encoder.onnx\0.txt"),
    "empty name": put({"sha256": "0" * 64, "bytes": 8}, "files", ""),
    "hidden file": put({"sha256": "0" * 64, "bytes": 8}, "files", ".bashrc"),
    "terminal escape sequence": put("\x1b]0;owned\x07", "name"),
    "unpaired surrogate": put("\ud800", "name"),
    "variant whose name is a path": put({}, "variants", "../fp32"),
    "example of a petabyte": put([2**25, 2**25], "input", "shape"),
    "latent of a petabyte": put([2**50], "latent", "shape"),
    "example with a hundred axes": put([1] * 100, "input", "shape"),
    "negative size": put([-1, 28, 28], "input", "shape"),
    "boolean size": put([True, 28, 28], "input", "shape"),
    "fractional size": put([1.5, 28, 28], "input", "shape"),
    "infinite range": put([0, 1e308 * 10], "input", "range"),
    "range with a number too large for float": put([0, 10**400], "input", "range"),
    "reversed range": put([1, 0], "input", "range"),
    "encoding of another type": put({"dtype": "int64", "scale": 255}, "input", "encoding"),
    "encoding of objects": put({"dtype": "object", "scale": 255}, "input", "encoding"),
    "encoding with another scale": put({"dtype": "uint8", "scale": 256}, "input", "encoding"),
    "encoding with a scale of zero": put({"dtype": "uint8", "scale": 0}, "input", "encoding"),
    "encoding with a scale that is a string": put({"dtype": "uint8", "scale": "255"}, "input", "encoding"),
    "encoding without a scale": put({"dtype": "uint8"}, "input", "encoding"),
    "encoding with an unknown field": put({"dtype": "uint8", "scale": 255, "offset": 0}, "input", "encoding"),
    "encoding that is a name": put("uint8", "input", "encoding"),
    "encoding that is null": put(None, "input", "encoding"),
    "encoding of values of any range": put(
        {"shape": [1, 28, 28], "dtype": "float32", "range": None, "encoding": {"dtype": "uint8", "scale": 255}}, "input"
    ),
    "features of images": put(["pixel"], "input", "features"),
    "no features": put([], "input", "features"),
    "duplicate feature": put(["a", "a"], "input", "features"),
    "feature without a name": put([""], "input", "features"),
    "feature with an escape sequence": put(["\x1b[2J"], "input", "features"),
    "unknown dtype": put("object", "input", "dtype"),
    "condition with a reserved name": put({"z": {"dtype": "float32", "shape": [], "classes": []}}, "conditions"),
    "condition with the name of a parameter": put(
        {"logits": {"dtype": "float32", "shape": [], "classes": []}}, "conditions"
    ),
    "condition that the graphs do not have": put(
        {"seed": {"dtype": "float32", "shape": [], "classes": []}}, "conditions"
    ),
    "condition of objects": put({"y": {"dtype": "object", "shape": [], "classes": []}}, "conditions"),
    "duplicate parameter": put(["logits", "logits"], "likelihood", "parameters"),
    "parameter named x": put(["x"], "likelihood", "parameters"),
    "no parameters": put([], "likelihood", "parameters"),
    "limits of a parameter that does not exist": put([-6, 10], "likelihood", "log_scale_range"),
    "limits that are null": put(None, "likelihood", "log_scale_range"),
    "infinite limits": put([-6, 10**400], "likelihood", "log_scale_range"),
    "reversed limits": put([10, -6], "likelihood", "log_scale_range"),
    "unknown prior": put({"name": "pickle", "file": "reference.npz"}, "prior"),
    "prior without its file": put({"name": "mixture", "file": "prior.npz"}, "prior"),
    "prior that is the encoder": put({"name": "mixture", "file": "encoder.onnx"}, "prior"),
    "release with code": put("1.24; import os", "minimum_onnxruntime"),
    "release of ten thousand digits": put("9" * 10_000, "minimum_onnxruntime"),
    "no variants": put({}, "variants"),
    "file size that overflows": put(2**70, "files", "encoder.onnx", "bytes"),
    "SHA-256 of 63 digits": put("0" * 63, "files", "encoder.onnx", "sha256"),
    "another SHA-256": put("0" * 64, "files", "encoder.onnx", "sha256"),
}

TEXTS = {
    "no JSON": b"format: vaedge",
    "empty text": b"",
    "list": b"[]",
    "not UTF-8": b"\xff\xfe{}",
    "pickle": b"cos\nsystem\n(S'true'\ntR.",
    "deeply nested lists": b"[" * 900_000,
    "deeply nested objects": b'{"a":' * 150_000,
    "number of half a million digits": b'{"format": ' + b"9" * 500_000 + b"}",
    "duplicate name": b'{"format": "vaedge", "format": "other"}',
    "two megabytes": b" " * 2_000_000,
    "NaN": b'{"format": NaN}',
}
