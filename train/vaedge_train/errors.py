"""The errors of training. Each class inherits from `vaedge.VaedgeError` and from a builtin such as ValueError."""

from vaedge.errors import VaedgeError


class TrainError(VaedgeError):
    """Base class of all errors of vaedge_train."""


class ConfigError(TrainError, ValueError):
    """A configuration value or a command-line option is invalid."""


class DataError(TrainError, ValueError):
    """A data set is unknown, missing or damaged, or it does not fit the likelihood."""


class RunError(TrainError, ValueError):
    """A run folder exists already, is incomplete, or is damaged."""


class OutOfMemoryError(TrainError, MemoryError):
    """The GPU does not have enough memory for a training step."""

    def __init__(self, device: object, reason: str) -> None:
        """Create a message that names the options with which a run needs less memory.

        Args:
            device: The GPU.
            reason: Message of torch's error.
        """
        super().__init__(
            f"{device} ran out of memory: {reason.splitlines()[0]} The last checkpoint is intact. Lower --batch-size, "
            "--samples or --components, and start a new run. A resumed run cannot change these options"
        )


class NonFiniteError(TrainError, ArithmeticError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, loss: float, distortion: float, rate: float) -> None:
        """Create a message that describes the step at which training stopped.

        Args:
            step: Index of the step at which training stopped, counted from 0 at the start of the run.
            loss: The loss, in nats per example.
            distortion: The distortion, in nats, summed over the batch.
            rate: The rate, in nats, summed over the batch.
        """
        super().__init__(
            f"step {step}: the loss is {loss} (distortion {distortion} and rate {rate} nats, summed over the batch). "
            "The last checkpoint is intact. Try a smaller --learning-rate, a --warm-up, or a limit on the gradient "
            "(--clip)"
        )
