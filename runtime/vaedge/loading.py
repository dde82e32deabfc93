"""Load one variant of a bundle: the named variant, or the fastest one."""

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from vaedge.bundle.reader import CalibrationFile, read_bundle, read_calibration_file, read_variants
from vaedge.errors import InputError
from vaedge.vae import VAE

if TYPE_CHECKING:
    from vaedge.vae import Calibration

logger = logging.getLogger("vaedge")


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "cpu",
    variant: str = "fp32",
    threads: int | None = None,
    sha256: str | None = None,
    calibration: "str | os.PathLike[str] | Calibration | None" = None,
) -> VAE:
    """Load a bundle. The SHA-256 and the content of each graph are verified before ONNX Runtime reads the graph.

    Args:
        path: The bundle's folder.
        device: "cpu", "cuda", "cuda:N" or "auto". "auto" chooses CUDA if CUDA works, otherwise the CPU. `VAE.device`
            holds the chosen device, and the log states the reason.
        variant: Name of a variant in the manifest, or "fastest". With "fastest", all variants are timed briefly on this
            machine, and the fastest one is loaded. `VAE.variant` holds its name.
        threads: Number of CPU threads. None uses all CPUs that this process may use.
        sha256: Expected SHA-256 of `manifest.json`, in hexadecimal digits. None accepts any bundle. This hash
            identifies the bundle, because the manifest holds the SHA-256 of every other file that the runtime opens.
            The model card and its images are not verified.
        calibration: Calibration of anomaly detection: the result of `VAE.calibrate`, or the path of a file with such a
            result. None uses the calibration in the bundle, if there is one.

    Returns:
        The VAE.

    Raises:
        BundleNotFoundError: The folder or a file of the bundle is missing.
        BundleError: A file is damaged, has content that is not allowed, or does not match the manifest or `sha256`.
        InputError: The variant or the device is unknown, `threads` is not an integer from 1 to 1024, `sha256` is not 64
            hexadecimal digits, or a calibration was given with the variant "fastest".
        DeviceError: CUDA was requested but does not work. The message says what is missing.
        DependencyError: ONNX Runtime is missing or too old, or onnxruntime and onnxruntime-gpu are both installed.
    """
    if variant == "fastest":
        if calibration is not None:
            raise InputError(
                "a calibration belongs to one variant, but the variant is 'fastest'; name the calibrated variant"
            )
        return _load_fastest(path, device, threads, sha256)
    bundle = read_bundle(path, variant, sha256)
    if calibration is not None:
        bundle = replace(bundle, calibration=_as_file(calibration))
    return VAE(bundle, device=device, threads=threads)


def _as_file(calibration: "str | os.PathLike[str] | Calibration") -> CalibrationFile:
    if isinstance(calibration, str | os.PathLike):
        return read_calibration_file(calibration)
    return CalibrationFile(None, calibration.to_npz())


def _load_fastest(path: str | os.PathLike[str], device: str, threads: int | None, sha256: str | None) -> VAE:
    """Load all variants of a bundle, time `reconstruct` of each, and close all variants except the fastest.

    The fastest variant can be less accurate than fp32. The exporter limits the difference: it refuses a variant whose
    ELBO is lower than that of fp32 by more than a given number of nats.
    """
    # These imports take time, and only "fastest" needs them.
    from vaedge.benchmark.timing import time_reconstruct
    from vaedge.bundle.reference import Inputs

    bundles = list(read_variants(path, sha256))
    vaes = {bundle.variant: VAE(bundle, device=device, threads=threads) for bundle in bundles}
    microseconds = time_reconstruct(vaes, Inputs.of(bundles[0]))
    chosen = min(microseconds, key=microseconds.__getitem__)
    times = ", ".join(f"{name} {value:.0f} us" for name, value in microseconds.items())
    logger.info("variant='fastest' chose %s (%s)", chosen, times)
    for name, vae in vaes.items():
        if name != chosen:
            vae.close()
    return vaes[chosen]
