"""Arguments for `calculate.mjs` that several tests need."""

import io

import numpy as np


def prior_arrays(mixture):
    """Return the arrays of a mixture prior as a dict with the names that `calculate.mjs` expects."""
    return {"prior.mean": mixture.mean, "prior.std": mixture.std, "prior.cumulative": mixture.cumulative}


def npz(arrays):
    """Return the content of a .npz file."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()
