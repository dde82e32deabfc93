"""The errors that vaedge raises on purpose.

Each class also inherits from the built-in error that is shown in parentheses. Each message says what was wrong, what
was expected, and what to do.

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
    """A bundle or a file of a bundle does not match the manifest or the bundle format."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """A bundle or a file of a bundle does not exist."""


class InputError(VaedgeError, ValueError):
    """An argument is invalid, for example an array of the wrong shape, or a file that is not a table."""


class DeviceError(VaedgeError, RuntimeError):
    """The requested device is not available."""


class DependencyError(VaedgeError, ImportError):
    """A required package is missing or too old, or onnxruntime and onnxruntime-gpu are both installed."""


class ClosedError(VaedgeError, ValueError):
    """A VAE was used after it was closed."""


class InferenceError(VaedgeError, RuntimeError):
    """ONNX Runtime failed while it ran a graph. `__cause__` holds the exception of ONNX Runtime."""


def install_hint(extra: str) -> str:
    """Return the command that installs an extra of vaedge. Users run the command in a clone of the repository."""
    return f"in a clone of vaedge, run: pip install -c constraints.txt '.[{extra}]'"
