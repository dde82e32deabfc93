"""The errors that vaedge raises on purpose.

Each one also inherits the built-in error that a caller expects. A message says what was wrong, what was expected, and
what to do.

* VaedgeError
  * BundleError (ValueError)
    * BundleNotFoundError (FileNotFoundError)
  * InputError (ValueError)
  * DeviceError (RuntimeError)
  * DependencyError (ImportError)
  * ClosedError (ValueError)
  * InferenceError (RuntimeError)
"""


class VaedgeError(Exception):
    """Base of every error that vaedge raises on purpose."""


class BundleError(VaedgeError, ValueError):
    """A bundle, or one of its files, does not match its manifest or the format."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """A bundle, or one of its files, does not exist."""


class InputError(VaedgeError, ValueError):
    """An argument of a call (an array, a number, a file of examples) is invalid."""


class DeviceError(VaedgeError, RuntimeError):
    """The requested device is not available."""


class DependencyError(VaedgeError, ImportError):
    """A package that this call needs is missing, or is installed twice."""


class ClosedError(VaedgeError, ValueError):
    """A VAE was used after it was closed."""


class InferenceError(VaedgeError, RuntimeError):
    """ONNX Runtime failed while it ran a graph; its own exception is the cause."""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra of vaedge, which is installed from a clone."""
    return f"in a clone of vaedge, run: pip install -c constraints.txt '.[{extra}]'"
