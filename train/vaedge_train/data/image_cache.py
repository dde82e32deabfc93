"""The cache of decoded images: a memory-mapped array, which later runs reuse if the images have not changed."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from vaedge.cli.progress import progress_bar
from vaedge.errors import InputError
from vaedge.files.atomic import atomic_file, write_atomically
from vaedge.files.background import Color
from vaedge.files.decoding import COLOR, Failure, decode_images
from vaedge.files.images import GRAY_MODES, open_image
from vaedge_train.errors import DataError

_FORMAT = 1


@dataclass(frozen=True)
class Images:
    """Decoded images.

    Attributes:
        pixels: (n, channels, height, width) uint8, memory-mapped. The pixels of failed images are zeros.
        failures: The images that could not be decoded.
    """

    pixels: npt.NDArray[np.uint8]
    failures: list[Failure]


def cached_images(
    folder: Path,
    paths: Sequence[Path],
    cache_dir: Path | None,
    image_size: tuple[int, ...] | None,
    background: Color | None,
    on_failure: Callable[[Failure], None],
) -> Images:
    """Return the decoded images of a folder, from the cache if it has them.

    If all images are gray, they are returned as gray images. Otherwise, all are returned as color images.

    Args:
        folder: The folder.
        paths: Paths of the images in the folder.
        cache_dir: Folder of the cache. With None, the images are read into memory.
        image_size: (height, width) to which the images are resized. With None, all images must have the same size.
        background: Color on which transparent images are composited. With None, transparent images are failures.
        on_failure: Function that is called for each image that cannot be decoded. It may raise an error to stop.

    Raises:
        DataError: No image can be decoded, or the folder changed while it was read.
        OSError: The disk is full. No incomplete file remains.
    """
    with tempfile.TemporaryDirectory() if cache_dir is None else nullcontext(cache_dir) as directory:
        state = _state(folder, paths, image_size, background)
        file = Path(directory) / f"{folder.resolve().name}-{state[:16]}.npy"
        listing = file.with_suffix(".json")
        if file.exists() and listing.exists():
            failures = [Failure(*failure) for failure in json.loads(listing.read_bytes())]
            for failure in failures:
                on_failure(failure)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as opened:
                failures = _decode(folder, paths, opened, image_size, background, on_failure)
                if _state(folder, paths, image_size, background) != state:
                    raise DataError(f"the images in {folder} changed while they were read; start again")
                write_atomically(listing, json.dumps([astuple(failure) for failure in failures]).encode())
        try:
            # torch needs a writable array. With mode "c" (copy on write), writes would not change the file.
            return Images(np.load(file, mmap_mode=None if cache_dir is None else "c"), failures)
        except (ValueError, EOFError) as error:
            raise DataError(f"{file} is damaged: {error}; remove this file, and start the command again") from error


def _state(folder: Path, paths: Sequence[Path], image_size: tuple[int, ...] | None, background: Color | None) -> str:
    """Return a digest of `image_size`, `background`, and the names, sizes, and modification times of the images."""
    digest = hashlib.sha256(repr((_FORMAT, image_size, background)).encode())
    for path in paths:
        try:
            found = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}; the folder changed while it was read") from error
        digest.update(repr((str(path.relative_to(folder)), found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()


def _decode(
    folder: Path,
    paths: Sequence[Path],
    file: BinaryIO,
    image_size: tuple[int, ...] | None,
    background: Color | None,
    on_failure: Callable[[Failure], None],
) -> list[Failure]:
    """Write all images to a .npy file, and return the failures. Write gray images if all images are gray."""
    first = _first_image(folder, paths, background)
    height, width = image_size or (first.height, first.width)
    channels, reported = 1 if first.mode in GRAY_MODES else 3, -1
    while True:
        shape = (channels, height, width)
        file.seek(0)
        file.truncate()
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        offset, failures = file.tell(), list[Failure]()
        parts = decode_images(
            paths,
            Path(file.name),
            offset,
            shape,
            resize=image_size is not None,
            background=background,
            processes=torch.get_num_threads(),
        )
        with closing(parts), progress_bar(len(paths), "reading images", "images") as progress:
            for count, found in parts:
                if any(failure.kind == COLOR for failure in found):
                    channels = 3
                    break
                for failure in found:
                    if failure.index > reported:  # an earlier pass over the images did not report it
                        on_failure(failure)
                        reported = failure.index
                failures += found
                progress(count)
            else:
                return failures


def _first_image(folder: Path, paths: Sequence[Path], background: Color | None) -> Image.Image:
    """Return the first image that can be decoded."""
    errors = []
    for path in paths:
        try:
            return open_image(path, background)
        except InputError as error:
            errors.append(error)
    raise DataError(f"none of the {len(paths):,} images in {folder} can be used. The first error: {errors[0]}")
