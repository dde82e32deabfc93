"""What can go wrong in an export. Whatever it is, nothing is left behind."""

from vaedge import VaedgeError


class ExportError(VaedgeError, ValueError):
    """The export cannot be done as asked."""


class VerificationError(ExportError):
    """The modules or their graphs failed a check; each check has its own error."""


class TrainingModeError(VerificationError):
    """A module, or a part of one, is in training mode: dropout would draw, batch norm would learn."""


class SizeError(VerificationError):
    """A graph would not fit in one file: protobuf ends at 2 GiB."""


class SignatureError(VerificationError):
    """Wrong number, names, types or shapes of tensors, or a batch axis that is not free."""


class MeaningError(VerificationError):
    """The tensors have the right shapes and the wrong meaning: means for logits, mean and log_var swapped."""


class PurityError(VerificationError):
    """A graph is not one plain, self-contained, deterministic function."""


class DeterminismError(VerificationError):
    """The same module gave other bytes the second time."""


class FiniteError(VerificationError):
    """A graph yields NaN or infinity."""


class AgreementError(VerificationError):
    """A graph and the torch module it came from differ by more than the tolerance."""


class DependenceError(VerificationError):
    """An output is the same whatever the input."""


class LossError(ExportError):
    """A variant costs more nats than its budget."""
