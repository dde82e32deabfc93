"""Schedules of the learning rate and of beta.

The values depend only on the position in the run, so a resumed run uses the same values.
"""

import math

SCHEDULES = ("constant", "cosine")
_FINAL_FRACTION = 0.01  # last learning rate of the cosine schedule, as a fraction of the peak


def learning_rate(schedule: str, peak: float, position: float) -> float:
    """Return the learning rate at a position of the run.

    "constant" returns the peak. "cosine" falls from the peak to 1% of the peak, along half a period of a cosine
    (Loshchilov & Hutter 2017, eq. 5).

    Args:
        schedule: One of SCHEDULES.
        peak: The configured learning rate.
        position: Completed fraction of the run, from 0 to 1.
    """
    if schedule == "constant":
        return peak
    return peak * (_FINAL_FRACTION + (1 - _FINAL_FRACTION) * 0.5 * (1 + math.cos(math.pi * position)))


def beta(final: float, warm_up: float, epoch: float) -> float:
    """Return the weight of the rate, the KL term of the ELBO.

    It rises linearly from 0 during the warm-up (Bowman et al. 2016).

    Args:
        final: The configured weight, which is returned after the warm-up.
        warm_up: Length of the warm-up, in epochs; 0 means no warm-up.
        epoch: Number of completed epochs, including the completed fraction of the current epoch.
    """
    return final if epoch >= warm_up else final * epoch / warm_up
