"""Anybody's pictures: a folder of them becomes one tensor."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from vaedge_train.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
_GREY = frozenset({"1", "L", "LA"})
_TEST_SHARE = 10  # one picture in ten is held out
_SPLIT_SEED = 0  # fixed, so that runs with different seeds are tested on the same pictures


def load_folder(folder: Path, image_size: tuple[int, ...] | None) -> tuple[Tensor, Tensor]:
    """Read every picture below a folder: grey if all are grey, else colour; one in ten is held out for testing.

    Args:
        folder: searched with its subfolders; other files are passed over.
        image_size: (height, width) that every picture is resized to; None demands that all are of one size.

    Returns:
        Train and test pictures, each (n, 1 or 3, height, width) uint8.

    Raises:
        DataError: fewer than two pictures, one that cannot be read, or sizes that differ.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise DataError(f"{folder} holds {len(paths)} pictures ({', '.join(sorted(SUFFIXES))}); at least 2 are needed")
    pictures = [_read(path) for path in tqdm(paths, "reading pictures", unit="", disable=None)]
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
    return hold_out_test(tensor)


def hold_out_test(items: Tensor) -> tuple[Tensor, Tensor]:
    """Split items that come without a test part: one in ten is held out, the same ones in every run."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(_SPLIT_SEED))
    held_out = max(1, len(items) // _TEST_SHARE)
    return items[order[held_out:]], items[order[:held_out]]


def _read(path: Path) -> Image.Image:
    """Read a picture of 8-bit pixels, turned as its EXIF orientation says; 16 bits become 8."""
    try:
        with Image.open(path) as file:
            return _in_8_bits(ImageOps.exif_transpose(file))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


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
