"""Pictures to arrays and back: (channels, height, width) float32 in [0, 1], 1 channel grey or 3 colour."""

import io
import math
from pathlib import Path

import numpy as np

from vaedge.arrays import FloatArray
from vaedge.errors import DependencyError, InputError, install_hint

try:
    from PIL import Image, ImageOps, UnidentifiedImageError
except ImportError as error:
    raise DependencyError(f"images need Pillow, which is not installed: {install_hint('cli')}") from error

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
_GAP = 2  # pixels between the pictures of a grid
_BACKGROUND = 64
_MOST = 10_000  # pictures in a grid: more nobody looks at, and the file takes minutes to write


def is_picture_shape(shape: tuple[int, ...]) -> bool:
    """Say whether items of this shape can be shown: (1 or 3, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def read_picture(path: Path, shape: tuple[int, ...], resize: bool = False) -> FloatArray:
    """Read one picture; colour becomes grey, or grey colour, as the shape asks; 16 bits become 8.

    Args:
        path: the file; a photograph is turned as its EXIF orientation says.
        shape: (channels, height, width) that the picture must have.
        resize: bring a picture of another size to this one, in place of refusing it.

    Returns:
        float32 array of that shape in [0, 1].

    Raises:
        InputError: it is no picture, of another size, partly transparent, or of floating-point pixels.
    """
    if not is_picture_shape(shape):
        raise InputError(f"{path} is a picture, but this model's items have the shape {shape}; give a .npy file")
    channels, height, width = shape
    try:
        with Image.open(path) as file:
            picture = _in_8_bits(ImageOps.exif_transpose(file)).convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a picture: {error}") from error
    if resize:
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if picture.size != (width, height):
        raise InputError(
            f"{path} is {picture.width} x {picture.height} pixels; this model takes {width} x {height}: "
            "resize it first, or have it resized (read_picture's resize, --resize)"
        )
    pixels = np.asarray(picture, np.float32).reshape(height, width, channels) / np.float32(255)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Return the picture with 8-bit pixels; Pillow's own conversion would clip wider ones, and drop transparency."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(f"its pixels are of {picture.mode!r} type, whose range is unknown; save it with 8 or 16 bits")
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ValueError("parts of it are transparent; put it on a background first")
    return picture


def grid_png(items: FloatArray, columns: int | None = None) -> bytes:
    """Lay items out in rows and encode the sheet as PNG.

    Args:
        items: (n, channels, height, width), 1 or 3 channels; values outside [0, 1] are clipped.
        columns: pictures per row; None makes the sheet about square.

    Raises:
        InputError: the items cannot be shown.
    """
    if not is_picture_shape(items.shape[1:]):
        raise InputError(f"items of shape {items.shape[1:]} cannot be shown as pictures; write a .npy file")
    n, channels, height, width = items.shape
    if n > _MOST:
        raise InputError(f"{n:,} items are too many for one picture (at most {_MOST:,}); write a .npy file")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels), _BACKGROUND, np.uint8)
    pixels = np.rint(np.clip(items, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    for index, picture in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP) + _GAP, column * (width + _GAP) + _GAP
        sheet[top : top + height, left : left + width] = picture
    content = io.BytesIO()
    Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet).save(content, "PNG", optimize=True)
    return content.getvalue()


def beside(originals: FloatArray, reconstructions: FloatArray, columns: int = 16) -> tuple[FloatArray, int]:
    """Order two batches so that a grid shows each row of originals above the row of their reconstructions.

    Args:
        originals: (n, ...) items.
        reconstructions: (n, ...), in the same order.
        columns: pictures per row.

    Returns:
        The items, the last rows filled up with grey, and the columns of the grid.
    """
    columns = min(columns, len(originals))
    missing = -len(originals) % columns
    filled = [
        np.concatenate([batch, np.full((missing, *batch.shape[1:]), _BACKGROUND / 255, np.float32)])
        for batch in (originals, reconstructions)
    ]
    pairs = np.stack([batch.reshape(-1, columns, *batch.shape[1:]) for batch in filled], 1)
    return pairs.reshape(-1, *originals.shape[1:]), columns
