"""`vaedge check`: compare the outputs of a model on this device with the outputs that its exporter stored."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.bundle.reader import Bundle, read_bundle, read_variants
from vaedge.vae import VAE

# Bundles of format 1 store no tolerances. Their tolerance is this number times max(1, |reference|). A change of
# the CPU, the number of threads, or the release of ONNX Runtime changes the outputs by a tenth of the tolerance. TF32
# or bfloat16 instead of float32 changes the outputs by ten times the tolerance.
_FORMAT_1_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CheckReport:
    """Result of the self-test `vaedge check`.

    Attributes:
        device: The device that was tested: "cpu" or "cuda:N".
        differences: Nested dict: name of a variant -> name of an output -> difference. A difference is the maximum of
            |output - stored output| / tolerance over all elements. A difference of at most 1 passes.
        unchecked: Names of the variants that were not run, because the bundle stores no outputs for these variants.
            Only bundles of format 1 have such variants. The files of these variants were verified.
    """

    device: str
    differences: Mapping[str, Mapping[str, float]]
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every output agrees with the stored output within the tolerance of that output."""
        return all(difference <= 1 for row in self.differences.values() for difference in row.values())

    def __bool__(self) -> bool:
        return self.passed


def check(
    path: str | os.PathLike[str], *, device: str = "cpu", threads: int | None = None, variant: str | None = None
) -> CheckReport:
    """Verify all files, run each variant on the stored inputs, and compare the results with the stored outputs.

    All stored inputs are run as one batch, because the int8 result of an example depends on the rest of its batch.

    Args:
        path: The bundle's folder.
        device: As for `load`.
        threads: As for `load`.
        variant: The variant to run. None runs all variants.

    Returns:
        The report. `bool(report)` is `report.passed`.

    Raises:
        VaedgeError: The bundle cannot be loaded (see `load`), or the stored inputs or outputs are missing or invalid.
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
    from vaedge.bundle.reference import TOLERANCE_PREFIX, read_reference  # imports zipfile, which is slow

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
    """Run a VAE on the stored `x`, `z` and conditions in `reference`. Return a dict from output name to output."""
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
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, which never passes
        return float(np.max(np.abs(found - reference) / tolerance))
