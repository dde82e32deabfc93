"""How the learning rate and the weight of the rate move through a run: pure functions of the position."""

import math

SCHEDULES = ("constant", "cosine")
_FINAL_SHARE = 0.01  # of the learning rate, where the cosine ends


def learning_rate(name: str, peak: float, position: float) -> float:
    """Return the learning rate.

    Args:
        name: one of SCHEDULES.
        peak: the configured rate.
        position: share of the run that is done, 0 to 1.
    """
    if name == "constant":
        return peak
    return peak * (_FINAL_SHARE + (1 - _FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * position)))


def beta(final: float, warm_up: float, epoch: float) -> float:
    """Return the weight of the rate: it rises linearly to `final` over the warm-up.

    Args:
        final: the configured weight.
        warm_up: length of the rise in epochs; 0 for none.
        epoch: epochs done, with fractions.
    """
    return final if epoch >= warm_up else final * epoch / warm_up
