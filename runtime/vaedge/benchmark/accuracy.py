"""The accuracy of a candidate: how much it differs from the stored reference, and its ELBO in the manifest."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaedge.benchmark.timing import Candidate
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.reader import Bundle
from vaedge.bundle.reference import TOLERANCE_PREFIX, read_reference


def difference(candidate: Candidate, bundle: Bundle) -> float | None:
    """Return the maximum of |found - reference| / tolerance over `mean`, `log_var`, `decoded` and the parameters.

    All stored inputs are run as one batch, because the results of dynamic int8 depend on the batch.

    Args:
        candidate: The candidate.
        bundle: The bundle of the variant that the candidate runs.

    Returns:
        The maximum, or None if the bundle stores no tolerances for the variant. Bundles of format 1 never store them.
    """
    if bundle.manifest.variants[bundle.variant].reference is None:
        return None
    reference = read_reference(bundle)
    if TOLERANCE_PREFIX + "mean" not in reference:
        return None
    conditions = {name: reference[name] for name in bundle.manifest.conditions}
    posterior = candidate.encode(reference["x"], conditions=conditions)
    found = {
        "mean": posterior.mean,
        "log_var": posterior.log_var,
        "decoded": candidate.decode(reference["z"], conditions=conditions),
        **candidate.parameters(reference["z"], conditions=conditions),
    }
    return max(
        float(np.max(np.abs(array - reference[name]) / reference[TOLERANCE_PREFIX + name]))
        for name, array in found.items()
    )


def nats(manifest: Manifest, variant: str) -> tuple[float | None, float | None, float | None]:
    """Return what the manifest states about the quality of a variant, in nats per example.

    Args:
        manifest: The manifest.
        variant: Name of the variant.

    Returns:
        The negative ELBO on test data, the decrease of the ELBO compared with fp32, and the standard error of this
        decrease. Each of them is None if the manifest does not contain it.
    """
    measured = manifest.variants[variant].measured
    elbo = _number(manifest.metrics, "test_elbo")
    change = _number(measured, "elbo_change")
    error = _number(measured, "elbo_change_standard_error")
    lost = None if change is None else 0.0 - change  # a change of 0 gives 0, and not -0
    return None if elbo is None or lost is None else lost - elbo, lost, error


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else None
