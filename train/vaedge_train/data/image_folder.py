"""Anybody's pictures: a folder of them becomes one tensor."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from vaedge_train.data.examples import Items, Source, without_test_part
from vaedge_train.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
_GREY = frozenset({"1", "L", "LA"})


def load_folder(folder: Path, image_size: tuple[int, ...] | None, *, skip_broken: bool = False) -> Source:
    """Read every picture below a folder: grey if all are grey, else colour; one in ten is held out for testing.

    Where all pictures lie in subfolders, the name of the first subfolder is a picture's class.

    Args:
        folder: searched with its subfolders; other files are passed over.
        image_size: (height, width) that every picture is resized to; None demands that all are of one size.
        skip_broken: leave out pictures that cannot be read, and name them on stderr.

    Returns:
        Train and test pictures, each (n, 1 or 3, height, width) uint8.

    Raises:
        DataError: fewer than two pictures, one that cannot be read, or sizes that differ.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise DataError(f"{folder} holds {len(paths)} pictures ({', '.join(sorted(SUFFIXES))}); at least 2 are needed")
    read = {path: _read(path, skip_broken) for path in tqdm(paths, "reading pictures", unit="", disable=None)}
    paths = [path for path in paths if read[path] is not None]
    pictures = [picture for picture in read.values() if picture is not None]
    if len(paths) < 2:
        raise DataError(f"{folder}: of {len(read)} pictures only {len(paths)} can be read; at least 2 are needed")
    mode = "L" if all(picture.mode in _GREY for picture in pictures) else "RGB"
    pictures = [picture.convert(mode) for picture in pictures]
    if image_size is not None:
        height, width = image_size
        pictures = [picture.resize((width, height), Image.Resampling.LANCZOS) for picture in pictures]
    for path, picture in zip(paths, pictures, strict=True):
        if picture.size != pictures[0].size:
            raise DataError(
                f"{path} is {_size(picture)} pixels and {paths[0]} is {_size(pictures[0])}: "
                f"give the size that all shall have, --image-size HEIGHT WIDTH"
            )
    array = np.stack([np.atleast_3d(np.asarray(picture)) for picture in pictures])
    tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))
    y, classes = _labels([path.relative_to(folder) for path in paths])
    return without_test_part(Items(tensor, y), classes)


def _labels(paths: list[Path]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the class of each picture and the classes' names, where every one lies in a subfolder."""
    if any(len(path.parts) == 1 for path in paths):
        return None, ()
    classes = sorted({path.parts[0] for path in paths})
    return torch.tensor([classes.index(path.parts[0]) for path in paths]), tuple(classes)


def _read(path: Path, skip_broken: bool) -> Image.Image | None:
    """Read a picture of 8-bit pixels, turned as its EXIF orientation says; 16 bits become 8."""
    try:
        with Image.open(path) as file:
            return _in_8_bits(ImageOps.exif_transpose(file))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        if skip_broken:
            tqdm.write(f"skipped {path}: {error}", file=sys.stderr)
            return None
        raise DataError(
            f"{path} cannot be read as a picture: {error}; --skip-broken leaves such pictures out"
        ) from error


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Return the picture with 8-bit pixels; Pillow's own conversion would clip wider ones, and drop transparency."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its pixels are of {picture.mode!r} type, whose range is unknown; save it with 8 or 16 bits")
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ValueError("parts of it are transparent; put it on a background first")
    picture.load()
    return picture


def _size(picture: Image.Image) -> str:
    return f"{picture.width} x {picture.height}"
