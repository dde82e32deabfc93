"""Run a variational autoencoder wherever numpy and ONNX Runtime run, without torch.

>>> import vaedge
>>> vae = vaedge.load("models/mnist")
>>> images = vae.sample(64, seed=0)  # (64, 1, 28, 28) float32 in [0, 1]

ONNX Runtime is imported when the first model is loaded. The public API is `vaedge.__all__`; all other names are
internal.
"""

import os
import sys
import warnings

# Official ONNX Runtime wheels since 1.29 send telemetry unless ORT_DISABLE_TELEMETRY is set before onnxruntime is
# imported. A value that the user has set is kept.
if "ORT_DISABLE_TELEMETRY" not in os.environ:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if "onnxruntime" in sys.modules:
        warnings.warn(
            "onnxruntime was imported before vaedge, so onnxruntime may send telemetry: "
            "import vaedge first, or set ORT_DISABLE_TELEMETRY=1",
            stacklevel=2,
        )

from vaedge._check import CheckReport, check
from vaedge._types import Condition
from vaedge.batch import Batch
from vaedge.bundle.manifest import Manifest
from vaedge.distributions.posterior import Posterior
from vaedge.errors import (
    BundleError,
    BundleNotFoundError,
    ClosedError,
    DependencyError,
    DeviceError,
    InferenceError,
    InputError,
    VaedgeError,
)
from vaedge.loading import load
from vaedge.vae import VAE

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "Batch",
    "BundleError",
    "BundleNotFoundError",
    "CheckReport",
    "ClosedError",
    "Condition",
    "DependencyError",
    "DeviceError",
    "InferenceError",
    "InputError",
    "Manifest",
    "Posterior",
    "VaedgeError",
    "__version__",
    "check",
    "load",
]
