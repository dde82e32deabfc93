"""Data sets from folders of images.

torchvision's `ImageFolder` is not used, because it does not name the files that are broken or differ in size.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vaedge.errors import InputError
from vaedge.files.images import IMAGE_SUFFIXES, find_images, open_image, resize_image
from vaedge_train.data.examples import Examples, Source, with_test_part
from vaedge_train.errors import DataError

_GRAY_MODES = frozenset({"1", "L", "LA"})


def load_folder(folder: Path, image_size: tuple[int, ...] | None, *, skip_broken: bool = False) -> Source:
    """Read all images of a folder and its subfolders.

    If all images are gray, they are read as gray images. Otherwise, all are read as color images. A tenth of the images
    is held out for testing. If all images are in subfolders, the class of an image is the name of its subfolder
    directly below the folder.

    Args:
        folder: The folder; files other than images are ignored.
        image_size: (height, width) to which all images are resized. If None, all images must have the same size.
        skip_broken: Whether to skip images that cannot be read, and to print their names to stderr.

    Returns:
        Train and test images, each (n, 1 or 3, height, width) uint8.

    Raises:
        DataError: There are fewer than two images, an image cannot be read, or the sizes differ.
    """
    paths = find_images(folder)
    if len(paths) < 2:
        raise DataError(
            f"{folder} holds {len(paths)} images ({', '.join(sorted(IMAGE_SUFFIXES))}); expected at least 2"
        )
    found = {path: _read(path, skip_broken) for path in tqdm(paths, "reading images", unit="", disable=None)}
    images = {path: image for path, image in found.items() if image is not None}
    if len(images) < 2:
        raise DataError(f"{folder}: only {len(images)} of {len(paths)} images can be read; expected at least 2")
    mode = "L" if all(image.mode in _GRAY_MODES for image in images.values()) else "RGB"
    images = {path: image.convert(mode) for path, image in images.items()}
    if image_size is not None:
        images = {path: resize_image(image, *image_size) for path, image in images.items()}
    _require_equal_sizes(images)
    array = np.stack([np.atleast_3d(np.asarray(image)) for image in images.values()])
    x = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
    y, classes = _labels([path.relative_to(folder) for path in images])
    return with_test_part(Examples(x, y), classes)


def _read(path: Path, skip_broken: bool) -> Image.Image | None:
    """Open an image. Return None if the image is broken and broken images are skipped."""
    try:
        return open_image(path)
    except InputError as error:
        if not skip_broken:
            raise DataError(f"{error}; use --skip-broken to skip such images") from error
        tqdm.write(f"skipped: {error}", file=sys.stderr)
        return None


def _require_equal_sizes(images: dict[Path, Image.Image]) -> None:
    first, *others = images
    for path in others:
        if images[path].size != images[first].size:
            sizes = ["{} x {}".format(*images[name].size) for name in (path, first)]
            raise DataError(
                f"{path} has {sizes[0]} pixels, but {first} has {sizes[1]}; resize all images to one size, with "
                "--image-size HEIGHT WIDTH"
            )


def _labels(paths: list[Path]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the class of each image and the names of the classes, if all images are in subfolders."""
    if any(len(path.parts) == 1 for path in paths):
        return None, ()
    classes = sorted({path.parts[0] for path in paths})
    return torch.tensor([classes.index(path.parts[0]) for path in paths]), tuple(classes)
