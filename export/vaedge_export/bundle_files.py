"""The names of a bundle's files, and their entries in the manifest."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from vaedge.bundle.entries import FileEntry, Variant
from vaedge_export.graphs import IR_VERSION, OPSET, Graphs

PRIOR_FILE = "prior.npz"
_FIXED_BATCH = re.compile(r"encoder\.batch([0-9]+)\.onnx")


def reference_file(variant: str) -> str:
    """Return the name of the file with the inputs and the expected outputs of a variant."""
    return "reference.npz" if variant == "fp32" else f"reference.{variant}.npz"


def calibration_file(variant: str) -> str:
    """Return the name of the file that calibrates anomaly detection for a variant."""
    return "calibration.npz" if variant == "fp32" else f"calibration.{variant}.npz"


def variant_entry(variant: str) -> Variant:
    """Return the manifest's entry of a variant, without measurements."""
    infix = "" if variant == "fp32" else f".{variant}"
    return Variant(f"encoder{infix}.onnx", f"decoder{infix}.onnx", OPSET, IR_VERSION, reference_file(variant))


def graph_files(variant: str, graphs: Graphs) -> dict[str, bytes]:
    """Return a dict from file name to serialized graph, for both graphs of a variant."""
    entry = variant_entry(variant)
    return {entry.encoder: graphs.encoder, entry.decoder: graphs.decoder}


def fixed_batch_file(network: str, batch_size: int) -> str:
    """Return the file name of a graph with a fixed batch size. `network` is "encoder" or "decoder"."""
    return f"{network}.batch{batch_size}.onnx"


def fixed_batch_size(names: Iterable[str]) -> int | None:
    """Search file names for an encoder with a fixed batch size.

    Return this batch size, or None if there is no such encoder.
    """
    return next((int(match[1]) for name in names if (match := _FIXED_BATCH.fullmatch(name))), None)


def file_entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Return a dict from file name to the entry in the manifest: size and SHA-256 of the file."""
    return {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
