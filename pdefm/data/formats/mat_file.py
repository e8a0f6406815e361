"""MATLAB files, old and new, with the axes as MATLAB sees them."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.hdf5_file import LazyHdf5, is_hdf5, named_errors, storage_of
from pdefm.errors import DataError

HEADER_SIZE = 128
"""Bytes of text, version and byte order before the first variable."""

COMPRESSED = 15
"""Type of a v5 element that holds another one, deflated."""

NUMBER_CLASSES = {"double": "float64", "single": "float32", "logical": "bool"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def mat_version(path: Path) -> str | None:
    """``v5`` (which v6 and v7 are, too) or ``v7.3`` by the header; ``None`` for other files."""
    with path.open("rb") as file:
        header = file.read(HEADER_SIZE)
    version, order = header[124:126], header[126:128]
    if not header.startswith(b"MATLAB ") or order not in (b"IM", b"MI"):
        return None
    number = int.from_bytes(version, "little" if order == b"IM" else "big")
    if number == 0x0200 and is_hdf5(path):
        return "v7.3"
    return "v5" if number == 0x0100 else None


@contextmanager
def named_mat_errors(path: Path) -> Iterator[None]:
    """Turn what scipy raises on a damaged v5 file into one line that names the file.

    Raises:
        DataError: Any error inside the block.
    """
    try:
        yield
    except (DataError, PermissionError):
        raise
    # The reader has no error of its own: damage shows as whatever the next step trips over.
    except (Exception, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read as a MATLAB file, the file is damaged or incomplete",
            got=error,
            do="Download or copy it again, or save it with '-v7.3' if it is a MATLAB table",
        ) from error


class MatFile:
    """The arrays of numbers in a MATLAB file, opened on first use in each process.

    A v7.3 file is HDF5, which lists the axes in reverse; here all of them are turned back, so the
    same variable has the same shape from both kinds of file. A v5 file cannot be read in part: a
    variable is read whole on first use and kept for the life of this object.

    Args:
        path: A file for which :func:`mat_version` is not ``None``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hdf5 = LazyHdf5(path)
        self._loaded: dict[tuple[str, Any], np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_hdf5": self._hdf5, "_loaded": {}}

    def close(self) -> None:
        """Close the file and forget what was read; the next use opens it again."""
        self._hdf5.close()
        self._loaded.clear()

    @cached_property
    def version(self) -> str:
        """``v5`` or ``v7.3``.

        Raises:
            DataError: Not a MATLAB file of one of these versions.
        """
        if version := mat_version(self.path):
            return version
        raise DataError(
            f"{self.path}: not a MATLAB file of version 5 to 7.3",
            got="another header",
            do="Check the file, or give its --format",
        )

    @cached_property
    def _described(self) -> dict[str, StorageLayout]:
        """Numeric variables, with their axes as MATLAB sees them; no values are read."""
        if self.version == "v7.3":
            with named_errors(self.path):
                file = self._hdf5.file
                hard = [k for k in file if isinstance(file.get(k, getlink=True), h5py.HardLink)]
                found = {key: file[key] for key in hard}
                layouts = {
                    key: storage_of(data)
                    for key, data in found.items()
                    if isinstance(data, h5py.Dataset) and data.dtype.kind in "fiub" and data.ndim
                }
            return layouts
        from scipy.io import whosmat

        with named_mat_errors(self.path), self.path.open("rb") as file:
            listed = whosmat(file)
            file.seek(126)
            order = "little" if file.read(2) == b"IM" else "big"
            compressed = int.from_bytes(file.read(4), order) == COMPRESSED
        return {
            name: StorageLayout(
                tuple(int(length) for length in shape),
                NUMBER_CLASSES[kind],
                compression="zlib" if compressed else None,
            )
            for name, shape, kind in listed
            if kind in NUMBER_CLASSES
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every variable of real numbers, with the axes as MATLAB sees them."""
        step = -1 if self.version == "v7.3" else 1
        return {name: layout.shape[::step] for name, layout in self._described.items()}

    def storage(self, name: str) -> StorageLayout:
        """How a variable is stored, with the axes in the order of the file."""
        return self._described[name]

    def take(self, name: str, *picks: int | slice, dtype: type = np.float32) -> np.ndarray:
        """Part of a variable.

        Args:
            name: One of :attr:`shapes`.
            picks: An index or a slice for each axis, as MATLAB sees them.
            dtype: Of the result.

        Raises:
            DataError: A damaged file, or a variable of complex numbers.
        """
        if self.version == "v7.3":
            with named_errors(self.path):
                part = self._hdf5.file[name][picks[::-1]]
            return np.asarray(part).T.astype(dtype)
        if (name, dtype) not in self._loaded:
            self._loaded[name, dtype] = self._load(name, dtype)
        return self._loaded[name, dtype][picks]

    def _load(self, name: str, dtype: type) -> np.ndarray:
        from scipy.io import loadmat

        with named_mat_errors(self.path), self.path.open("rb") as file:
            array = loadmat(file, variable_names=[name])[name]
            if np.iscomplexobj(array):
                raise DataError(
                    f"{self.path}: variable '{name}' is complex",
                    got=array.dtype,
                    do="Store real and imaginary part as two variables",
                )
            # MATLAB's first axis is the fastest; here it is the trajectory, read one at a time.
            return np.array(array, dtype, order="C")
