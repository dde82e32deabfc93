"""Read a batch of examples: an array, a table, an image, or a folder of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.errors import InputError
from vaedge.files.arrays import ARRAY_SUFFIXES, LABEL_NAMES, read_parts
from vaedge.files.background import Color
from vaedge.files.tables import TABLE_SUFFIX, read_table, shown_names


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading examples.

    Attributes:
        split: Part to read from a .npz archive that has the arrays `train` and `test`: "train" or "test". None means
            "test".
        label_column: Name of the column of a .csv file that holds the class of each row.
        features: Required names of all columns of a .csv file except the label column, in this order. Empty allows all
            names.
        resize: Whether to resize images to the expected size. If False, images of another size are refused.
        background: Color on which transparent images are composited; None refuses them.
        skip_broken: Whether to leave out unreadable images of a folder. With False or None, an unreadable image is an
            error. With False, the message of this error suggests the option --skip-broken.
    """

    split: str | None = None
    label_column: str | None = None
    features: tuple[str, ...] = ()
    resize: bool = False
    background: Color | None = None
    skip_broken: bool | None = None


@dataclass(frozen=True)
class ExampleSet:
    """Examples that were read.

    Attributes:
        x: The examples. An array from a .npy or .npz file keeps its stored type. Examples from other files are float32
            of shape (n, *shape). Values from images are in [0, 1].
        labels: The class of each example, as an array of numbers of shape (n,) or as a tuple of names. None if the file
            has no labels.
        names: Paths of the image files, relative to the folder; empty for other files.
        skipped: Reasons why images were left out, one message per image.
        lines: Line number of each row of a table, counted from 1, shape (n,); None for other files.
    """

    x: npt.NDArray[Any]
    labels: npt.NDArray[Any] | tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    lines: npt.NDArray[np.int64] | None = None

    def name_of(self, index: int) -> str:
        """Return a name by which a user can find an example: the file of an image, or a row of an array or a table.

        Rows count from 0. For a table, the name also contains the number of the line in the file.
        """
        if self.names:
            return self.names[index]
        return f"row {index}" if self.lines is None else f"row {index} in line {self.lines[index]}"


def read_examples(path: Path, shape: tuple[int, ...], options: ReadOptions = ReadOptions()) -> ExampleSet:
    """Read a batch of examples, or one example, from a file or folder. `vaedge train` reads the same formats.

    Args:
        path: A .npy file, a .npz archive, a .csv table, an image, or a folder of images. A .npy file holds an array of
            shape (n, *shape), or one example. A .npz archive holds the arrays `train` and `test`, or the array `x`, or
            only one array. uint8 arrays of shape (n, height, width) are gray images. Images in subfolders are read,
            too, and images are sorted by path.
        shape: Shape of one example.
        options: Options for reading.

    Returns:
        The examples, with the labels that the file has. The label of an image is the name of the
        subfolder of `path` that contains it, such as `a` for `path/a/b/1.png`.

    Raises:
        InputError: The path does not exist, or a file cannot be used. The message names the path.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    suffix = path.suffix.lower()
    require_used(path, options)
    if path.is_dir():
        return _read_folder(path, shape, options)
    if suffix in ARRAY_SUFFIXES:
        return _read_arrays(path, shape, options)
    if suffix == TABLE_SUFFIX:
        return _read_table(path, shape, options)
    from vaedge.files.images import is_image_shape, read_image

    if not is_image_shape(shape):
        raise InputError(f"{path} is an image, but {_expected(shape, options)}")
    image = read_image(path, shape, options.resize, options.background)
    return ExampleSet(image[None], names=(path.name,))


def require_used(path: Path, options: ReadOptions) -> None:
    """Refuse options that have no effect on this kind of file.

    Raises:
        InputError: An option applies only to other kinds of files.
    """
    suffix = path.suffix.lower()
    if options.split is not None and suffix != ".npz":
        raise InputError(
            f"--split {options.split} needs a .npz file with the arrays train and test; {path} is not a .npz file"
        )
    if options.label_column is not None and suffix != TABLE_SUFFIX:
        raise InputError(f"{path} has no columns, but --label-column was given; only .csv files have columns")
    if options.skip_broken and not path.is_dir():
        raise InputError(f"{path} is not a folder of images, but --skip-broken was given")


def _expected(shape: tuple[int, ...], options: ReadOptions) -> str:
    """Return the part of an error message that says which examples a model takes."""
    if len(shape) != 1:
        return f"this model's examples have the shape {shape}; give a .npy file"
    names = f"the columns {shown_names(options.features)}" if options.features else f"{shape[0]} columns"
    return f"this model takes tables with {names}; give a .csv or .npy file"


def _read_arrays(path: Path, shape: tuple[int, ...], options: ReadOptions) -> ExampleSet:
    part = read_parts(path, (options.split or "test",), required=options.split is not None)[0]
    x, labels = part.x, part.labels
    if x.shape == shape:
        x = x[None]
    elif x.dtype == np.uint8 and x.ndim == 3 and len(shape) == 3:
        x = x[:, None]
    if len(shape) == 1 and x.shape[1:] != shape:
        raise InputError(f"{path} holds an array of shape {x.shape}, but {_expected(shape, options)}")
    if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != (len(x),)):
        raise InputError(
            f"{path}: {part.labels_name} is an array of {labels.dtype} with shape {labels.shape}; expected integers, "
            f"one for each of the {len(x)} examples of {part.name}. A .npz file stores labels as {LABEL_NAMES}"
        )
    return ExampleSet(x, labels)


def _read_table(path: Path, shape: tuple[int, ...], options: ReadOptions) -> ExampleSet:
    if len(shape) != 1:
        raise InputError(f"{path} is a table, but {_expected(shape, options)}")
    table = read_table(path, options.label_column, options.features)
    if len(table.names) != shape[0]:
        raise InputError(
            f"{path} has {len(table.names)} columns of numbers; this model takes {shape[0]} columns. If a column "
            "holds classes, name it with --label-column"
        )
    return ExampleSet(table.values, table.labels, lines=table.lines)


def _read_folder(folder: Path, shape: tuple[int, ...], options: ReadOptions) -> ExampleSet:
    from vaedge.files.images import IMAGE_SUFFIXES, find_images, is_image_shape, read_image, subfolder_labels

    paths = find_images(folder)
    if not paths:
        raise InputError(f"{folder} holds no images; expected {', '.join(sorted(IMAGE_SUFFIXES))} files")
    if not is_image_shape(shape):
        raise InputError(f"{folder} holds images, but {_expected(shape, options)}")
    images, names, skipped = [], [], []
    for path in paths:
        try:
            images.append(read_image(path, shape, options.resize, options.background))
        except InputError as error:
            if options.skip_broken is None:
                raise
            if not options.skip_broken:
                raise InputError(f"{error}; --skip-broken leaves out images that cannot be read") from error
            skipped.append(str(error))
        else:
            names.append(path.relative_to(folder))
    if not images:
        raise InputError(
            f"{folder}: none of the {len(paths)} images can be read; the error for the first image: {skipped[0]}"
        )
    return ExampleSet(np.stack(images), subfolder_labels(names), tuple(map(Path.as_posix, names)), tuple(skipped))
