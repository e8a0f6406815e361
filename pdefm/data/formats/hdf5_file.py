"""HDF5 files that are opened late, once per process, with errors that name the file."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeAlias

import h5py
import numpy as np

from pdefm.data.collection import StorageLayout
from pdefm.errors import DataError, PdefmError

HdfNode: TypeAlias = Any
"""A file, group or dataset: h5py's own types cannot say which of them a key leads to."""

SIGNATURE = b"\x89HDF\r\n\x1a\n"

MAX_OPEN = 64
"""Files that a process keeps open."""

_handles: "OrderedDict[tuple[int, str], HdfNode]" = OrderedDict()


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into one line that names the file.

    Raises:
        DataError: Any OSError, KeyError, RuntimeError, TypeError or ValueError of h5py inside the
            block.
    """
    try:
        yield
    except PdefmError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as HDF5, the file is damaged or incomplete",
            got=error.args[0] if error.args else error,
            do="Download or copy it again",
        ) from error


class FileObjects:
    """Files that are no path on disk: how each process opens them, by the path that names them."""

    _openers: ClassVar[dict[str, Callable[[], BinaryIO]]] = {}

    @classmethod
    def register(cls, path: Path, opener: Callable[[], BinaryIO]) -> None:
        """Open ``path`` by a function that gives a binary file object."""
        cls._openers[str(path)] = opener

    @classmethod
    def find(cls, path: Path) -> Callable[[], BinaryIO] | None:
        """The function that opens ``path``; ``None`` if it is on disk."""
        return cls._openers.get(str(path))


class LazyHdf5:
    """A read-only HDF5 file; its handle is never pickled nor used after a fork.

    Each process keeps the handles it used last open, at most ``MAX_OPEN`` of them, so that a folder
    of thousands of files does not use up the handles that a process may have.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def file(self) -> HdfNode:
        """The handle of this process.

        Raises:
            DataError: Not an HDF5 file, or cut off.
        """
        key = (os.getpid(), str(self.path))
        if key not in _handles:
            opener = FileObjects.find(self.path)
            with named_errors(self.path):
                handle = h5py.File(opener() if opener else self.path, "r")
            while len(_handles) >= MAX_OPEN:
                _, oldest = _handles.popitem(last=False)
                oldest.close()
            _handles[key] = handle
        _handles.move_to_end(key)
        return _handles[key]

    def close(self) -> None:
        """Close the handle of this process; the next use opens it again."""
        if handle := _handles.pop((os.getpid(), str(self.path)), None):
            handle.close()


def storage_of(data: HdfNode) -> StorageLayout:
    """How a dataset is stored."""
    return StorageLayout(
        tuple(data.shape),
        str(data.dtype),
        data.chunks,
        data.compression or ("other" if data.id.get_create_plist().get_nfilters() else None),
    )


def memory_map(path: Path, data: HdfNode) -> np.ndarray | None:
    """The values of a dataset that lies in one plain piece of the file, as a read-only array.

    Windows of it are read without a call of the HDF5 library, several times faster.

    Args:
        path: The file.
        data: A dataset.

    Returns:
        ``None`` if the dataset is chunked, compressed, not yet written, or not of plain numbers.
    """
    if FileObjects.find(path):
        return None
    plain = data.chunks is None and data.external is None and not data.is_virtual
    offset = data.id.get_offset() if plain and data.dtype.kind in "fiu" else None
    size = data.size * data.dtype.itemsize
    if offset is None or data.id.get_storage_size() != size or path.stat().st_size < offset + size:
        return None
    return np.memmap(path, data.dtype, "r", offset, tuple(data.shape))


def is_hdf5(path: Path) -> bool:
    """Whether the file starts like HDF5."""
    if opener := FileObjects.find(path):
        with opener() as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    return bool(h5py.is_hdf5(path))


def holds_numbers(place: HdfNode, *keys: str) -> bool:
    """Whether every key leads to a dataset of real numbers."""
    found = [place.get(key) for key in keys]
    return all(isinstance(data, h5py.Dataset) and data.dtype.kind in "fiu" for data in found)


def as_text(value: Any) -> str:
    """One string attribute, stored as text, bytes or an array of one."""
    while hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
        value = value[0] if len(value) else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def as_names(value: Any) -> tuple[str, ...]:
    """A list of strings; files in the wild also store a single name as plain text."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes)):
        return (as_text(value),) if value else ()
    return tuple(as_text(item) for item in value)
