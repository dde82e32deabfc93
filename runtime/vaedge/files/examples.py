"""Read a batch of examples: an array, an image, or a folder of images."""

from pathlib import Path

import numpy as np

from vaedge._types import FloatArray
from vaedge.errors import InputError
from vaedge.files.arrays import ARRAY_SUFFIXES, read_array


def read_examples(path: Path, shape: tuple[int, ...], key: str = "x", resize: bool = False) -> FloatArray:
    """Read a batch of examples.

    Args:
        path: Path of a .npy file, a .npz file, an image, or a folder of images. Arrays have the shape (n, *shape), or
            `shape` for one example. A folder is read with its subfolders, in the order of the file names.
        shape: Shape of one example.
        key: Name of the array in a .npz file. If the file holds only one array, that array may have any name.
        resize: Whether to resize images to the height and width in `shape`.

    Returns:
        The array as it was stored. Images become a float32 array of shape (n, *shape) with values in [0, 1].

    Raises:
        InputError: The path does not exist, or a file cannot be used. The message names the path.
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
