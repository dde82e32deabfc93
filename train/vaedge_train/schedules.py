"""Schedules of the learning rate and of beta: pure functions of the position, so that a resumed run is exact."""

import math

SCHEDULES = ("constant", "cosine")
_FINAL_FRACTION = 0.01  # of the peak learning rate, at the end of the cosine


def learning_rate(schedule: str, peak: float, position: float) -> float:
    """Return the learning rate at a position of the run.

    "cosine" falls from the peak to 1% of it on half a period of a cosine (Loshchilov & Hutter 2017, eq. 5).

    Args:
        schedule: One of SCHEDULES.
        peak: The configured learning rate.
        position: Fraction of the run that is done, from 0 to 1.
    """
    if schedule == "constant":
        return peak
    return peak * (_FINAL_FRACTION + (1 - _FINAL_FRACTION) * 0.5 * (1 + math.cos(math.pi * position)))


def beta(final: float, warm_up: float, epoch: float) -> float:
    """Return the weight of the rate, which rises linearly from 0 during the warm-up (Bowman et al. 2016).

    Args:
        final: The configured weight, which holds after the warm-up.
        warm_up: Length of the warm-up, in epochs; 0 means no warm-up.
        epoch: Number of epochs that are done, with fractions.
    """
    return final if epoch >= warm_up else final * epoch / warm_up
