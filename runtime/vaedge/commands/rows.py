"""How the bulk commands write: one file or a folder of shards, of as many rows as there are, with a progress bar."""

import argparse
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.arrays import FloatArray
from vaedge.bundle.manifest import Manifest
from vaedge.files.bulk import Buffers, Mapped, Source, write_file, write_shards
from vaedge.vae import VAE


def per_row(conditions: Mapping[str, npt.NDArray[Any]], manifest: Manifest, n: int) -> dict[str, npt.NDArray[Any]]:
    """Return each condition as n rows, one value for all repeated without a copy."""
    shapes = {name: condition.shape for name, condition in manifest.conditions.items()}
    return {
        name: np.broadcast_to(values, (n, *values.shape)) if values.shape == shapes[name] else values
        for name, values in conditions.items()
    }


def describe_job(args: argparse.Namespace, vae: VAE, told: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Say what a folder of shards is of: the command, the bundle, the input file, and the conditions."""
    job = {"command": args.command, "manifest": vae.sha256, "variant": vae.variant}
    if hasattr(args, "input"):
        found = args.input.stat()
        job |= {"input": args.input.name, "bytes": found.st_size, "modified": found.st_mtime_ns}
    values = {name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in told.items()}
    return {**job, "conditions": values}


def write_decoded(
    args: argparse.Namespace,
    vae: VAE,
    items: npt.NDArray[Any],
    conditions: Mapping[str, npt.NDArray[Any]],
    operation: Callable[..., FloatArray],
) -> int:
    """Write what `vae.decode` or `vae.reconstruct` makes of the items, as `write_rows` does."""
    buffers = Buffers(vae.input_shape)

    def call(rows: npt.NDArray[Any], **told: Any) -> dict[str, FloatArray]:
        return {"x": operation(rows, out=buffers.next(len(rows)), **told)}

    told = per_row(conditions, vae.manifest, len(items))
    return write_rows(
        args.out, Mapped(items, told, call, 4 * math.prod(vae.input_shape)), describe_job(args, vae, told)
    )


def write_rows(out: Path, source: Source, job: Mapping[str, Any]) -> int:
    """Write a source as .npy, or as shards where `out` has no suffix, with a progress bar; return the exit status."""
    there = 0
    try:
        with _progress(source.n) as update:
            if out.suffix:
                write_file(out, source, update)
            else:
                there = write_shards(out, source, job, update)
    except KeyboardInterrupt as stop:
        if out.suffix:
            raise
        raise KeyboardInterrupt(f"the shards in {out} are whole; the same command goes on") from stop
    shards = "" if out.suffix else " in shards"
    already = f" ({there} shards were there already)" if there else ""
    print(f"{out}: {source.n:,} items{shards}{already}")
    return 0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], object]]:
    """Show a bar on a terminal, where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda _: None
        return
    with tqdm(total=total, unit="item", unit_scale=True, disable=None) as bar:
        yield bar.update
