"""The runtime's subcommands, one file each; here is what they share."""

import argparse
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge import bulk
from vaedge.errors import InputError
from vaedge.files import read_array
from vaedge.loading import load
from vaedge.manifest import MANIFEST_NAME, Manifest
from vaedge.vae import VAE


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and the options of `vaedge.load`."""
    parser.add_argument("model", metavar="MODEL", help="a bundle's folder")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1 or auto")
    parser.add_argument("--threads", type=positive, help="processor threads (default: all this process may use)")
    parser.add_argument("--variant", default="fp32", help="precision: fp32 (default), int8, ..., or fastest")


def load_model(args: argparse.Namespace) -> VAE:
    """Load the bundle that the arguments name; `vaedge.load` says what is raised."""
    return load(args.model, device=args.device, variant=args.variant, threads=args.threads)


def add_condition_argument(parser: argparse.ArgumentParser) -> None:
    """Add --condition, for conditional models."""
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of a conditional model: a number for all items, numbers with commas, one per item, or a .npy file",
    )


def read_conditions(args: argparse.Namespace, manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    """Return the conditions that --condition gives, by name, as arrays.

    Raises:
        InputError: one has no such form.
    """
    conditions = {}
    for text in args.condition:
        name, _, value = text.partition("=")
        if name not in manifest.conditions:
            takes = ", ".join(manifest.conditions) or "none"
            raise InputError(f"--condition {text!r}: this model's conditions are: {takes}; expected NAME=VALUE")
        if value.endswith(".npy"):
            conditions[name] = read_array(Path(value), name)
            continue
        try:
            values = np.array([float(number) for number in value.split(",")])
        except ValueError as error:
            raise InputError(f"--condition {text!r}: expected numbers with commas, or a .npy file") from error
        if manifest.conditions[name].dtype == "int64" and np.all(values == values.round()):
            values = values.astype(np.int64)
        shape = manifest.conditions[name].shape
        size = int(np.prod(shape))
        one_for_all = values.size == size
        conditions[name] = values.reshape(shape if one_for_all else (-1, *shape)) if values.size % size == 0 else values
    return conditions


def per_row(conditions: Mapping[str, npt.NDArray[Any]], manifest: Manifest, n: int) -> dict[str, npt.NDArray[Any]]:
    """Return each condition as n rows, one value for all repeated without a copy."""
    shapes = {name: condition.shape for name, condition in manifest.conditions.items()}
    return {
        name: np.broadcast_to(values, (n, *values.shape)) if values.shape == shapes[name] else values
        for name, values in conditions.items()
    }


def describe_job(args: argparse.Namespace, vae: VAE, told: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Say what a folder of shards is of: the command, the bundle, the input file, and the conditions."""
    manifest = Path(args.model) / MANIFEST_NAME
    job = {
        "command": args.command,
        "manifest": hashlib.sha256(manifest.read_bytes()).hexdigest(),
        "variant": vae.variant,
    }
    if hasattr(args, "input"):
        found = args.input.stat()
        job |= {"input": args.input.name, "bytes": found.st_size, "modified": found.st_mtime_ns}
    values = {name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in told.items()}
    return {**job, "conditions": values}


def write_bulk(out: Path, source: bulk.Source, job: Mapping[str, Any]) -> str:
    """Write a source as .npy, or as shards where `out` has no suffix, with a progress bar; return what to say."""
    try:
        return _write(out, source, job)
    except KeyboardInterrupt as stop:
        if not out.suffix:
            raise KeyboardInterrupt(f"the shards in {out} are whole; the same command goes on") from stop
        raise


def _write(out: Path, source: bulk.Source, job: Mapping[str, Any]) -> str:
    with _progress(source.n) as update:
        if out.suffix.lower() == ".npy":
            bulk.write_file(out, source, update)
            return f"{out}: {source.n:,} items"
        there = bulk.write_shards(out, source, job, update)
    more = f" ({there} shards were there already)" if there else ""
    return f"{out}: {source.n:,} items in shards{more}"


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


def positive(text: str) -> int:
    """Read a whole number of at least 1, as argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def seed(text: str) -> int:
    """Read a whole number of at least 0, as argparse's `type`.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative whole number")
    return int(text)
