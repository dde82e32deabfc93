"""Open a bundle, in the precision that is asked for or in the fastest one."""

import logging
import os
from functools import partial
from typing import Any

import numpy as np

from vaedge.bench import time_calls
from vaedge.bundle import read_bundle, read_manifest
from vaedge.vae import VAE

logger = logging.getLogger("vaedge")

_BATCHES = (1, 64)
_SECONDS = 0.03


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
        sha256: of `manifest.json`, in hexadecimal digits: pins the bundle, all of it, for the manifest has the sha256
            of every other file. None takes whatever bundle is there.

    Raises:
        BundleNotFoundError: the folder or one of its files is missing.
        BundleError: a file is damaged, holds what no bundle's file does, or is not what the manifest or sha256 says.
        InputError: no such variant or device, or threads < 1.
        DeviceError: CUDA was asked for and cannot be had; the message says what is missing.
        DependencyError: there is no ONNX Runtime, or two of them.
    """
    if variant == "fastest":
        read_manifest(path, sha256)
        return _load_fastest(path, device=device, threads=threads)
    return VAE(read_bundle(path, variant, sha256), device=device, threads=threads)


def _load_fastest(path: str | os.PathLike[str], *, device: str, threads: int | None) -> VAE:
    """Load every variant, time `reconstruct` for a moment at batches 1 and 64, and return the fastest one.

    What a variant costs was measured at export, and one that costs more than its budget is in no bundle; so all that
    the bundle has may be chosen. The choice is logged, and `VAE.variant` says it.

    Args:
        path: the bundle's folder.
        device: as for `load`.
        threads: as for `load`.

    Raises:
        VaedgeError: as for `load`.
    """
    times: dict[str, float] = {}
    loaded: dict[str, VAE] = {}
    for name in read_manifest(path).variants:
        vae = loaded[name] = VAE(read_bundle(path, name), device=device, threads=threads)
        low = vae.manifest.input_range[0] if vae.manifest.input_range else 0.0
        conditions = vae.manifest.conditions.items()
        told: dict[str, Any] = {key: np.zeros(condition.shape, condition.dtype) for key, condition in conditions}
        medians = []
        for batch in _BATCHES:
            x = np.full((batch, *vae.input_shape), low, np.float32)
            durations = time_calls(partial(vae.reconstruct, x, **told), _SECONDS)
            medians.append(float(np.median(np.array(durations))) / 1000)
        times[name] = float(np.exp(np.log(medians).mean()))
    chosen = min(times, key=lambda name: times[name])
    figures = ", ".join(f"{name} {microseconds:.0f} us" for name, microseconds in times.items())
    logger.info("variant='fastest' chose %s (%s)", chosen, figures)
    return loaded[chosen]
