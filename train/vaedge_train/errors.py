"""Everything that training raises on purpose: one base, and beside it the builtin that a caller expects."""


class TrainError(Exception):
    """Base of every error that vaedge_train raises on purpose."""


class ConfigError(TrainError, ValueError):
    """A field of the configuration cannot be used."""


class DataError(TrainError, ValueError):
    """A data set is unknown, missing, damaged, or does not fit the likelihood."""


class RunError(TrainError, ValueError):
    """A run folder is in the way, incomplete or damaged."""


class NonFiniteError(TrainError, ArithmeticError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, loss: float, distortion: float, rate: float) -> None:
        """Name the step and the quantity."""
        super().__init__(
            f"step {step}: the loss is {loss} (distortion {distortion} and rate {rate} nats, summed over the batch). "
            "The last checkpoint is intact; a smaller learning rate, a warm-up or a bound on the gradient may help"
        )
