"""The output of a command: a grid of images (.png), an array (.npy or .npz), a table (.csv), or a folder of shards.

The suffix of the path selects the kind of output. A path without a suffix is a folder of shards: files that each hold
some of the rows.
"""

import argparse
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vaedge import VAE, InputError, Manifest
from vaedge._types import FloatArray
from vaedge.bundle.manifest import MANIFEST_NAME
from vaedge.cli.conditions import condition_columns
from vaedge.cli.progress import progress_bar
from vaedge.cli.sources import Buffers, Mapped
from vaedge.files.arrays import npy_parts, npz_content
from vaedge.files.atomic import require_parent, write_atomically
from vaedge.files.shards import Source, write_file, write_shards, write_table
from vaedge.files.tables import format_header, format_rows

_READ_OPTIONS = ("split", "label_column", "resize", "background", "skip_broken")
SHARDS = ""  # the suffix of a folder of shards


@dataclass(frozen=True)
class Output:
    """The file or folder that a command writes.

    Attributes:
        path: Path of the file or folder.
        suffix: Suffix of the file, such as ".png". SHARDS, the empty string, means a folder of shards.
    """

    path: Path
    suffix: str

    @classmethod
    def of(cls, path: Path, *allowed: str, reads: Sequence[Path] = ()) -> Self:
        """Validate a path before the work begins, and return the output at this path.

        Args:
            path: The file or folder to write.
            allowed: The suffixes that the command can write. SHARDS stands for a folder of shards.
            reads: The files and folders that the command reads, which it must not replace.

        Raises:
            InputError: The suffix of the path is not allowed, the parent folder does not exist or is a bundle, or the
                path is one of `reads`.
        """
        suffix = path.suffix.lower()
        if suffix not in allowed:
            names = [name for name in allowed if name != SHARDS]
            raise InputError(f"{path}: the name of the output must end in {' or '.join(names)}")
        require_parent(path)
        if (path.parent / MANIFEST_NAME).exists():
            raise InputError(f"{path} is inside of a bundle, whose files must not change; write to another folder")
        if any(path.resolve() == read.resolve() for read in reads):
            raise InputError(f"{path} is both the input and the output; name another file for the output")
        return cls(path, suffix)

    def column_names(self, manifest: Manifest, *, conditions: bool = False) -> tuple[str, ...]:
        """Return the column names of a .csv file of examples: the model's feature names, or x0, x1, ...

        Return () if the output is not a .csv file.

        Args:
            manifest: The manifest of the model.
            conditions: Whether to add the column names of the conditions; see `condition_names`.

        Raises:
            InputError: The output is a .csv file, but an example of this model has more than one axis.
        """
        if self.suffix != ".csv":
            return ()
        if len(manifest.input_shape) != 1:
            raise InputError(
                f"{self.path}: examples of shape {manifest.input_shape} are not rows of a table; write a .npy file"
            )
        names = manifest.features or numbered("x", manifest.input_shape[0])
        return condition_names(names, manifest) if conditions else names

    def write_grid(self, images: FloatArray, columns: int | None = None, captions: Sequence[str] = ()) -> None:
        """Write a grid of images; `vaedge.files.images.grid_png` documents the arguments."""
        from vaedge.files.images import grid_png  # Pillow is needed only here

        write_atomically(self.path, grid_png(images, columns, captions))

    def write_table(self, names: Sequence[str], *columns: npt.NDArray[Any]) -> None:
        """Write a .csv file with the columns of several arrays, each of shape (n, ...), side by side."""
        write_atomically(self.path, format_header(names), *format_rows(*columns))

    def write_array(self, array: npt.NDArray[Any], names: Sequence[str] = (), columns: int | None = None) -> None:
        """Write one array as .npy, as .csv with the column names `names`, or as .png with `columns` images per row."""
        if self.suffix == ".png":
            self.write_grid(array, columns)
        elif self.suffix == ".csv":
            self.write_table(names, array)
        else:
            write_atomically(self.path, *npy_parts(array))

    def write_archive(self, **arrays: npt.NDArray[Any]) -> None:
        """Write several arrays as .npz."""
        write_atomically(self.path, npz_content(**arrays))

    def write_stream(self, source: Source, job: Mapping[str, Any], names: Sequence[str] = ()) -> int:
        """Write the rows of a source as .npy, .csv or shards, show a progress bar, and print the number of rows.

        Args:
            source: The rows to write.
            job: Description of the rows. A folder of shards stores this description. An existing folder with another
                description is refused.
            names: Names of the columns of a .csv file.

        Returns:
            The exit status.
        """
        existing = 0
        try:
            with progress_bar(source.n, "computing", "examples") as update:
                if self.suffix == SHARDS:
                    existing = write_shards(self.path, source, job, update)
                elif self.suffix == ".csv":
                    write_table(self.path, source, names, update)
                else:
                    write_file(self.path, source, update)
        except KeyboardInterrupt as stop:
            if self.suffix != SHARDS:
                raise
            raise KeyboardInterrupt(
                f"the shards in {self.path} are intact; repeat the command to write the others"
            ) from stop
        shards = " in shards" if self.suffix == SHARDS else ""
        already = f" ({existing} shards existed already)" if existing else ""
        print(f"{self.path}: {source.n:,} examples{shards}{already}")
        return 0


