"""The arrays that the exporter stored: real inputs, and what torch made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.bundle.npz import read_npz
from vaedge.bundle.reading import Bundle
from vaedge.errors import BundleError


def read_reference(bundle: Bundle) -> dict[str, npt.NDArray[Any]]:
    """Read x, mean, log_var, z, decoded, and the parameters and conditions of the manifest.

    Raises:
        BundleNotFoundError: the file is missing.
        BundleError: it is not the file that was exported, or lacks one of them.
    """
    name = bundle.manifest.reference
    content = bundle.read(name)
    try:
        arrays = read_npz(content)
    except BundleError as error:
        raise BundleError(f"{bundle.path / name} is refused: {error}") from error.__cause__
    for needed in ("x", "mean", "log_var", "z", "decoded", *bundle.manifest.parameters, *bundle.manifest.conditions):
        if needed not in arrays or not arrays[needed].size:
            raise BundleError(f"{bundle.path / name} has no array {needed!r}; export the bundle again")
    return arrays


@dataclass(frozen=True)
class Inputs:
    """What the operations of a VAE take.

    Attributes:
        x: (n, *input_shape).
        z: (n, *latent_shape).
        conditions: of a conditional model, by name, each (n, ...).
    """

    x: npt.NDArray[np.float32]
    z: npt.NDArray[np.float32]
    conditions: Mapping[str, Any]

    @classmethod
    def of(cls, bundle: Bundle) -> "Inputs":
        """Read those that the exporter stored; raises what `read_reference` raises."""
        reference = read_reference(bundle)
        return cls(reference["x"], reference["z"], {name: reference[name] for name in bundle.manifest.conditions})

    def repeated(self, n: int) -> "Inputs":
        """Return n rows of them, over and over."""
        conditions = {name: _rows(values, n) for name, values in self.conditions.items()}
        return Inputs(_rows(self.x, n), _rows(self.z, n), conditions)


def _rows(array: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    return np.resize(array, (n, *array.shape[1:]))
