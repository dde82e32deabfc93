"""The errors of an export. An export that fails leaves no files behind."""

from vaedge import VaedgeError


class ExportError(VaedgeError, ValueError):
    """The export cannot be done as requested."""


class VerificationError(ExportError):
    """The modules or their graphs failed a check. Each kind of check has its own subclass."""


class TrainingModeError(VerificationError):
    """A module or one of its submodules is in training mode, so dropout and batch normalization are active."""


class SizeError(VerificationError):
    """A graph would not fit in one file, because protobuf allows at most 2 GiB."""


class SignatureError(VerificationError):
    """The number, names, types or shapes of tensors are wrong, or the batch axis has a fixed size."""


class MeaningError(VerificationError):
    """The tensors have the right shapes but the wrong meaning, such as means in place of logits, or swapped outputs."""


class PurityError(VerificationError):
    """A graph is not valid, or has content that a bundle must not have, such as random numbers or other files."""


class DeterminismError(VerificationError):
    """Tracing the same module twice gave different bytes."""


class FiniteError(VerificationError):
    """A module or a graph returns NaN or infinity."""


class AgreementError(VerificationError):
    """An output of a graph differs from the output of its torch module by more than the tolerance."""


class DependenceError(VerificationError):
    """An output of a module does not depend on the input of the module."""


class LossError(ExportError):
    """The ELBO of a variant is lower than that of fp32 by more than the allowed number of nats."""
