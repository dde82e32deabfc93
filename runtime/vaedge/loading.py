"""Open a bundle, in the precision that is asked for or in the fastest one."""

import logging
import math
import os
from collections.abc import Sequence
from functools import partial

from vaedge.bench import median_microseconds, time_in_turn
from vaedge.bundle import read_bundle, read_variants
from vaedge.reference import Inputs
from vaedge.vae import VAE

logger = logging.getLogger("vaedge")

_BATCHES = (1, 64)
_SECONDS = 0.05


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
        bundles = list(read_variants(path, sha256))
        vaes = [VAE(bundle, device=device, threads=threads) for bundle in bundles]
        return _fastest(vaes, Inputs.of(bundles[0]))
    return VAE(read_bundle(path, variant, sha256), device=device, threads=threads)


def _fastest(vaes: Sequence[VAE], inputs: Inputs) -> VAE:
    """Time `reconstruct` of a bundle's variants for a moment at batches 1 and 64, and return the fastest one.

    What a variant costs was measured at export, and one that costs more than its budget is in no bundle; so all that
    the bundle has may be chosen. The choice is logged, and `VAE.variant` says it.
    """
    logarithms = dict.fromkeys((vae.variant for vae in vaes), 0.0)
    for batch in _BATCHES:
        rows = inputs.repeated(batch)
        calls = {vae.variant: partial(vae.reconstruct, rows.x, **rows.conditions) for vae in vaes}
        for name, rounds in time_in_turn(calls, _SECONDS).items():
            logarithms[name] += math.log(median_microseconds(rounds)) / len(_BATCHES)
    chosen = min(vaes, key=lambda vae: logarithms[vae.variant])
    figures = ", ".join(f"{name} {math.exp(logarithm):.0f} us" for name, logarithm in logarithms.items())
    logger.info("variant='fastest' chose %s (%s)", chosen.variant, figures)
    for vae in vaes:
        if vae is not chosen:
            vae.close()
    return chosen
