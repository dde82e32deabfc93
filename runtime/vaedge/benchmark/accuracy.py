"""The accuracy of a candidate: its difference from the stored reference, and the nats that its variant loses."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaedge.benchmark.timing import Candidate
from vaedge.bundle.reader import Bundle
from vaedge.bundle.reference import TOLERANCE_PREFIX, read_reference


def difference(candidate: Candidate, bundle: Bundle) -> float | None:
    """Return the maximum of |found - reference| / tolerance over `mean`, `log_var` and `decoded`.

    All stored inputs are run as one batch, because the results of dynamic int8 depend on the batch.

    Args:
        candidate: The candidate.
        bundle: The bundle of the variant that the candidate runs.

    Returns:
        The maximum, or None if the bundle stores no tolerances, as bundles of format 1.
    """
    reference = read_reference(bundle)
    if TOLERANCE_PREFIX + "mean" not in reference:
        return None
    conditions = {name: reference[name] for name in bundle.manifest.conditions}
    posterior = candidate.encode(reference["x"], conditions=conditions)
    decoded = candidate.decode(reference["z"], conditions=conditions)
    found = {"mean": posterior.mean, "log_var": posterior.log_var, "decoded": decoded}
    return max(
        float(np.max(np.abs(array - reference[name]) / reference[TOLERANCE_PREFIX + name]))
        for name, array in found.items()
    )


def nats_lost(measured: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the decrease of the ELBO compared with fp32, and its standard error, in nats per example.

    Args:
        measured: The field `measured` of the variant in the manifest. Numbers that it lacks are None.
    """
    change, error = (measured.get(name) for name in ("elbo_change", "elbo_change_standard_error"))
    lost = -float(change) + 0.0 if isinstance(change, int | float) else None  # adding 0 avoids -0
    return lost, float(error) if isinstance(error, int | float) else None
