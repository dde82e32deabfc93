"""`vaedge check`: does this device reproduce what the exporter stored in the bundle?"""

import os
from dataclasses import dataclass

import numpy as np

from vaedge.arrays import FloatArray
from vaedge.bundle.reading import read_bundle
from vaedge.vae import VAE

# Of the value, or of one where the value is smaller. Processors, thread counts and releases of ONNX Runtime differ
# by a tenth of this; TF32 or bfloat16 in place of float32 by ten times as much.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class CheckReport:
    """What a self-test found.

    Attributes:
        device: where it ran.
        differences: the greatest |found - reference| / max(1, |reference|), per tensor.
        tolerance: what is allowed.
    """

    device: str
    differences: dict[str, float]
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether every difference is within the tolerance."""
        return all(difference <= self.tolerance for difference in self.differences.values())

    def __bool__(self) -> bool:
        return self.passed


def check(path: str | os.PathLike[str], *, device: str = "cpu", threads: int | None = None) -> CheckReport:
    """Verify every file's sha256, run the graphs on the stored inputs, and compare with the stored outputs.

    Args:
        path: the bundle's folder.
        device: as for `load`.
        threads: as for `load`.

    Returns:
        What was found; it is true where `passed` is.

    Raises:
        VaedgeError: the bundle cannot be loaded (as for `load`), or holds no valid reference.
    """
    from vaedge.bundle.reference import read_reference  # unzipping takes a while to import, and `load` does not need it

    bundle = read_bundle(path)
    bundle.verify_others()
    vae = VAE(bundle, device=device, threads=threads)
    reference = read_reference(bundle)
    told = {name: reference[name] for name in bundle.manifest.conditions}
    posterior = vae.encode(reference["x"], **told)
    found = {
        "mean": posterior.mean,
        "log_var": posterior.log_var,
        "decoded": vae.decode(reference["z"], **told),
        **vae.parameters(reference["z"], **told),
    }
    differences = {name: _difference(array, reference[name]) for name, array in found.items()}
    return CheckReport(vae.device, differences, TOLERANCE)


def _difference(found: FloatArray, reference: FloatArray) -> float:
    if found.shape != reference.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN, which no tolerance allows
        return float(np.max(np.abs(found - reference) / np.maximum(1, np.abs(reference))))
