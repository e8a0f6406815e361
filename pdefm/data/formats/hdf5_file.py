"""HDF5 files that are opened late, once per process, with errors that name the file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py

from pdefm.errors import DataError

HdfNode: TypeAlias = Any
"""A file, group or dataset: h5py's own types cannot say which of them a key leads to."""


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into one line that names the file.

    Raises:
        DataError: Any OSError, KeyError or RuntimeError of h5py inside the block.
    """
    try:
        yield
    except DataError:
        raise
    except (OSError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be read as HDF5, the file is damaged or incomplete",
            got=error.args[0] if error.args else error,
            do="Download or copy it again",
        ) from error


class LazyHdf5:
    """A read-only HDF5 file; its handle is never pickled nor used after a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handles: dict[int, HdfNode] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_handles": {}}

    @property
    def file(self) -> HdfNode:
        """The handle of this process.

        Raises:
            DataError: Not an HDF5 file, or cut off.
        """
        process = os.getpid()
        if process not in self._handles:
            with named_errors(self.path):
                self._handles[process] = h5py.File(self.path, "r")
        return self._handles[process]

    def close(self) -> None:
        """Close the handle of this process; the next use opens it again."""
        if handle := self._handles.pop(os.getpid(), None):
            handle.close()


def is_hdf5(path: Path) -> bool:
    """Whether the file starts like HDF5."""
    return bool(h5py.is_hdf5(path))


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
