"""Data sets from folders of images.

torchvision's `ImageFolder` is not used, because its errors do not name files that are broken or differ in size.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vaedge.errors import InputError
from vaedge.files.background import Color
from vaedge.files.images import (
    GRAY_MODES,
    IMAGE_SUFFIXES,
    TransparentImageError,
    find_images,
    open_image,
    resize_image,
    subfolder_labels,
)
from vaedge_train.data.examples import Examples, Source, with_test_part
from vaedge_train.errors import DataError


def load_folder(
    folder: Path,
    image_size: tuple[int, ...] | None,
    *,
    skip_broken: bool = False,
    background: Color | None = None,
) -> Source:
    """Read all images of a folder and its subfolders.

    If all images are gray, they are read as gray images. Otherwise, all are read as color images. A tenth of the images
    is held out for testing. If all images are in subfolders, the class of an image is the name of its subfolder
    directly below the folder.

    Args:
        folder: The folder. Files other than images are ignored.
        image_size: (height, width) to which all images are resized. None requires that all have the same size.
        skip_broken: Leave out images that cannot be read, and transparent images. Messages on stderr name each broken
            image and the first transparent one, and state the number of images that were left out.
        background: Color on which transparent images are composited; None refuses them.

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
    images = _read_all(folder, paths, skip_broken, background)
    if len(images) < 2:
        raise DataError(f"{folder}: only {len(images)} of {len(paths)} images can be used; expected at least 2")
    mode = "L" if all(image.mode in GRAY_MODES for image in images.values()) else "RGB"
    images = {path: image.convert(mode) for path, image in images.items()}
    if image_size is not None:
        images = {path: resize_image(image, *image_size) for path, image in images.items()}
    _require_equal_sizes(images)
    array = np.stack([np.atleast_3d(np.asarray(image)) for image in images.values()])
    x = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
    y, classes = _labels([path.relative_to(folder) for path in images])
    return with_test_part(Examples(x, y), classes)


def _read_all(folder: Path, paths: list[Path], skip_broken: bool, background: Color | None) -> dict[Path, Image.Image]:
    """Open the images. See `load_folder` for the images that are refused or left out."""
    images: dict[Path, Image.Image] = {}
    transparent: list[Path] = []
    for path in tqdm(paths, "reading images", unit="", disable=None):
        try:
            images[path] = open_image(path, background)
        except TransparentImageError:
            transparent.append(path)
        except InputError as error:
            if not skip_broken:
                raise DataError(f"{error}; leave out such images with --skip-broken") from error
            _print(f"skipped: {error}")
    if transparent:
        message = (
            f"{transparent[0]} has transparent parts; it is the first of {len(transparent):,} such images among "
            f"{len(paths):,} in {folder}. Composite them on a color with --background (white, black, or R,G,B)"
        )
        if not skip_broken:
            raise DataError(f"{message}, or leave them out with --skip-broken")
        _print(f"skipped: {message}")
    left_out = len(paths) - len(images)
    if left_out:
        _print(
            f"Left out {left_out:,} of {len(paths):,} images: {left_out - len(transparent):,} broken, "
            f"{len(transparent):,} transparent."
        )
    return images


def _print(message: str) -> None:
    """Print a line to stderr, above the progress bar."""
    tqdm.write(message, file=sys.stderr)


def _require_equal_sizes(images: dict[Path, Image.Image]) -> None:
    """Raise DataError if an image differs in size from the first image."""
    first, *others = images
    for path in others:
        if images[path].size != images[first].size:
            sizes = ["{} x {}".format(*images[name].size) for name in (path, first)]
            raise DataError(
                f"{path} has {sizes[0]} pixels, but {first} has {sizes[1]}; resize all images to one size, with "
                "--image-size HEIGHT WIDTH"
            )


def _labels(paths: list[Path]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the class of each image and the names of the classes. They are None and () without classes.

    Args:
        paths: The images, relative to the folder of the data set.
    """
    labels = subfolder_labels(paths)
    if labels is None:
        return None, ()
    classes = sorted(set(labels))
    return torch.tensor([classes.index(label) for label in labels]), tuple(classes)
