"""The command `vaedge info BUNDLE`."""

import argparse
from pathlib import Path

from vaedge import BundleError, Condition, Manifest
from vaedge.bundle.optional_fields import ENCODINGS
from vaedge.bundle.reader import read_calibration, read_manifest, variant_sha256
from vaedge.detection.calibration import Calibration
from vaedge.files.tables import shown_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vaedge info`."""
    parser.add_argument("model", metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the manifest, and the calibrations of anomaly detection. No graph is loaded."""
    manifest, sha256 = read_manifest(args.model)
    print(manifest.to_json() if args.json else _describe(manifest, Path(args.model), sha256), end="")
    return 0


def _describe(manifest: Manifest, folder: Path, sha256: str) -> str:
    value_range, encoding = manifest.input_range, manifest.encoding
    rows = {
        "name": manifest.name,
        "folder": str(folder),
        "sha256": f"{sha256} (SHA-256 of manifest.json, identifies the bundle)",
        "input x": f"{manifest.input_shape} float32"
        + (f" in [{value_range[0]:g}, {value_range[1]:g}]" if value_range else "")
        + (f", or {encoding} divided by {ENCODINGS[encoding]}" if encoding else ""),
        **(
            {"columns of x": f"{len(manifest.features)}: {shown_names(manifest.features)}"} if manifest.features else {}
        ),
        **{name: _describe_condition(condition) for name, condition in manifest.conditions.items()},
        "latent z": f"{manifest.latent_shape} float32",
        "prior p(z)": manifest.prior,
        "likelihood": f"{manifest.likelihood} ({', '.join(manifest.parameters)})",
        "needs": f"onnxruntime >= {manifest.minimum_onnxruntime}",
        "made by": ", ".join(f"{name} {version}" for name, version in manifest.producers.items()),
    }
    for name, variant in manifest.variants.items():
        sizes = ", ".join(f"{file} {manifest.files[file].bytes:,} bytes" for file in (variant.encoder, variant.decoder))
        rows[f"variant {name}"] = f"{sizes}, opset {variant.opset}"
        if (calibration := _describe_calibration(manifest, folder, name)) is not None:
            rows[f"detection {name}"] = calibration
    for name, value in manifest.metrics.items():
        rows[name] = f"{value:.4f} nats per example" if isinstance(value, float) else str(value)
    if "command" in manifest.training:
        rows["trained by"] = str(manifest.training["command"])
    width = max(map(len, rows))
    return "".join(f"{_escape(f'{name:<{width}}  {value}')}\n" for name, value in rows.items())


def _describe_calibration(manifest: Manifest, folder: Path, variant: str) -> str | None:
    """Describe the calibration of a variant, or the reason why the calibration cannot be used.

    Return None if the variant has no calibration.
    """
    try:
        file = read_calibration(folder, manifest, variant)
        if file is None:
            return None
        calibration = Calibration.from_npz(file.content, variant_sha256(manifest, variant))
        return calibration.describe()
    except BundleError as error:
        return f"{manifest.variants[variant].calibration} is refused as a calibration: {error}"


def _escape(text: str) -> str:
    """Escape control characters. In the text of an untrusted bundle they could manipulate the terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _describe_condition(condition: Condition) -> str:
    classes = f", 0 to {len(condition.classes) - 1}: {condition.class_list}" if condition.classes else ""
    return f"condition, {condition.shape} {condition.dtype}{classes}"
