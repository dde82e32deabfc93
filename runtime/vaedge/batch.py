"""A picklable callable that applies one operation of a VAE to a dict of arrays, and returns a dict of arrays.

Ray Data's `map_batches` takes such a callable, as do other engines that send functions to workers.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.errors import InputError
from vaedge.loading import load
from vaedge.vae import VAE

Columns = dict[str, npt.NDArray[Any]]

# Dict from the name of each operation to a pair: the column that the operation reads, and the columns that it adds.
OPERATIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "encode": ("x", ("mean", "log_var")),
    "decode": ("z", ("x",)),
    "reconstruct": ("x", ("reconstruction",)),
    "log_prob": ("x", ("log_prob",)),
    "detect": ("x", ("score", "p_value", "is_anomaly")),
}


class Batch:
    """Apply one operation of a VAE to one column of a batch, and add the results as new columns.

    Each operation reads one column, and adds one or more columns:

    encode       x -> mean, log_var
    decode       z -> x
    reconstruct  x -> reconstruction
    log_prob     x -> log_prob (in nats)
    detect       x -> score, p_value, is_anomaly

    For a conditional model, each batch must hold one column per condition, with the name of the condition. Each worker
    loads the bundle at its first call. A pickled `Batch` holds the path of the bundle, but not the files of the bundle.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        operation: str = "encode",
        *,
        device: str = "cpu",
        variant: str = "fp32",
        threads: int | None = 1,
        calibration: str | os.PathLike[str] | None = None,
        **arguments: Any,
    ) -> None:
        """Store the arguments. The bundle is loaded later, at the first call.

        Args:
            model: Path of the bundle's folder. Every worker must be able to read this path.
            operation: "encode", "decode", "reconstruct", "log_prob" or "detect".
            device: As for `load`.
            variant: As for `load`.
            threads: As for `load`. The default is 1, because Ray Data starts one worker per CPU.
            calibration: As for `load`. Every worker must be able to read this path.
            arguments: Further keyword arguments of the operation, such as `k` and `seed` of `log_prob`.

        Raises:
            InputError: The operation is unknown.
        """
        if operation not in OPERATIONS:
            raise InputError(f"operation is {operation!r}; expected one of {', '.join(OPERATIONS)}")
        self._model = os.path.abspath(model)  # noqa: PTH100 - a worker may run in another folder
        self._operation = operation
        self._options: dict[str, Any] = {"device": device, "variant": variant, "threads": threads}
        if calibration is not None:
            self._options["calibration"] = os.path.abspath(calibration)  # noqa: PTH100
        self._arguments = arguments
        self._vae: VAE | None = None

    def __call__(self, batch: Mapping[str, npt.NDArray[Any]]) -> Columns:
        """Return a dict from column name to array: the columns of the batch, and the results of the operation.

        Raises:
            InputError: A column is missing, or the operation does not accept the values of a column.
            VaedgeError: The bundle cannot be loaded (see `load`).
        """
        if not isinstance(batch, Mapping):
            raise InputError(f"the batch is a {type(batch).__name__}; expected a dict of arrays")
        if self._vae is None:
            self._vae = load(self._model, **self._options)
        vae, (column, added) = self._vae, OPERATIONS[self._operation]
        for name in (column, *vae.manifest.conditions):
            if name not in batch:
                raise InputError(
                    f"the batch has the columns {', '.join(batch)}; {self._operation} needs the column {name!r}"
                )
        conditions = {name: batch[name] for name in vae.manifest.conditions}
        result = getattr(vae, self._operation)(np.asarray(batch[column]), conditions=conditions, **self._arguments)
        if len(added) == 1:
            return {**batch, added[0]: result}
        return {**batch, **{name: getattr(result, name) for name in added}}

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._model, self._operation, self._options, self._arguments)


def _unpickle(model: str, operation: str, options: dict[str, Any], arguments: dict[str, Any]) -> Batch:
    return Batch(model, operation, **options, **arguments)
