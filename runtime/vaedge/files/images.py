"""Convert images to float32 arrays in [0, 1] and back. The shape is (1, height, width) for gray, (3, ...) for color."""

import io
import math
from pathlib import Path

import numpy as np

from vaedge._types import FloatArray
from vaedge.errors import DependencyError, InputError, install_hint

try:
    from PIL import Image, ImageOps, UnidentifiedImageError
except ImportError as error:
    raise DependencyError(f"images need Pillow, which is not installed: {install_hint('cli')}") from error

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
_GAP = 2  # pixels between the images of a grid
_BACKGROUND = 64
_MAX_IMAGES = 10_000  # maximum for one grid; larger grids take minutes to write


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Return whether examples of this shape can be shown: (1 or 3, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def find_images(folder: Path) -> list[Path]:
    """Return the image files of a folder and its subfolders, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def open_image(path: Path) -> Image.Image:
    """Open an image with 8-bit pixels, and apply the EXIF orientation. 16-bit gray is scaled to 8 bits.

    Raises:
        InputError: The file is not an image, is damaged, is partly transparent, or has pixels of unknown range.
    """
    try:
        with Image.open(path) as file:
            image = _as_8_bits(ImageOps.exif_transpose(file))
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error
    return image


def read_image(path: Path, shape: tuple[int, ...], resize: bool = False) -> FloatArray:
    """Read one image, and convert it to gray or color if `shape` requires it.

    Args:
        path: The file.
        shape: (channels, height, width) of the result.
        resize: Whether to resize an image of another size. Otherwise another size is an error.

    Returns:
        float32 array of shape `shape` with values in [0, 1].

    Raises:
        InputError: The file is not an image (see `open_image`), or has another size.
    """
    if not is_image_shape(shape):
        raise InputError(f"{path} is an image, but this model's examples have the shape {shape}; give a .npy file")
    channels, height, width = shape
    image = open_image(path).convert("L" if channels == 1 else "RGB")
    if resize:
        image = resize_image(image, height, width)
    if image.size != (width, height):
        raise InputError(
            f"{path} has {image.width} x {image.height} pixels; this model takes {width} x {height}: resize the image, "
            "or use --resize"
        )
    pixels = np.asarray(image, np.float32).reshape(height, width, channels) / np.float32(255)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def resize_image(image: Image.Image, height: int, width: int) -> Image.Image:
    """Return the image, resized to `height` x `width` pixels."""
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _as_8_bits(image: Image.Image) -> Image.Image:
    """Return the image with 8-bit pixels.

    Pillow's conversion would clip pixels of more than 8 bits, and would ignore transparency.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"the range of pixels of type {image.mode!r} is unknown; save the image with 8 or 16 bits")
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ValueError("the image is partly transparent; composite it on a background first")
    return image


def grid_png(images: FloatArray, columns: int | None = None) -> bytes:
    """Arrange images in rows and encode the grid as PNG.

    Args:
        images: Array of shape (n, channels, height, width) with 1 or 3 channels. Values outside [0, 1] are clipped.
        columns: Number of images per row. None makes the grid about square.

    Raises:
        InputError: The examples cannot be shown as images, or there are too many images.
    """
    if not is_image_shape(images.shape[1:]):
        raise InputError(f"examples of shape {images.shape[1:]} cannot be shown as images; write a .npy file")
    n, channels, height, width = images.shape
    if n > _MAX_IMAGES:
        raise InputError(f"{n:,} images are too many for one grid (at most {_MAX_IMAGES:,}); write a .npy file")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    grid = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels), _BACKGROUND, np.uint8)
    pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP) + _GAP, column * (width + _GAP) + _GAP
        grid[top : top + height, left : left + width] = image
    content = io.BytesIO()
    Image.fromarray(grid[:, :, 0] if channels == 1 else grid).save(content, "PNG", optimize=True)
    return content.getvalue()


def interleave_rows(originals: FloatArray, reconstructions: FloatArray, columns: int = 16) -> tuple[FloatArray, int]:
    """Order two batches so that a grid shows each row of originals above the row of their reconstructions.

    Args:
        originals: Images, shape (n, channels, height, width).
        reconstructions: Reconstructions of the originals in the same order and shape.
        columns: Maximum number of images per row.

    Returns:
        The images in the new order, and the number of columns of the grid. Gray images fill up the last rows.
    """
    columns = min(columns, len(originals))
    missing = -len(originals) % columns
    filled = [
        np.concatenate([batch, np.full((missing, *batch.shape[1:]), _BACKGROUND / 255, np.float32)])
        for batch in (originals, reconstructions)
    ]
    pairs = np.stack([batch.reshape(-1, columns, *batch.shape[1:]) for batch in filled], 1)
    return pairs.reshape(-1, *originals.shape[1:]), columns
