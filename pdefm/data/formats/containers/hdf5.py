"""Plain HDF5: any file of datasets that no published layout has claimed."""

from pathlib import Path
from typing import Any

import h5py

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import (
    ArrayFacts,
    Container,
    Packing,
    Sliceable,
    facts_of,
    text_attribute,
)
from pdefm.data.formats.hdf5_file import HdfNode, LazyHdf5, is_hdf5, storage_of


class Hdf5File(Container):
    """An HDF5 file; keys are paths such as ``group/dataset``, links to elsewhere are left out."""

    kind = "HDF5 file"
    suffixes = (".h5", ".hdf5")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._hdf5 = LazyHdf5(path)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_hdf5": self._hdf5}

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """The signature of HDF5."""
        return cls.kind if is_hdf5(path) else None

    @property
    def file(self) -> HdfNode:
        """The open file, which all readers of HDF5 share."""
        return self._hdf5.file

    def open_file(self) -> HdfNode:
        """The open file."""
        return self._hdf5.file

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes, types and units of all datasets."""
        return {key: _facts(data) for key, data in datasets_of(self.file).items()}

    def open_array(self, key: str) -> Sliceable:
        """The dataset."""
        return self.file[key]

    def array_storage(self, key: str) -> StorageLayout:
        """Chunks and filter of the dataset."""
        return storage_of(self.file[key])


def datasets_of(file: HdfNode) -> dict[str, HdfNode]:
    """Datasets that lie in the file itself, by path."""
    found: dict[str, HdfNode] = {}

    def keep(name: str | bytes, node: HdfNode) -> None:
        # A name that is no text comes as bytes.
        if isinstance(name, str) and isinstance(node, h5py.Dataset) and node.shape is not None:
            found[name] = node

    file.visititems(keep)
    return found


def _facts(data: HdfNode) -> ArrayFacts:
    attributes = dict(data.attrs)
    return facts_of(
        data.shape,
        data.dtype,
        units=text_attribute(attributes, "units"),
        packing=Packing.from_attributes(attributes),
    )
