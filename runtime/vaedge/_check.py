"""`vaedge check`: compare what this device computes with what the exporter stored in the bundle."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.reader import Bundle, read_bundle, read_variants
from vaedge.vae import VAE

# Bundles of format 1 store no tolerances. Theirs is relative to max(1, |reference|). CPUs, thread counts and releases
# of ONNX Runtime differ by a tenth of this; TF32 or bfloat16 in place of float32 by ten times as much.
_FORMAT_1_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CheckReport:
    """Result of a self-test.

    Attributes:
        device: The device that was tested: "cpu" or "cuda:N".
        differences: For each variant and each output, the largest |found - reference| as a multiple of the tolerance
            that the bundle stores; at most 1 passes.
        unchecked: Variants without a stored reference, which only bundles of format 1 have. Their files were verified.
    """

    device: str
    differences: Mapping[str, Mapping[str, float]]
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every difference is within its tolerance."""
        return all(difference <= 1 for row in self.differences.values() for difference in row.values())

    def __bool__(self) -> bool:
        return self.passed


def check(
    path: str | os.PathLike[str], *, device: str = "cpu", threads: int | None = None, variant: str | None = None
) -> CheckReport:
    """Verify every file's SHA-256, run each variant on the stored inputs, and compare with the stored outputs.

    The inputs are run as one batch, because the results of dynamic int8 depend on the batch.

    Args:
        path: The bundle's folder.
        device: As for `load`.
        threads: As for `load`.
        variant: The only variant to run; None runs all of them.

    Returns:
        The report, which is true where `passed` is.

    Raises:
        VaedgeError: The bundle cannot be loaded (as for `load`), or has no valid reference.
    """
    bundles = list(read_variants(path)) if variant is None else [read_bundle(path, variant)]
    bundles[0].verify_others()
    device_used = ""
    differences: dict[str, dict[str, float]] = {}
    unchecked = []
    for bundle in bundles:
        if variant is None and bundle.manifest.variants[bundle.variant].reference is None:
            unchecked.append(bundle.variant)
            continue
        with VAE(bundle, device=device, threads=threads) as vae:
            differences[bundle.variant] = _differences(bundle, vae)
            device_used = vae.device
    return CheckReport(device_used, differences, tuple(unchecked))


def _differences(bundle: Bundle, vae: VAE) -> dict[str, float]:
    from vaedge.bundle.reference import TOLERANCE_PREFIX, read_reference  # zipfile takes a while to import

    reference = read_reference(bundle)
    found = outputs(vae, reference)
    differences = {}
    for name, array in found.items():
        expected = reference[name]
        tolerance = reference.get(TOLERANCE_PREFIX + name)
        if tolerance is None:
            tolerance = _FORMAT_1_TOLERANCE * np.maximum(1, np.abs(expected))
        differences[name] = _difference(array, expected, tolerance)
    return differences


def outputs(vae: VAE, reference: Mapping[str, npt.NDArray[Any]]) -> dict[str, FloatArray]:
    """Run a VAE on the inputs of a reference, and return the outputs by their names in the reference."""
    conditions: dict[str, Any] = {name: reference[name] for name in vae.manifest.conditions}
    posterior = vae.encode(reference["x"], conditions=conditions)
    return {
        "mean": posterior.mean,
        "log_var": posterior.log_var,
        "decoded": vae.decode(reference["z"], conditions=conditions),
        **vae.parameters(reference["z"], conditions=conditions),
    }


def _difference(found: FloatArray, reference: FloatArray, tolerance: FloatArray) -> float:
    if found.shape != reference.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, which no tolerance allows
        return float(np.max(np.abs(found - reference) / tolerance))
