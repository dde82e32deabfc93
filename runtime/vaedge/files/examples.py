"""Read a batch of examples: an array, an image, or a folder of images."""

from pathlib import Path

import numpy as np

from vaedge._types import FloatArray
from vaedge.errors import InputError
from vaedge.files.arrays import ARRAY_SUFFIXES, read_array


def read_examples(path: Path, shape: tuple[int, ...], key: str = "x", resize: bool = False) -> FloatArray:
    """Read a batch of examples.

    Args:
        path: A .npy array (n, *shape) or of one example; a .npz archive with the array `key`, or with one array; an
            image; or a folder of images, with its subfolders, in the order of their names.
        shape: Shape of one example.
        key: Name of the array in an archive.
        resize: Resize images of another size to the one that the shape asks for.

    Returns:
        The array as it was stored, or (n, *shape) float32 in [0, 1] from images.

    Raises:
        InputError: The path does not exist, or holds nothing that can be used; the message names the file.
    """
    if path.is_dir():
        from vaedge.files.images import IMAGE_SUFFIXES, find_images, read_image

        images = find_images(path)
        if not images:
            raise InputError(f"{path} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        return np.stack([read_image(image, shape, resize) for image in images])
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.suffix.lower() in ARRAY_SUFFIXES:
        array = read_array(path, key)
        return array[None] if array.shape == shape else array
    from vaedge.files.images import read_image

    return read_image(path, shape, resize)[None]
