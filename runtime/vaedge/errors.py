"""Everything that vaedge raises on purpose: one base, and beside it the builtin that a caller expects.

Each message says what was wrong, where, and what to do.
"""


class VaedgeError(Exception):
    """Base of every error that vaedge raises on purpose."""


class BundleError(VaedgeError, ValueError):
    """A bundle, or a file of one, is not what its manifest or the format says."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """A bundle, or a file of one, is not there."""


class InputError(VaedgeError, ValueError):
    """An argument of a call (array, number, file of items) cannot be used."""


class DeviceError(VaedgeError, RuntimeError):
    """The device that was asked for cannot be had."""


class DependencyError(VaedgeError, ImportError):
    """A package that this call needs is missing, or is there twice."""


class ClosedError(VaedgeError, ValueError):
    """A VAE was used after it was closed."""


class InferenceError(VaedgeError, RuntimeError):
    """ONNX Runtime failed while it ran a graph; its own exception is the cause."""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra of vaedge, which is installed from a clone."""
    return f"in a clone of vaedge, run: pip install -c constraints.txt '.[{extra}]'"
