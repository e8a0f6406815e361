"""PDEArena's smoke in a box, one HDF5 file a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.hdf5_file import HdfNode, holds_numbers
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError

FIELDS = {"u": "smoke", "vx": "velocity_x", "vy": "velocity_y"}
SPLIT_GROUPS = ("train", "valid", "test")


@dataclass(frozen=True)
class _Facts:
    grid: Grid
    first_time: float
    dt: float
    parameters: dict[str, float]


class NavierStokesFile(Hdf5Collection):
    """Buoyant smoke ``[trajectory, time, x, y]`` in the group of its split, gravity along y.

    Float64 on disk, read as float32. Times are counted by ``dt``: the stored ``t`` is spread evenly
    over the whole run instead and too wide. The stored ``x`` runs from wall to wall, as if the
    cells' centres lay on the walls, so it gives the length of the box and not the spacing.

    Velocities are those on the lower faces of the cells: ``velocity_x[i, j]`` at the face between
    cells ``i - 1`` and ``i``. The published cut lost the faces at the upper walls, so they are read
    as published and not averaged to the centres; ``staggered`` says so.
    """

    format = "pdearena"
    licence = "MIT"
    staggered = True

    @classmethod
    def recognise_file(cls, file: HdfNode) -> str | None:
        """A group of a split with smoke, both velocities and the time step."""
        for group in SPLIT_GROUPS:
            if holds_numbers(file, *(f"{group}/{key}" for key in (*FIELDS, "dt"))):
                return f"HDF5 with u, vx, vy and dt in {group}, as PDEArena's Navier-Stokes"
        return None

    @cached_property
    def _places(self) -> list[tuple[str, int]]:
        """Group and row of every trajectory."""
        file = self._hdf5.file
        found = [g for g in SPLIT_GROUPS if holds_numbers(file, *(f"{g}/{k}" for k in FIELDS))]
        for group in found:
            shapes = {tuple(file[group][key].shape) for key in FIELDS}
            if len(shapes) != 1 or len(next(iter(shapes))) != 4:
                raise DataError(
                    f"{self.path}: u, vx and vy of {group} need one shape (trajectory, time, x, y)",
                    got=", ".join(str(list(shape)) for shape in sorted(shapes)),
                    do="Download the file again",
                )
        if not found:
            raise DataError(
                f"{self.path}: no group of a split holds u, vx and vy",
                got=", ".join(map(str, list(file)[:8])) or "an empty file",
                do="Leave out --format, or read it with --format arrays and --axes",
            )
        return [(group, row) for group in found for row in range(len(file[group]["u"]))]

    @cached_property
    def _facts(self) -> dict[int, _Facts]:
        return {}

    def frame_counts(self, file: HdfNode) -> Sequence[int]:
        """Number of frames of each trajectory."""
        return [file[group]["u"].shape[1] for group, _ in self._places]

    def data_keys(self, file: HdfNode) -> Sequence[str]:
        """Datasets that hold the fields."""
        return [f"{self._places[0][0]}/{key}" for key in FIELDS]

    def _read_facts(self, file: HdfNode, index: int) -> _Facts:
        group, row = self._places[index]
        data = file[group]
        if not holds_numbers(data, "x", "y", "dt"):
            raise DataError(
                f"{self.path}: {group} must tell x, y and dt",
                got=", ".join(map(str, data)),
                do="Download the file again",
            )
        axes = []
        for name, num_points in zip("xy", data["u"].shape[2:], strict=True):
            first, last = float(data[name][row, 0]), float(data[name][row, -1])
            axes.append(Axis(name, num_points, last - first, False, first))
        start = float(data["t"][row, 0]) if "t" in data else 0.0
        parameters = {"buoyancy": float(data["buo_y"][row])} if "buo_y" in data else {}
        return _Facts(Grid(tuple(axes)), start, float(data["dt"][row]), parameters)

    def read_frames(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory; other frames are not read."""
        if index not in self._facts:
            self._facts[index] = self._read_facts(file, index)
        facts = self._facts[index]
        group, row = self._places[index]
        fields = np.empty((stop - start, len(FIELDS), *facts.grid.shape), np.float32)
        for channel, key in enumerate(FIELDS):
            fields[:, channel] = file[group][key][row, start:stop]
        steps = torch.arange(start, stop, dtype=torch.float64)
        return Trajectory(
            fields=torch.from_numpy(fields),
            names=tuple(FIELDS.values()),
            units=("dimensionless",) * len(FIELDS),
            grid=facts.grid,
            times=facts.first_time + steps * facts.dt,
            boundary=uniform_boundary(BoundaryCondition.WALL, 2),
            parameters=dict(facts.parameters),
            source=Source(str(self.path), index),
        )
