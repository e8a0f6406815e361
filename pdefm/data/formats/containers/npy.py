"""NumPy's own file of one array, memory-mapped."""

from pathlib import Path

import numpy as np

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import ArrayFacts, Container, facts_of

SIGNATURE = b"\x93NUMPY"


class NpyFile(Container):
    """One ``.npy`` array without a key; pickled objects are refused."""

    kind = "NumPy array"
    advice = "Save it again with numpy.save, as plain numbers"
    suffixes = (".npy",)

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """NumPy's signature in the first bytes."""
        return cls.kind if start.startswith(SIGNATURE) else None

    def open_file(self) -> np.ndarray:
        """Map the array."""
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """The one array."""
        return {"": facts_of(self.file.shape, self.file.dtype)}

    def open_array(self, key: str) -> np.ndarray:
        """The mapped array."""
        return self.file

    def array_storage(self, key: str) -> StorageLayout:
        """In one piece."""
        return StorageLayout(tuple(self.file.shape), str(self.file.dtype))
