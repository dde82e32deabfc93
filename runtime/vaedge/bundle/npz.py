"""Read untrusted .npz files. Pickled objects are refused, and the memory is limited.

A .npz file is a zip archive of .npy files. Both formats declare the size of their content. The declared sizes are read
first. An array is created only if the declared sizes agree with each other and do not exceed the limits.
"""

import io
import math
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.errors import BundleError

MAX_BYTES = 2**26  # maximum for all arrays together
MAX_ARRAYS = 64
_MAX_HEADER_BYTES = 4096  # maximum for the header of one array
_DTYPES = frozenset(("<f4", "<i8"))


def read_npz(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Read an archive of float32 and int64 arrays.

    Args:
        content: The content of the file.

    Returns:
        Dict from the name of each array to the array. The arrays are read-only.

    Raises:
        BundleError: The content is not an archive of such arrays, or the arrays have more than 64 MiB. The message
            states the reason.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MAX_ARRAYS:
                raise BundleError(f"the archive holds {len(members)} arrays; at most {MAX_ARRAYS} are allowed")
            if sum(member.file_size for member in members) > MAX_BYTES + MAX_ARRAYS * _MAX_HEADER_BYTES:
                raise BundleError(f"the arrays have more than {MAX_BYTES:,} bytes together")
            if len({member.filename for member in members}) < len(members):
                raise BundleError("two arrays of the archive have the same name")
            arrays = {member.filename.removesuffix(".npy"): _read_npy(archive, member) for member in members}
    except BundleError:
        raise
    except Exception as error:  # zipfile raises many kinds of errors for damaged bytes
        raise BundleError(f"the file is not an archive of arrays ({type(error).__name__})") from error
    return arrays


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with archive.open(member) as file:
        content = file.read(member.file_size)  # a limit: compressed bytes could expand to more than the declared size
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise BundleError(f"the array {member.filename!r} is not of version 1.0 of the .npy format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MAX_HEADER_BYTES)
    if fortran_order or dtype.str not in _DTYPES:
        order = " in Fortran order" if fortran_order else ""
        raise BundleError(f"the array {member.filename!r} is {dtype}{order}; expected float32 or int64 in C order")
    data = memoryview(content)[stream.tell() :]
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise BundleError(
            f"the array {member.filename!r} has {len(data):,} bytes, which do not match its shape {shape}"
        )
    return np.frombuffer(data, dtype).reshape(shape)
