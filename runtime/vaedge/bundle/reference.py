"""The inputs, expected outputs and tolerances of each variant, which the exporter stored for `vaedge check`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.bundle.npz import read_npz
from vaedge.bundle.reader import Bundle
from vaedge.errors import BundleError

TOLERANCE_PREFIX = "tolerance."


def read_reference(bundle: Bundle) -> dict[str, npt.NDArray[Any]]:
    """Read the inputs, the expected outputs, and the tolerances that the exporter stored for the bundle's variant.

    Returns:
        Dict from the name of each array to the array. The inputs are `x`, `z` and the conditions. The outputs are
        `mean`, `log_var`, `decoded` and the parameters of p(x|z). Bundles of format 2 also store a tolerance for each
        output, with the name "tolerance." + the output's name. A tolerance is the allowed absolute difference. It is a
        float32 array that broadcasts to the output of one example.

    Raises:
        BundleNotFoundError: The file with these arrays is missing.
        BundleError: The file does not match the manifest, or an array is missing. This error also occurs if the variant
            has no such file: bundles of format 1 have one only for fp32.
    """
    manifest = bundle.manifest
    name = manifest.variants[bundle.variant].reference
    if name is None:
        raise BundleError(
            f"{bundle.path} is of format 1 and has no reference for the variant {bundle.variant!r}: "
            f"run `vaedge export --upgrade {bundle.path}`"
        )
    content = bundle.read(name)
    try:
        arrays = read_npz(content)
    except BundleError as error:
        raise BundleError(f"{bundle.path / name} is refused: {error}") from error.__cause__
    outputs = ("mean", "log_var", "decoded", *manifest.parameters)
    for needed in ("x", "z", *manifest.conditions, *outputs):
        if needed not in arrays or not arrays[needed].size:
            raise BundleError(f"{bundle.path / name} has no array {needed!r}; export the bundle again")
    if manifest.format_version > 1:
        for output in outputs:
            _validate_tolerance(arrays, output, str(bundle.path / name))
    return arrays


def _validate_tolerance(arrays: Mapping[str, npt.NDArray[Any]], output: str, file: str) -> None:
    tolerance = arrays.get(TOLERANCE_PREFIX + output)
    if tolerance is None:
        raise BundleError(f"{file} has no array {TOLERANCE_PREFIX + output!r}; export the bundle again")
    fits = tolerance.ndim < arrays[output].ndim and all(
        size in (1, expected)
        for size, expected in zip(tolerance.shape[::-1], arrays[output].shape[:0:-1], strict=False)
    )
    if tolerance.dtype != np.float32 or not fits or not (tolerance > 0).all() or not np.isfinite(tolerance).all():
        raise BundleError(
            f"{file}: {TOLERANCE_PREFIX + output!r} must hold positive float32 numbers that broadcast to {output!r} of "
            "one example; export the bundle again"
        )


@dataclass(frozen=True)
class Inputs:
    """Inputs for the operations of a VAE: examples, latents and conditions.

    Attributes:
        x: Examples, float32, shape (n, *input_shape).
        z: Latents, float32, shape (n, *latent_shape).
        conditions: Dict from the name of each condition to its values, an array of n rows.
    """

    x: npt.NDArray[np.float32]
    z: npt.NDArray[np.float32]
    conditions: Mapping[str, Any]

    @classmethod
    def of(cls, bundle: Bundle) -> "Inputs":
        """Read the inputs that the exporter stored for the variant. `read_reference` documents the errors."""
        reference = read_reference(bundle)
        return cls(reference["x"], reference["z"], {name: reference[name] for name in bundle.manifest.conditions})

    def repeated(self, n: int) -> "Inputs":
        """Return inputs with exactly n rows.

        If there are fewer rows, they are repeated in their order. If there are more rows, the first n are kept.
        """
        conditions = {name: _rows(values, n) for name, values in self.conditions.items()}
        return Inputs(_rows(self.x, n), _rows(self.z, n), conditions)


def _rows(array: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    return np.resize(array, (n, *array.shape[1:]))
