"""Archives of arrays that came from elsewhere: no pickle, and no more memory than was agreed to.

A .npz is a zip of .npy files. Both say themselves how large they are, and numpy believes them; here the headers are
read first, and an array is made only where they agree with each other and with the cap.
"""

import io
import math
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge.errors import BundleError

_MOST_BYTES = 2**26  # of all arrays together
_MOST_ARRAYS = 64
_MOST_HEADER_BYTES = 4096
_DTYPES = frozenset(("<f4", "<i8"))


def read_npz(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Read an archive of float32 and int64 arrays.

    Args:
        content: the file's bytes.

    Raises:
        BundleError: it is no such archive, or asks for more than 64 MiB; the message says why.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise BundleError(f"it holds {len(members)} arrays; at most {_MOST_ARRAYS} are allowed")
            if sum(member.file_size for member in members) > _MOST_BYTES + _MOST_ARRAYS * _MOST_HEADER_BYTES:
                raise BundleError(f"its arrays have more than {_MOST_BYTES:,} bytes together")
            arrays = {member.filename.removesuffix(".npy"): _read_npy(archive, member) for member in members}
    except BundleError:
        raise
    except Exception as error:  # of damaged bytes zipfile raises whatever its parsers happen to meet
        raise BundleError(f"it is not an archive of arrays ({type(error).__name__})") from error
    return arrays


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with archive.open(member) as file:
        content = file.read(member.file_size)  # never more than the cap, whatever the compressed bytes would give
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise BundleError(f"the array {member.filename!r} is of another .npy version than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MOST_HEADER_BYTES)
    if fortran_order or dtype.str not in _DTYPES:
        order = " in Fortran order" if fortran_order else ""
        raise BundleError(f"the array {member.filename!r} is {dtype}{order}; expected float32 or int64 in C order")
    data = memoryview(content)[stream.tell() :]
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise BundleError(f"the array {member.filename!r} has {len(data):,} bytes, which are not the shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape)
