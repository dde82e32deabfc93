"""Load a bundle, in the variant that is asked for or in the fastest one."""

import logging
import os

from vaedge.bundle.reader import read_bundle, read_variants
from vaedge.vae import VAE

logger = logging.getLogger("vaedge")


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "cpu",
    variant: str = "fp32",
    threads: int | None = None,
    sha256: str | None = None,
) -> VAE:
    """Load a bundle. Nothing reaches ONNX Runtime before its SHA-256 and its content have been checked.

    Args:
        path: The bundle's folder.
        device: "cpu", "cuda", "cuda:N", or "auto": CUDA where it works, else the CPU. `VAE.device` says which was
            chosen, and the log says why.
        variant: Name of one of the manifest's variants; or "fastest", which times all of them for a moment on this
            machine. `VAE.variant` says which was chosen.
        threads: Number of CPU threads; None uses all that this process may use.
        sha256: SHA-256 that `manifest.json` must have, in hexadecimal digits. It identifies the bundle, because the
            manifest holds the SHA-256 of every file that it names (the card and its images are not among them). None
            accepts any bundle.

    Returns:
        The VAE.

    Raises:
        BundleNotFoundError: The folder or one of its files is missing.
        BundleError: A file is damaged, holds what a bundle's files must not, or does not match the manifest or
            `sha256`.
        InputError: The variant or the device is unknown, or `threads` is not an integer from 1 to 1024.
        DeviceError: CUDA was asked for and does not work; the message says what is missing.
        DependencyError: ONNX Runtime is missing, or installed twice.
    """
    if variant == "fastest":
        return _load_fastest(path, device, threads, sha256)
    return VAE(read_bundle(path, variant, sha256), device=device, threads=threads)


def _load_fastest(path: str | os.PathLike[str], device: str, threads: int | None, sha256: str | None) -> VAE:
    """Load every variant, time them, and close all but the fastest.

    The loss of every variant was measured at export, and variants above their budget are not exported, so any variant
    may be chosen.
    """
    from vaedge.benchmark.timing import time_reconstruct  # only this path times calls
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
