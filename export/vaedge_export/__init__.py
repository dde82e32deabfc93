"""Export a trained VAE as a bundle: a folder with two verified ONNX graphs and a manifest.

>>> from vaedge_export import export_vae
>>> export_vae(encoder, decoder, "models/mine", input_shape=(1, 28, 28), latent_shape=(20,), likelihood="bernoulli")
"""

from vaedge_export.errors import (
    AgreementError,
    DependenceError,
    DeterminismError,
    ExportError,
    FiniteError,
    LossError,
    MeaningError,
    PurityError,
    SignatureError,
    SizeError,
    TrainingModeError,
    VerificationError,
)
from vaedge_export.export import Provenance, export_vae
from vaedge_export.from_run import export_run
from vaedge_export.triton import write_triton
from vaedge_export.upgrade import upgrade_bundle

__all__ = [
    "AgreementError",
    "DependenceError",
    "DeterminismError",
    "ExportError",
    "FiniteError",
    "LossError",
    "MeaningError",
    "Provenance",
    "PurityError",
    "SignatureError",
    "SizeError",
    "TrainingModeError",
    "VerificationError",
    "export_run",
    "export_vae",
    "upgrade_bundle",
    "write_triton",
]
