"""NetCDF-4: HDF5 whose axes have names."""

from pathlib import Path
from typing import Any

import h5py

from pdefm.data.formats.containers.container import (
    ArrayFacts,
    Packing,
    facts_of,
    text_attribute,
)
from pdefm.data.formats.containers.hdf5 import Hdf5File, datasets_of
from pdefm.data.formats.hdf5_file import HdfNode, is_hdf5

UNNAMED = "phony_dim"


class Netcdf4File(Hdf5File):
    """A NetCDF-4 file (or other HDF5 with dimension scales); groups become paths."""

    kind = "NetCDF-4 file"
    suffixes = (".nc", ".nc4")

    @classmethod
    def recognise(cls, path: Path, start: bytes) -> str | None:
        """HDF5 with the mark of the NetCDF library or with dimension scales."""
        if not is_hdf5(path):
            return None
        try:
            with h5py.File(path, "r") as file:
                marked = "_NCProperties" in file.attrs
                scales = [key for key, data in datasets_of(file).items() if data.is_scale]
        # A damaged file raises whatever its bytes lead to; it is told when it is read.
        except Exception:
            return None
        if not (marked or scales):
            return None
        return f"NetCDF-4 with dimensions {', '.join(scales[:6]) or 'of its own'}"

    def list_arrays(self) -> dict[str, ArrayFacts]:
        """Shapes, types, dimension names and units of all variables."""
        import h5netcdf

        found: dict[str, ArrayFacts] = {}
        _collect(h5netcdf.File(self.file, "r", phony_dims="access"), found)
        return found


def _collect(group: Any, found: dict[str, ArrayFacts]) -> None:
    for variable in group.variables.values():
        attributes = _attributes(variable)
        dims = tuple(str(name) for name in variable.dimensions)
        found[variable.name.strip("/")] = facts_of(
            variable.shape,
            variable.dtype,
            dims=None if any(name.startswith(UNNAMED) for name in dims) else dims,
            units=text_attribute(attributes, "units"),
            axis=text_attribute(attributes, "axis"),
            packing=Packing.from_attributes(attributes),
        )
    for inner in group.groups.values():
        _collect(inner, found)


def _attributes(variable: HdfNode) -> dict[str, Any]:
    wanted = ("units", "axis", "scale_factor", "add_offset", "_FillValue")
    return {name: variable.attrs[name] for name in wanted if name in variable.attrs}
