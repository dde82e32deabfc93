"""Convert images to float32 arrays in [0, 1] and back.

The shape of an array is (1, height, width) for a gray image and (3, height, width) for a color image.
"""

import io
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vaedge._types import FloatArray
from vaedge.errors import DependencyError, InputError, install_hint
from vaedge.files.background import Color

try:
    from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
except ImportError as error:
    raise DependencyError(f"images need Pillow, which is not installed: {install_hint('cli')}") from error

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
GRAY_MODES = frozenset({"1", "L", "LA"})  # modes of Pillow's images
_GAP = 2  # pixels between the images of a grid
_BACKGROUND = 64
_MAX_CAPTION = 24  # characters
_MAX_IMAGES = 10_000  # maximum for a grid; larger grids take minutes to write


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Return whether examples of this shape can be shown as images. The shape must be (1 or 3, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def find_images(folder: Path) -> list[Path]:
    """Return the image files of a folder and its subfolders, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def subfolder_labels(paths: Sequence[Path]) -> tuple[str, ...] | None:
    """Return the topmost folder in each image's path as the label of the image, such as `a` for `a/b/1.png`.

    The paths must be relative to the folder that was read. Return None if an image is in no subfolder.
    """
    return None if any(len(path.parts) == 1 for path in paths) else tuple(path.parts[0] for path in paths)


class TransparentImageError(InputError):
    """An image has transparent parts, and no background was given."""


def open_image(path: Path, background: Color | None = None) -> Image.Image:
    """Open an image, and return it with 8-bit pixels.

    The image is rotated according to its EXIF orientation. 16-bit gray values are scaled to 8 bits.

    Args:
        path: The file.
        background: Color on which transparent parts are composited; None refuses them.

    Raises:
        TransparentImageError: The image is partly transparent, and there is no background.
        InputError: The file is not an image, is damaged, or has pixels of unknown range.
    """
    try:
        with Image.open(path) as file:
            image = _as_8_bits(ImageOps.exif_transpose(file))
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        if background is None:
            raise TransparentImageError(
                f"{path} has transparent parts; composite them on a color with --background (white, black, or R,G,B)"
            )
        return _composited(image, background)
    return image


def read_image(path: Path, shape: tuple[int, ...], resize: bool = False, background: Color | None = None) -> FloatArray:
    """Read one image. The image is converted to gray or to color if `shape` requires this.

    Args:
        path: The file.
        shape: (channels, height, width) of the result, as `is_image_shape` allows.
        resize: Whether to resize an image of another size. If False, such an image is refused.
        background: Color on which transparent parts are composited; None refuses them.

    Returns:
        float32 array of shape `shape` with values in [0, 1].

    Raises:
        InputError: The file is not an image (see `open_image`), or has another size.
    """
    channels, height, width = shape
    image = open_image(path, background).convert("L" if channels == 1 else "RGB")
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
    return image


def _composited(image: Image.Image, background: Color) -> Image.Image:
    """Return the image composited on a background. The result is gray if the image and the background are gray."""
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("L" if image.mode in GRAY_MODES and len(set(background)) == 1 else "RGB")


def grid_png(images: FloatArray, columns: int | None = None, captions: Sequence[str] = ()) -> bytes:
    """Arrange images in rows and encode the grid as PNG.

    Args:
        images: (n, channels, height, width), 1 or 3 channels; values outside [0, 1] are clipped.
        columns: Images per row; None makes the grid about square.
        captions: One line of text below each image, such as the name of its class; empty writes no captions.

    Raises:
        InputError: The examples cannot be shown as images, or there are too many images.
    """
    if not is_image_shape(images.shape[1:]):
        suffixes = ".csv or .npy" if images.ndim == 2 else ".npy"
        raise InputError(f"examples of shape {images.shape[1:]} cannot be shown as images; write a {suffixes} file")
    n, channels, height, width = images.shape
    if n > _MAX_IMAGES:
        raise InputError(f"{n:,} images are too many for one grid (at most {_MAX_IMAGES:,}); write a .npy file")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    lines = [_caption(text) for text in captions]
    cell_height = height + max((line.shape[0] for line in lines), default=0)
    cell_width = max([width, *(line.shape[1] for line in lines)])
    grid_shape = rows * (cell_height + _GAP) + _GAP, columns * (cell_width + _GAP) + _GAP, channels
    grid = np.full(grid_shape, _BACKGROUND, np.uint8)
    pixels = _to_bytes(images).transpose(0, 2, 3, 1)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = row * (cell_height + _GAP) + _GAP, column * (cell_width + _GAP) + _GAP
        _paste(grid, image, top, left + (cell_width - width) // 2)
        if lines:
            line = lines[index]
            _paste(grid, line, top + height, left + (cell_width - line.shape[1]) // 2)
    return _encode_png(grid[:, :, 0] if channels == 1 else grid, optimize=True)


def overlay_png(image: FloatArray, distortion: FloatArray, scale: tuple[float, float]) -> bytes:
    """Encode one PNG that shows two images side by side: the image, and the image in gray with the distortion in red.

    Args:
        image: (channels, height, width), 1 or 3 channels; values outside [0, 1] are clipped.
        distortion: The distortion of each pixel in nats, shape (height, width). NaN is shown as full red.
        scale: Two distortions in nats. Pixels with at most the first distortion are shown without red. Pixels with at
            least the second distortion are shown in full red.
    """
    channels, height, width = image.shape
    low, high = scale
    pixels = Image.fromarray(_to_bytes(image[0] if channels == 1 else image.transpose(1, 2, 0)))
    gray = np.asarray(pixels.convert("L"), np.float32)[:, :, None] / 255
    with np.errstate(invalid="ignore"):
        red = np.nan_to_num(np.clip((distortion - low) / (high - low), 0, 1), nan=1)[:, :, None]
    sheet = np.full((height, 2 * width + _GAP, 3), _BACKGROUND, np.uint8)
    _paste(sheet, np.asarray(pixels.convert("RGB")), 0, 0)
    _paste(sheet, _to_bytes((1 - red) * gray + red * np.array((1, 0, 0), np.float32)), 0, width + _GAP)
    return _encode_png(sheet)


def _to_bytes(values: FloatArray) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _encode_png(pixels: npt.NDArray[np.uint8], optimize: bool = False) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=optimize)
    return content.getvalue()


def _paste(grid: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8], top: int, left: int) -> None:
    grid[top : top + image.shape[0], left : left + image.shape[1]] = image


def _caption(text: str) -> npt.NDArray[np.uint8]:
    """Return an image of white text on the background color of grids, shape (height, width, 1)."""
    font = ImageFont.load_default()
    shown = text if len(text) <= _MAX_CAPTION else text[: _MAX_CAPTION - 3] + "..."
    letters = (letter for letter in unicodedata.normalize("NFKD", shown) if not unicodedata.combining(letter))
    shown = "".join(letters).encode("ascii", "replace").decode()  # the font has only ASCII letters
    width, height = (math.ceil(size) for size in font.getbbox("Ag" + shown)[2:])
    width = math.ceil(font.getlength(shown)) + 2
    image = Image.new("L", (width, height + 1), _BACKGROUND)
    ImageDraw.Draw(image).text((1, 0), shown, 255, font)
    return np.asarray(image)[:, :, None]


def interleave_rows(originals: FloatArray, reconstructions: FloatArray, columns: int = 16) -> tuple[FloatArray, int]:
    """Order two batches so that a grid shows each row of originals above the row of their reconstructions.

    Args:
        originals: Images, shape (n, channels, height, width).
        reconstructions: Reconstructions of the originals in the same order and shape.
        columns: Maximum number of images per row.

    Returns:
        The images in the new order, and the number of columns of the grid. The empty places in the last two rows are
        filled with uniformly gray images.
    """
    columns = min(columns, len(originals))
    missing = -len(originals) % columns
    filled = [
        np.concatenate([batch, np.full((missing, *batch.shape[1:]), _BACKGROUND / 255, np.float32)])
        for batch in (originals, reconstructions)
    ]
    pairs = np.stack([batch.reshape(-1, columns, *batch.shape[1:]) for batch in filled], 1)
    return pairs.reshape(-1, *originals.shape[1:]), columns
