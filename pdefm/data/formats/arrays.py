"""A user's own arrays: bytes without words, so the user says what the axes are."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.array_layout import ArrayLayout, FieldArray, read_array_layout
from pdefm.data.formats.axis_points import axis_from_points
from pdefm.data.formats.axis_words import BOUNDED, LONGITUDE
from pdefm.data.formats.containers import CONTAINERS
from pdefm.data.formats.containers.container import START_LENGTH, Container
from pdefm.data.formats.described import describe
from pdefm.data.trajectory import Boundary, Source, Trajectory
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError

ROUND = (360.0, 2 * np.pi)
"""Lengths of a longitude that closes."""


class ArrayFile(TrajectoryCollection):
    """A user's file of arrays, with the meaning of the axes given as ``N T C X Y``.

    Takes NumPy, PyTorch, HDF5, NetCDF, MATLAB and Zarr; only the asked frames are read where the
    kind of file allows it. In NetCDF and Zarr the names of dimensions say what the axes are, and
    coordinates give times, extent and direction (an axis stored downwards is turned). What is not
    said is: the key as the name (``channel_0``, ... without one), ``dt`` 1, extent 1 an axis,
    periodic boundary (but open for latitudes, levels and longitudes that do not close). Numbers of
    any real type, integers and booleans too, are read as float32.

    Args:
        path: The file, or the folder of a Zarr store.
        description: ``axes`` is needed where dimensions have no names, the rest is optional.
    """

    format = "arrays"
    folders = True
    suffixes = (
        *(".npy", ".npz", ".pt", ".h5", ".hdf5", ".nc", ".nc4", ".cdf", ".mat"),
        ".zarr",
    )

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.stem
        self.description = description or Description()

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """The first bytes (for a store, its metadata) of a container of arrays."""
        found = _find_container(path)
        return found[1] if found else None

    def __getstate__(self) -> dict[str, Any]:
        # Facts are read again; a memory map would be pickled with all its data.
        found_again = ("container", "layout", "_times", "_geometry", "_kept")
        return {key: value for key, value in self.__dict__.items() if key not in found_again}

    @cached_property
    def container(self) -> Container:
        """What holds the arrays.

        Raises:
            DataError: The file holds no arrays.
        """
        if found := _find_container(self.path):
            return CONTAINERS[found[0]](self.path)
        raise DataError(
            f"{self.path}: not a file of arrays",
            got="a folder" if self.path.is_dir() else "another beginning",
            do=f"Give a file of a kind such as {', '.join(self.suffixes)}",
        )

    @cached_property
    def layout(self) -> ArrayLayout:
        """Which arrays are fields, and what their axes are.

        Raises:
            DataError: A damaged file, no real numbers, or axes that are not clear.
        """
        return read_array_layout(self.container.arrays, self.description, self.path)

    def __len__(self) -> int:
        return self.layout.sizes.get("N", 1)

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories."""
        self.check_index(index)
        return self.layout.sizes.get("T", 1)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        layout = self.layout
        grid, boundary, _ = self._geometry
        names, units = [], []
        for array in layout.fields:
            names += array.channel_names
            units += [array.units] * len(array.channel_names)
        constants = [name for array in layout.constants for name in array.channel_names]
        trajectory = Trajectory(
            fields=torch.from_numpy(self._stack(layout.fields, index, start, stop)),
            names=tuple(names),
            units=tuple(units),
            grid=grid,
            times=torch.from_numpy(self._times[start:stop].copy()),
            boundary=boundary,
            parameters=self._parameters(index),
            constants=(
                torch.from_numpy(self._stack(layout.constants, index, 0, 1)[0])
                if constants
                else None
            ),
            constant_names=tuple(constants),
            source=Source(str(self.path), index),
        )
        return describe(trajectory, self.description, start)

    def storage(self) -> dict[str, StorageLayout]:
        """How the arrays of the fields lie in the file."""
        return {
            array.key or "array": self.container.storage(array.key)
            for array in (*self.layout.fields, *self.layout.constants)
        }

    def _stack(
        self, arrays: tuple[FieldArray, ...], index: int, start: int, stop: int
    ) -> np.ndarray:
        """Frames of all arrays as float32 ``[time, channel, *space]``, axes growing."""
        _, _, turned = self._geometry
        num_channels = sum(array.spec.size("C") for array in arrays)
        shape = [self.layout.sizes[letter] for letter in self.layout.space]
        result = np.empty((stop - start, num_channels, *shape), np.float32)
        channel = 0
        for array in arrays:
            part = self.container.take(array.key, array.spec.picks(index, start, stop))
            part = np.flip(array.spec.arrange(part), turned)
            result[:, channel : channel + part.shape[1]] = part
            channel += part.shape[1]
        return result

    @cached_property
    def _kept(self) -> dict[str, np.ndarray]:
        """Small arrays that every window asks for again."""
        return {}

    def _whole(self, key: str) -> np.ndarray:
        """A small array, as a vector."""
        if key not in self._kept:
            num_axes = len(self.container.arrays[key].shape)
            self._kept[key] = np.ravel(self.container.take(key, (slice(None),) * num_axes))
        return self._kept[key]

    def _parameters(self, index: int) -> dict[str, float]:
        shared = {name: float(self._whole(key)[0]) for name, key in self.layout.scalars}
        return shared | {name: float(self._whole(key)[index]) for name, key in self.layout.vectors}

    @cached_property
    def _times(self) -> np.ndarray:
        """Times of all frames, float64."""
        if "T" in self.layout.points and self.description.dt is None:
            return self._whole(self.layout.points["T"]).astype(np.float64)
        dt = float(self._whole(self.layout.dt_key)[0]) if self.layout.dt_key else 1.0
        return np.arange(self.layout.sizes.get("T", 1), dtype=np.float64) * dt

    @cached_property
    def _geometry(self) -> tuple[Grid, Boundary, tuple[int, ...]]:
        """Grid, boundary, and which axes of ``[time, channel, *space]`` are stored downwards."""
        axes, boundary, turned = [], [], []
        for number, letter in enumerate(self.layout.space):
            points = None
            if key := self.layout.points.get(letter):
                points = self._whole(key)
                if points[-1] < points[0]:
                    points = points[::-1]
                    turned.append(2 + number)
            side = self.description.boundary or _side(self.layout.words[letter], points)
            boundary.append((side, side))
            axes.append(self._axis(letter, points, side is BoundaryCondition.PERIODIC))
        return Grid(tuple(axes)), tuple(boundary), tuple(turned)

    def _axis(self, letter: str, points: np.ndarray | None, periodic: bool) -> Axis:
        name, size = letter.lower(), self.layout.sizes[letter]
        if points is None:
            return Axis(name, size, 1.0, periodic)
        if not np.isfinite(points).all() or points[-1] == points[0]:
            raise DataError(
                f"{self.path}: the points of axis {name} do not grow",
                got=f"{points[0]} to {points[-1]}",
                do=f"Repair '{self.layout.points[letter]}' in the file",
            )
        return axis_from_points(name, points, periodic, str(self.path))


def _side(word: str, points: np.ndarray | None) -> BoundaryCondition:
    """What the sides of an axis are if nobody says so."""
    if word in LONGITUDE and points is not None:
        length = abs(float(points[-1] - points[0])) * len(points) / (len(points) - 1)
        closes = any(abs(length - whole) < 0.01 * whole for whole in ROUND)
        return BoundaryCondition.PERIODIC if closes else BoundaryCondition.OPEN
    return BoundaryCondition.OPEN if word in BOUNDED else BoundaryCondition.PERIODIC


def _find_container(path: Path) -> tuple[str, str] | None:
    """Name of the kind of container, and why."""
    start = b""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(START_LENGTH)
    for name in CONTAINERS:
        kind = CONTAINERS[name]
        if (path.is_file() or kind.folders) and (reason := kind.recognise(path, start)):
            return name, reason
    return None
