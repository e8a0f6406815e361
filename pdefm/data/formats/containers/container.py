"""What every kind of container can do: list its arrays, and give them for lazy slicing."""

import os
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from pdefm.data.collection import StorageLayout
from pdefm.errors import DataError, PdefmError

START_LENGTH = 1024
"""Bytes from the start of a file that a container may look at."""

MAX_OPEN = 64
"""Files that a process keeps open."""

FILE_DTYPES = {"f": "real", "i": "real", "u": "real", "b": "real", "c": "complex"}


@dataclass(frozen=True)
class Packing:
    """How NetCDF stores real numbers as small integers: ``value = stored scale + offset``.

    Source: CF Conventions 1.11, section 8.1; a stored value that equals ``fill`` is missing.
    """

    scale: float = 1.0
    offset: float = 0.0
    fill: float | None = None

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        """Real numbers, NaN where a value is missing."""
        values = np.asarray(stored, np.float64) * self.scale + self.offset
        return values if self.fill is None else np.where(stored == self.fill, np.nan, values)

    @classmethod
    def from_attributes(cls, attributes: dict[str, Any]) -> "Packing | None":
        """From the attributes ``scale_factor``, ``add_offset`` and ``_FillValue``."""
        scale = number_attribute(attributes, "scale_factor", 1.0)
        offset = number_attribute(attributes, "add_offset", 0.0)
        fill = number_attribute(attributes, "_FillValue", None)
        if (scale, offset) == (1.0, 0.0) and (fill is None or np.isnan(fill)):
            return None
        return cls(1.0 if scale is None else scale, offset or 0.0, fill)


@dataclass(frozen=True)
class ArrayFacts:
    """What is known of an array without reading it.

    Args:
        shape: Lengths of its axes.
        dtype: Such as ``float32``.
        kind: Of numbers: ``real``, ``complex`` or ``other``.
        dims: Name of each axis, where the container has such names.
        units: Empty if the container does not say.
        axis: CF's letter of a coordinate variable: ``T``, ``X``, ``Y`` or ``Z``; mostly empty.
        packing: How numbers are stored; ``None`` means as they are.
    """

    shape: tuple[int, ...]
    dtype: str
    kind: str
    dims: tuple[str, ...] | None = None
    units: str = ""
    axis: str = ""
    packing: Packing | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def squeezed(self) -> tuple[int, ...]:
        """Shape without the axes of length one."""
        return tuple(length for length in self.shape if length != 1)


Sliceable: TypeAlias = Any
"""An array whose ``[index]`` reads what is asked for and nothing else."""


class Container(ABC):
    """One file or store of arrays, opened on first use in each process and never pickled open.

    Args:
        path: The file or the folder.

    Attributes:
        kind: What it is, in words.
        advice: What to do about a damaged one.
        suffixes: Of file names.
        folders: Whether it is a folder.
    """

    kind: ClassVar[str]
    advice: ClassVar[str] = "Download or copy it again"
    suffixes: ClassVar[tuple[str, ...]]
    folders: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: tuple[int, Any] | None = None

    @classmethod
    @abstractmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """Why this file (or folder, with no bytes) is of this kind; ``None`` if it is not."""

    @abstractmethod
    def open_file(self) -> Any:
        """Open the file for reading."""

    @abstractmethod
    def list_arrays(self) -> dict[str, ArrayFacts]:
        """All arrays by key, in the order of the file; a key is empty if there is only one."""

    @abstractmethod
    def open_array(self, key: str) -> Sliceable:
        """The array for lazy slicing."""

    @abstractmethod
    def array_storage(self, key: str) -> StorageLayout:
        """How the array lies in the file."""

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_handle": None}

    @property
    def file(self) -> Any:
        """The open file of this process."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = os.getpid(), self.open_file()
            _opened.append(weakref.ref(self))
            if len(_opened) > MAX_OPEN and (oldest := _opened.popleft()()) is not None:
                oldest._handle = None
        return self._handle[1]

    @cached_property
    def arrays(self) -> dict[str, ArrayFacts]:
        """All arrays by key.

        Raises:
            DataError: The file is damaged.
        """
        with self.errors():
            return self.list_arrays()

    def take(self, key: str, index: tuple[int | slice, ...]) -> np.ndarray:
        """A part of an array in the numbers it stands for; nothing else is read.

        Raises:
            DataError: The file is damaged.
        """
        with self.errors():
            stored = np.asarray(self.open_array(key)[index])
        packing = self.arrays[key].packing
        return stored if packing is None else packing.unpack(stored)

    def storage(self, key: str) -> StorageLayout:
        """How the array lies in the file.

        Raises:
            DataError: The file is damaged.
        """
        with self.errors():
            return self.array_storage(key)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn whatever a library raises on a damaged file into one line that names the file.

        Raises:
            DataError: Any error inside the block.
        """
        try:
            yield
        except PdefmError:
            raise
        # Parsers of other people's formats raise anything at all on damaged bytes.
        except Exception as error:
            says = error.args[0] if error.args else type(error).__name__
            raise DataError(
                f"{self.path}: cannot be read as a {self.kind}",
                got=str(says)[:200],
                do=self.advice,
            ) from error


_opened: "deque[weakref.ref[Container]]" = deque()


def facts_of(shape: tuple[int, ...], dtype: Any, **more: Any) -> ArrayFacts:
    """Facts of an array of a NumPy type."""
    dtype = np.dtype(dtype)
    kind = "other" if dtype.subdtype else FILE_DTYPES.get(dtype.kind, "other")
    return ArrayFacts(tuple(int(n) for n in shape), str(dtype), kind, **more)


def number_attribute(attributes: dict[str, Any], name: str, default: float | None) -> float | None:
    """A number among attributes, alone or as an array of one; else the default."""
    value = np.asarray(attributes.get(name))
    return float(value.item()) if value.size == 1 and value.dtype.kind in "fiu" else default


def text_attribute(attributes: dict[str, Any], name: str) -> str:
    """A text among attributes, stored as text, bytes or an array of one; else empty."""
    value = attributes.get(name)
    if isinstance(value, np.ndarray | list | tuple):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else ""
