"""Data sets from folders of images.

torchvision's `ImageFolder` is not used, because its errors do not name files that are broken or differ in size.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from vaedge.files.background import Color
from vaedge.files.decoding import SIZE, TRANSPARENT, Failure
from vaedge.files.images import IMAGE_SUFFIXES, find_images, subfolder_labels
from vaedge_train.data.examples import Examples, Source, with_test_part
from vaedge_train.data.image_cache import cached_images
from vaedge_train.errors import DataError


def load_folder(
    folder: Path,
    image_size: tuple[int, ...] | None,
    *,
    skip_broken: bool = False,
    background: Color | None = None,
    cache_dir: Path | None = None,
) -> Source:
    """Read all images of a folder and its subfolders.

    If all images are gray, they are read as gray images. Otherwise, all are read as color images. A tenth of the images
    is held out for testing. If all images are in subfolders, the class of an image is the name of its subfolder
    directly below the folder.

    Args:
        folder: The folder. Files other than images are ignored.
        image_size: (height, width) to which all images are resized. With None, all images must have the same size.
        skip_broken: Whether to leave out images that cannot be read, and transparent images. Messages on stderr name
            each broken image and the first transparent one, and state the number of images that were left out.
        background: Color on which transparent images are composited. With None, transparent images cannot be used.
        cache_dir: Folder for the decoded images, which later runs reuse. With None, the images are decoded into memory.

    Returns:
        Train and test images, each (n, 1 or 3, height, width) uint8.

    Raises:
        DataError: An image cannot be used, fewer than two images are left, or the images differ in size.
    """
    paths = find_images(folder)
    if len(paths) < 2:
        raise DataError(
            f"{folder} holds {len(paths)} images ({', '.join(sorted(IMAGE_SUFFIXES))}); expected at least 2"
        )
    left_out = _LeftOut(folder, len(paths), skip_broken)
    images = cached_images(folder, paths, cache_dir, image_size, background, left_out.add)
    left_out.report()
    failed = {failure.index for failure in images.failures}
    rows = [index for index in range(len(paths)) if index not in failed]
    if len(rows) < 2:
        raise DataError(f"{folder}: only {len(rows)} of {len(paths)} images can be used; expected at least 2")
    y, classes = _labels([paths[index].relative_to(folder) for index in rows])
    if not failed:
        return with_test_part(Examples(torch.from_numpy(images.pixels), y), classes)
    labels = None if y is None else torch.zeros(len(paths), dtype=torch.int64).index_copy_(0, torch.tensor(rows), y)
    chosen = torch.tensor(rows, dtype=torch.int32)
    return with_test_part(Examples(torch.from_numpy(images.pixels), labels, chosen), classes)


class _LeftOut:
    """A counter of unusable images in a folder.

    With `skip_broken`, broken and transparent images are left out. Otherwise, they cause an error.

    Args:
        folder: The folder.
        total: Number of images in the folder.
        skip_broken: Whether to leave out broken and transparent images.
    """

    def __init__(self, folder: Path, total: int, skip_broken: bool) -> None:
        self._folder = folder
        self._total = total
        self._skip_broken = skip_broken
        self._broken = 0
        self._transparent: list[Failure] = []

    def add(self, failure: Failure) -> None:
        """Count a broken or transparent image.

        Raises:
            DataError: The image has another size than the others. Or the image is broken, and `skip_broken` is False.
        """
        if failure.kind == SIZE:
            raise DataError(f"{failure.message}; resize all images to one size, with --image-size HEIGHT WIDTH")
        if failure.kind == TRANSPARENT:
            self._transparent.append(failure)
            return
        if not self._skip_broken:
            raise DataError(f"{failure.message}; leave out such images with --skip-broken")
        self._broken += 1
        _print(f"skipped: {failure.message}")

    def report(self) -> None:
        """Print the number of images that are left out.

        Raises:
            DataError: There are transparent images, and `skip_broken` is False.
        """
        if self._transparent:
            message = (
                f"{self._transparent[0].message}. It is the first of {len(self._transparent):,} such images among "
                f"{self._total:,} in {self._folder}"
            )
            if not self._skip_broken:
                raise DataError(f"{message}. Leave out these images with --skip-broken")
            _print(f"skipped: {message}")
        count = self._broken + len(self._transparent)
        if count:
            _print(
                f"Left out {count:,} of {self._total:,} images: {self._broken:,} broken, {len(self._transparent):,} "
                "transparent."
            )


def _print(message: str) -> None:
    """Print a line to stderr, above the progress bar."""
    tqdm.write(message, file=sys.stderr)


def _labels(paths: list[Path]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the class of each image and the names of the classes, or (None, ()) if there are no classes.

    Args:
        paths: The images, relative to the folder of the data set.
    """
    labels = subfolder_labels(paths)
    if labels is None:
        return None, ()
    classes = sorted(set(labels))
    return torch.tensor([classes.index(label) for label in labels]), tuple(classes)
