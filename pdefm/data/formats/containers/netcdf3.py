"""NetCDF-3, the classic format and its 64-bit offset variant, memory-mapped."""

import traceback
import warnings
from pathlib import Path
from typing import Any

from pdefm.data.collection import StorageLayout
from pdefm.data.formats.containers.container import (
    ArrayFacts,
    Container,
    Packing,
    Sliceable,
    facts_of,
    text_attribute,
)
from pdefm.errors import DataError

VERSIONS = {1: "NetCDF-3 classic", 2: "NetCDF-3 with 64-bit offsets", 5: "NetCDF-3 with CDF-5"}


class Netcdf3File(Container):
    """A NetCDF-3 file."""

    kind = "NetCDF-3 file"
    suffixes = (".nc", ".cdf")

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """``CDF`` and a version in the first four bytes."""
        version = start[3] if start.startswith(b"CDF") and len(start) > 3 else 0
        return VERSIONS.get(version)

    def open_file(self) -> Any:
        """Map the file."""
        from scipy.io import netcdf_file

        with self.path.open("rb") as file:
            version = file.read(4)[3]
        if version == 5:
            raise DataError(
                f"{self.path}: NetCDF-3 of the kind CDF-5 is not supported",
                do="Convert it, as with nccopy -k netCDF-4 in.nc out.nc",
            )
        try:
            return netcdf_file(self.path, "r", mmap=True)
        # A damaged file raises whatever its bytes lead to, in frames that hold on to the map.
        except Exception as error:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                traceback.clear_frames(error.__traceback__)
            raise

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes, types, dimension names and units of all variables."""
        return {
            key: facts_of(
                variable.data.shape,
                variable.data.dtype,
                dims=tuple(variable.dimensions),
                units=text_attribute(variable._attributes, "units"),
                axis=text_attribute(variable._attributes, "axis"),
                packing=Packing.from_attributes(variable._attributes),
            )
            for key, variable in self.file.variables.items()
        }

    def open_array(self, key: str) -> Sliceable:
        """The mapped variable; parts are copied, so that the map can be closed."""
        return _Copied(self.file.variables[key].data)

    def array_storage(self, key: str) -> StorageLayout:
        """In one piece; a variable with a growing dimension lies record by record."""
        data = self.file.variables[key]
        chunks = (1, *data.data.shape[1:]) if data.isrec else None
        return StorageLayout(tuple(data.data.shape), str(data.data.dtype), chunks)


class _Copied:
    """An array whose parts own their memory."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Any:
        return self.array[index].copy()
