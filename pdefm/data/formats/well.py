"""Reader of HDF5 files in The Well's specification, forgiving towards files in the wild."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description, choose_one_per_channel
from pdefm.data.formats.hdf5_file import (
    LazyHdf5,
    as_text,
    is_hdf5,
    memory_map,
    named_errors,
    storage_of,
)
from pdefm.data.formats.well_geometry import (
    find_walls,
    read_boundary,
    read_grid,
    read_mask,
    read_times,
)
from pdefm.data.formats.well_layout import FIELD_GROUPS, StoredArray, WellLayout, read_layout
from pdefm.data.trajectory import Boundary, Source, Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError


@dataclass(frozen=True)
class _Facts:
    boundary: Boundary
    grid: Grid
    times: np.ndarray
    parameters: dict[str, float]


class WellFile(TrajectoryCollection):
    """One HDF5 file of The Well, or of our own generators, which write the same specification.

    Vectors and tensors become channels ``name_x`` and ``name_xy``. Fields that do not vary in time
    become ``constants``, scalars that do not vary in time become ``parameters`` (others are left
    out), and float32 is what fields and constants are read as.

    Args:
        path: The file.
        description: May override names, units, dt, extent and boundary.

    Raises:
        RecipeError: The description gives axes, which the file itself says.
    """

    format = "well"
    suffixes = (".hdf5", ".h5")

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.stem
        self.description = description or Description()
        self.description.refuse("axes", where=str(path), why="the file says its own axes")
        self._hdf5 = LazyHdf5(path)

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """The Well's groups and attributes inside an HDF5 file."""
        if not is_hdf5(path):
            return None
        hdf5 = LazyHdf5(path)
        try:
            with named_errors(path):
                file = hdf5.file
                own = "n_trajectories" in file.attrs and "dimensions" in file
                groups = [group for group in FIELD_GROUPS if group in file]
        finally:
            hdf5.close()
        return f"HDF5 with n_trajectories, dimensions and {groups[0]}" if own and groups else None

    @cached_property
    def layout(self) -> WellLayout:
        """Names and shapes, read once."""
        with named_errors(self.path):
            return read_layout(self._hdf5.file, str(self.path))

    @cached_property
    def _walls(self) -> tuple[str, ...]:
        return find_walls(self._hdf5.file, self.layout)

    @cached_property
    def _facts(self) -> "dict[int, _Facts]":
        """Small facts that training asks for again with every window of a trajectory."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        read_again = ("layout", "_walls", "_facts", "_maps")
        return {key: value for key, value in self.__dict__.items() if key not in read_again}

    def __len__(self) -> int:
        return self.layout.num_trajectories

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories of one file."""
        self.check_index(index)
        return self.layout.num_frames

    def storage(self) -> dict[str, StorageLayout]:
        """How the datasets of the fields are stored."""
        with named_errors(self.path):
            return {
                array.key: storage_of(self._hdf5.file[array.key]) for array in self.layout.fields
            }

    def dataset_name(self) -> str:
        """The attribute ``dataset_name``."""
        with named_errors(self.path):
            return as_text(self._hdf5.file.attrs.get("dataset_name", ""))

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        layout, where = self.layout, str(self.path)
        names = choose_one_per_channel(
            self.description.names, layout.names, where=where, option="names"
        )
        units = choose_one_per_channel(
            self.description.units, layout.units, where=where, option="units"
        )
        with named_errors(self.path):
            facts = self._facts.get(index) or self._read_facts(index)
            fields = self._read_arrays(layout.fields, layout.places, index, start, stop)
            mask = read_mask(self._hdf5.file, layout, self._walls, index)
            places = range(len(layout.constant_names))
            constants = self._read_arrays(layout.constants, places, index, 0, 1)[0]
        return Trajectory(
            fields=torch.from_numpy(fields),
            names=names,
            units=units,
            grid=facts.grid,
            times=torch.from_numpy(facts.times[start:stop].copy()),
            boundary=facts.boundary,
            parameters=dict(facts.parameters),
            mask=None if mask is None else torch.from_numpy(mask),
            constants=torch.from_numpy(constants) if layout.constants else None,
            constant_names=layout.constant_names,
            source=Source(where, index),
        )

    def _read_facts(self, index: int) -> "_Facts":
        boundary, grid = self._geometry(index)
        self._facts[index] = _Facts(boundary, grid, self._times(index), self._parameters(index))
        return self._facts[index]

    def _read_arrays(
        self,
        arrays: tuple[StoredArray, ...],
        places: Sequence[int],
        index: int,
        start: int,
        stop: int,
    ) -> np.ndarray:
        """``[T, C, *space]``, where stored channel ``i`` of all arrays is channel ``places[i]``."""
        shape = self.layout.shape
        result = np.empty((stop - start, len(places), *shape), np.float32)
        channel = 0
        for array in arrays:
            sample = (index,) if array.sample_varying else ()
            time = (slice(start, stop),) if array.time_varying else ()
            values = np.asarray(self._stored(array.key)[(*sample, *time, ...)])
            if np.iscomplexobj(values):
                raise DataError(
                    f"{self.path}: {array.key} is complex",
                    got=values.dtype,
                    do="Store real and imaginary part as two fields",
                )
            space = [n if v else 1 for n, v in zip(shape, array.dim_varying, strict=True)]
            num_times = stop - start if array.time_varying else 1
            values = values.reshape(num_times, *space, len(array.names))  # [T, *space, C]
            for component in range(len(array.names)):
                result[:, places[channel]] = values[..., component]
                channel += 1
        return result

    def _stored(self, key: str) -> Any:
        """A dataset, mapped into memory if it lies in one plain piece."""
        if key not in self._maps:
            self._maps[key] = memory_map(self.path, self._hdf5.file[key])
        found = self._maps[key]
        return self._hdf5.file[key] if found is None else found

    @cached_property
    def _maps(self) -> dict[str, np.ndarray | None]:
        return {}

    def _geometry(self, index: int) -> tuple[Boundary, Grid]:
        file, layout = self._hdf5.file, self.layout
        boundary = read_boundary(file, layout, index, str(self.path))
        grid = read_grid(file, layout, index, boundary)
        kind, extent = self.description.boundary, self.description.extent
        if kind is not None:
            boundary = uniform_boundary(kind, grid.num_dims)
        extent = extent or grid.extent
        Grid.regular(grid.shape, extent)  # says so if the number of extents is wrong
        axes = tuple(
            Axis(
                axis.name, axis.num_points, length, BoundaryCondition.PERIODIC in sides, axis.origin
            )
            for axis, length, sides in zip(grid.axes, extent, boundary, strict=True)
        )
        return boundary, Grid(axes)

    def _times(self, index: int) -> np.ndarray:
        if self.description.dt is not None:
            return np.arange(self.layout.num_frames, dtype=np.float64) * self.description.dt
        return read_times(self._hdf5.file, self.layout, index)

    def _parameters(self, index: int) -> dict[str, float]:
        constant = [scalar for scalar in self.layout.scalars if not scalar.time_varying]
        return {
            scalar.names[0]: float(
                np.ravel(self._hdf5.file[scalar.key][(index,) if scalar.sample_varying else ()])[0]
            )
            for scalar in constant
        }