def write_decoded(
    args: argparse.Namespace,
    output: Output,
    vae: VAE,
    rows: npt.NDArray[Any],
    conditions: Mapping[str, npt.NDArray[Any]],
    operation: Callable[..., FloatArray],
) -> int:
    """Apply `operation`, either `vae.decode` or `vae.reconstruct`, to some rows at a time, and write the results."""
    buffers, is_table = Buffers(vae.input_shape), output.suffix == ".csv"

    def call(part: npt.NDArray[Any], conditions: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        x = operation(part, conditions=conditions, out=buffers.next(len(part)))
        return {"x": x, **(condition_columns(conditions, vae.manifest) if is_table else {})}

    values = repeat_conditions(conditions, vae.manifest, len(rows))
    source = Mapped(rows, values, call, 4 * math.prod(vae.input_shape))
    return output.write_stream(
        source, describe_job(args, vae, values), output.column_names(vae.manifest, conditions=True)
    )


def condition_names(names: tuple[str, ...], manifest: Manifest) -> tuple[str, ...]:
    """Return `names`, then the column names of the conditions. If a column name is used already, append "_" to it."""
    for name, condition in manifest.conditions.items():
        for column in numbered(name, math.prod(condition.shape)) if condition.shape else (name,):
            while column in names:
                column += "_"
            names = (*names, column)
    return names


def numbered(name: str, count: int) -> tuple[str, ...]:
    """Return `count` column names: name0, name1, ..."""
    return tuple(f"{name}{index}" for index in range(count))


def repeat_conditions(
    conditions: Mapping[str, npt.NDArray[Any]], manifest: Manifest, n: int
) -> dict[str, npt.NDArray[Any]]:
    """Return a dict from the name of each condition to n values. A single value is repeated without a copy."""
    shapes = {name: condition.shape for name, condition in manifest.conditions.items()}
    return {
        name: np.broadcast_to(values, (n, *values.shape)) if values.shape == shapes[name] else values
        for name, values in conditions.items()
    }


def describe_job(args: argparse.Namespace, vae: VAE, conditions: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Return what determines the rows of a folder of shards: the command, bundle, variant, input file, and options."""
    job = {"command": args.command, "manifest": vae.sha256, "variant": vae.variant}
    if hasattr(args, "input"):
        found = args.input.stat()
        job |= {"input": args.input.name, "bytes": found.st_size, "modified": found.st_mtime_ns}
    job |= {name: getattr(args, name) for name in _READ_OPTIONS if getattr(args, name, None)}
    digests = {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in conditions.items()
    }
    return {**job, "conditions": digests}
