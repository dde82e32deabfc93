"""variant="fastest": what this machine runs fastest, by a short measurement."""

import logging
import math
import os
from functools import partial

from vaedge.bench import median_microseconds, time_in_turn
from vaedge.bundle.reading import read_variants
from vaedge.bundle.reference import Inputs
from vaedge.vae import VAE

logger = logging.getLogger("vaedge")

_BATCHES = (1, 64)
_SECONDS = 0.05


def load_fastest(path: str | os.PathLike[str], *, device: str, threads: int | None, sha256: str | None) -> VAE:
    """Load every variant, time `reconstruct` for a moment at batches 1 and 64, and return the fastest one.

    What a variant costs was measured at export, and one that costs more than its budget is in no bundle; so all that
    the bundle has may be chosen. The choice is logged, and `VAE.variant` says it.

    Args:
        path: as for `load`.
        device: as for `load`.
        threads: as for `load`.
        sha256: as for `load`.

    Raises:
        VaedgeError: as for `load`.
    """
    bundles = list(read_variants(path, sha256))
    vaes = [VAE(bundle, device=device, threads=threads) for bundle in bundles]
    inputs = Inputs.of(bundles[0])
    logarithms = dict.fromkeys((vae.variant for vae in vaes), 0.0)
    for batch in _BATCHES:
        rows = inputs.repeated(batch)
        calls = {vae.variant: partial(vae.reconstruct, rows.x, **rows.conditions) for vae in vaes}
        for name, rounds in time_in_turn(calls, _SECONDS).items():
            logarithms[name] += math.log(median_microseconds(rounds)) / len(_BATCHES)
    chosen = min(vaes, key=lambda vae: logarithms[vae.variant])
    figures = ", ".join(f"{name} {math.exp(logarithm):.0f} us" for name, logarithm in logarithms.items())
    logger.info("variant='fastest' chose %s (%s)", chosen.variant, figures)
    for vae in vaes:
        if vae is not chosen:
            vae.close()
    return chosen
