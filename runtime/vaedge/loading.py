"""Open a bundle, in the precision that is asked for or in the fastest one."""

import os

from vaedge.bundle.reading import read_bundle
from vaedge.vae import VAE


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "cpu",
    variant: str = "fp32",
    threads: int | None = None,
    sha256: str | None = None,
) -> VAE:
    """Open a bundle. Nothing reaches ONNX Runtime before its sha256 and its content have been checked.

    Args:
        path: the bundle's folder.
        device: "cpu", "cuda", "cuda:N", or "auto": CUDA where it can be had, else the processor;
            `VAE.device` says which, and the log says why.
        variant: name of the precision, one of the manifest's variants; or "fastest", which times all of them for a
            moment on this machine and takes the fastest: `VAE.variant` says which.
        threads: processor threads; None means as many as this process may use.
        sha256: of `manifest.json`, in hexadecimal digits: pins the bundle, for the manifest has the sha256 of every
            file that it names (the card and its pictures are not among them). None takes whatever bundle is there.

    Raises:
        BundleNotFoundError: the folder or one of its files is missing.
        BundleError: a file is damaged, holds what no bundle's file does, or is not what the manifest or sha256 says.
        InputError: no such variant or device, or threads < 1.
        DeviceError: CUDA was asked for and cannot be had; the message says what is missing.
        DependencyError: there is no ONNX Runtime, or two of them.
    """
    if variant == "fastest":
        from vaedge.fastest import load_fastest  # nobody else needs what times calls

        return load_fastest(path, device=device, threads=threads, sha256=sha256)
    return VAE(read_bundle(path, variant, sha256), device=device, threads=threads)
