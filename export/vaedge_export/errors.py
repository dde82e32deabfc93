"""What can go wrong in an export. Whatever it is, nothing is left behind."""

from vaedge import VaedgeError


class ExportError(VaedgeError, ValueError):
    """The export cannot be done as asked."""


class VerificationError(ExportError):
    """The exported graphs failed a check; each check has its own error."""


class SignatureError(VerificationError):
    """Wrong number, names, types or shapes of tensors, or a batch axis that is not free."""


class PurityError(VerificationError):
    """A graph is not one plain, self-contained, deterministic function."""


class FiniteError(VerificationError):
    """A graph yields NaN or infinity."""


class AgreementError(VerificationError):
    """A graph and the torch module it came from differ by more than the tolerance."""
