"""``.npy`` files, alone or as a member of an archive: the header, never the pickle behind it."""

import math
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pdefm.data.formats.probes import DAMAGED, Refused, check_declared, in_words, printable

if TYPE_CHECKING:
    import numpy as np

SIGNATURE = b"\x93NUMPY"
MAX_HEADER = 10_000


def check(path: Path) -> None:
    """Header against the size of the file.

    Raises:
        Refused: Objects, records, a damaged header, or fewer bytes than it declares.
    """
    with path.open("rb") as file:
        check_stream(file, path.stat().st_size)


def check_stream(file: IO[bytes], size: int, where: str = "") -> None:
    """Check a header and the ``size`` bytes that it is the start of.

    Args:
        file: At the first byte of the signature.
        size: Bytes from there to the end.
        where: Member of an archive.

    Raises:
        Refused: As :func:`check`.
    """
    unreadable = f"{where} cannot be read as a NumPy array".lstrip()
    shape, dtype = _header(file, unreadable)
    if dtype.hasobject:
        raise Refused(
            f"{unreadable}, it holds Python objects, which run code when they are loaded",
            f"dtype {printable(str(dtype))}",
            "Save it again as plain numbers: numpy.save(file, array.astype('float32'))",
        )
    if dtype.names is not None or dtype.itemsize == 0 or any(length < 0 for length in shape):
        raise Refused(
            f"{unreadable} of numbers",
            f"dtype {printable(str(dtype))}, shape {shape}",
            "Save each field as an array of its own",
        )
    stored = size - file.tell()
    check_declared(where or "the array", shape, dtype.itemsize, stored)
    declared = math.prod(shape) * dtype.itemsize
    if declared > stored:
        raise Refused(
            f"{unreadable}, it is cut off",
            f"{in_words(stored)} where {in_words(declared)} are declared (shape {shape})",
            DAMAGED,
        )


def _header(file: IO[bytes], unreadable: str) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version}, which only arrays of records need")
        shape, _, dtype = readers[version](file, max_header_size=MAX_HEADER)
    except (OSError, zlib.error):
        raise
    except Exception as error:  # the header is evaluated as a literal, which can fail in any way
        message = printable(str(error).partition("\n")[0], 160)
        raise Refused(f"{unreadable}, its header is damaged", message, DAMAGED) from error
    return shape, dtype
