"""MATLAB files, old and new, with the axes in MATLAB's own order."""

from pathlib import Path
from typing import Any

import numpy as np

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import ArrayFacts, Container, facts_of
from pdefm.data.formats.mat_file import MatFile, mat_version

EXACT_SIZE = 100_000
"""Arrays up to this size keep float64: points, times and parameters."""


class MatContainer(Container):
    """A ``.mat`` file. Of version 7.3 only the asked frames are read; older ones a variable whole.

    Convert large files of the older versions, or save them again with ``-v7.3``.
    """

    kind = "MATLAB file"
    advice = "Save it again in MATLAB with save(..., '-v7.3'), as plain numbers"
    suffixes = (".mat",)

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """Text, version and byte order of the header."""
        version = mat_version(path)
        return f"MATLAB file, {version}" if version else None

    def open_file(self) -> MatFile:
        """The reader, which opens late."""
        return MatFile(self.path)

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes and types as MATLAB shows them."""
        shapes = self.file.shapes
        return {k: facts_of(shape, self.file.storage(k).dtype) for k, shape in shapes.items()}

    def open_array(self, key: str) -> "_Variable":
        """The variable, read by index."""
        exact = self.arrays[key].size <= EXACT_SIZE
        return _Variable(self.file, key, np.float64 if exact else np.float32)

    def array_storage(self, key: str) -> StorageLayout:
        """How the variable is stored, with the axes in MATLAB's order."""
        found = self.file.storage(key)
        shape = self.arrays[key].shape
        if found.shape == shape and self.file.version == "v5":
            return StorageLayout(shape, found.dtype, shape, found.compression)
        chunks = found.chunks and found.chunks[::-1]
        return StorageLayout(shape, found.dtype, chunks, found.compression)


class _Variable:
    """A variable of a MATLAB file."""

    def __init__(self, file: MatFile, key: str, dtype: type) -> None:
        self.file, self.key, self.dtype = file, key, dtype

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Any:
        return self.file.take(self.key, *index, dtype=self.dtype)
