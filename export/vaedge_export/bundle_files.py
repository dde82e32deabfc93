"""The names of a bundle's files, and their entries in the manifest."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from vaedge.bundle.entries import FileEntry, Variant
from vaedge_export.graphs import IR_VERSION, OPSET, Graphs

PRIOR_FILE = "prior.npz"
_FIXED_BATCH = re.compile(r"encoder\.batch([0-9]+)\.onnx")


def reference_file(variant: str) -> str:
    """Return the file name of the reference of a variant."""
    return "reference.npz" if variant == "fp32" else f"reference.{variant}.npz"


def calibration_file(variant: str) -> str:
    """Return the file name of the calibration of a variant."""
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
    """Return the file name of the copy of the "encoder" or the "decoder" that has a fixed batch size."""
    return f"{network}.batch{batch_size}.onnx"


def fixed_batch_size(names: Iterable[str]) -> int | None:
    """Return the fixed batch size in the first file name that has one, or None if there is no such name."""
    return next((int(match[1]) for name in names if (match := _FIXED_BATCH.fullmatch(name))), None)


def file_entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Return a dict from file name to the entry in the manifest: size and SHA-256 of the file."""
    return {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}
