"""CFDBench: a folder for each case, of two arrays and a few numbers."""

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.cfdbench_case import Case
from pdefm.data.formats.containers.npy import SIGNATURE, NpyFile
from pdefm.data.formats.described import describe
from pdefm.data.trajectory import Source, Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError

ARRAYS = ("u.npy", "v.npy")
MEMBERS = (*ARRAYS, "case.json")
DEPTH = 3
"""Folders between what is opened and a case: problem, subset, case."""
MAX_LOOKED_AT = 8
"""Folders a level in which ``recognise`` looks for a case."""
DT = 0.1
MASK_FRAMES = 16
"""Frames, spread over the case, in which a point of an obstacle must stand still."""


class CfdBenchData(TrajectoryCollection):
    """Cases ``<problem>/<bc|geo|prop>/case0000/{u.npy, v.npy, case.json}``.

    The folder may be one case, a subset, a problem, or hold several problems; cases are taken in
    the order of their numbers, each with its own number of frames, 0.1 s apart. The problem is told
    by the keys of ``case.json``. Arrays, stored ``(time, height, width)``, are memory-mapped and
    become ``[time, channel, x, y]`` in float32, with y growing along the rows.

    Obstacles (cylinder, dam) are where the velocity is exactly zero at all times, which is compared
    with the published geometry: a cylinder at the origin of the frame ``x_min .. x_max``, a barrier
    on the floor 0.5 m from the inlet. Points that the flow has just not reached are no obstacle.
    Sides are walls, except those that the flow comes in and goes out by, which are open.

    Args:
        path: Folder.
        description: May override names, units, dt, extent and boundary.

    Raises:
        RecipeError: The description gives axes or variables, which are known.
    """

    format = "cfdbench"
    suffixes = (".npy",)
    folders = True
    licence = "Apache-2.0"

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.name
        self.description = description or Description()
        self.description.refuse(
            "axes", "variables", where=str(path), why="the format has axes of its own"
        )

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """A folder with the three members of a case, itself or in the folders below."""
        if not path.is_dir():
            return None
        first = next((case for case in _cases(path, DEPTH, MAX_LOOKED_AT) if _is_case(case)), None)
        where = "it" if first == path else "its folders"
        return f"{where} with u.npy, v.npy and case.json" if first else None

    def __getstate__(self) -> dict[str, Any]:
        read_again = ("_arrays", "_heads")
        return {key: value for key, value in self.__dict__.items() if key not in read_again}

    @cached_property
    def cases(self) -> list[Path]:
        """Folders of the cases, in order.

        Raises:
            DataError: No case, or a case that lacks a file.
        """
        found = list(_cases(self.path, DEPTH)) if self.path.is_dir() else []
        if not found:
            raise DataError(
                f"{self.path} holds no cases of CFDBench",
                got="no folder with u.npy, v.npy and case.json",
                do="Give the unpacked folder of a problem, of a subset or of a case",
            )
        for case in found:
            if missing := [name for name in MEMBERS if not (case / name).is_file()]:
                raise DataError(
                    f"{case}: the case lacks {' and '.join(missing)}",
                    got=", ".join(sorted(entry.name for entry in case.iterdir())[:8]),
                    do="Copy the case again, or remove its folder",
                )
        return found

    @cached_property
    def _arrays(self) -> dict[int, tuple[NpyFile, NpyFile]]:
        """Velocities of the cases that were looked at; the container closes the oldest."""
        return {}

    @cached_property
    def _heads(self) -> dict[int, tuple[Case, Grid, np.ndarray | None]]:
        """What training asks for again with every window: case, grid and mask."""
        return {}

    def __len__(self) -> int:
        return len(self.cases)

    def num_frames(self, index: int) -> int:
        """Number of frames, which differs from case to case."""
        return self._shape(self.check_index(index))[0]

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one case."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        if index not in self._heads:
            self._heads[index] = self._head(index)
        case, grid, mask = self._heads[index]
        fields = np.empty((stop - start, 2, *grid.shape), np.float32)
        for channel, array in enumerate(self._velocity(index)):
            values = array.take("", (slice(start, stop),))
            fields[:, channel] = values.transpose(0, 2, 1)  # [T, x, y]
        trajectory = Trajectory(
            fields=torch.from_numpy(fields),
            names=("velocity_x", "velocity_y"),
            units=("m/s", "m/s"),
            grid=grid,
            times=torch.arange(start, stop, dtype=torch.float64) * DT,
            boundary=case.problem.boundary,
            parameters=case.parameters,
            mask=None if mask is None else torch.from_numpy(mask.copy()),
            source=Source(str(self.cases[index])),
        )
        return describe(trajectory, self.description, start)

    def storage(self) -> dict[str, StorageLayout]:
        """How the arrays of the first case are stored, which stands for all."""
        arrays = zip(ARRAYS, self._velocity(0), strict=True)
        return {name: array.storage("") for name, array in arrays}

    def groups(self) -> list[Sequence[int]]:
        """Cases of one grid and one kind of sides."""
        found: dict[object, list[int]] = {}
        for index, folder in enumerate(self.cases):
            case = self._heads[index][0] if index in self._heads else _read_case(folder)
            kind = self._shape(index)[1:], case.problem.boundary
            found.setdefault(kind, []).append(index)
        return list(found.values())

    def _shape(self, index: int) -> tuple[int, ...]:
        return self._velocity(index)[0].arrays[""].shape

    def _velocity(self, index: int) -> tuple[NpyFile, NpyFile]:
        if index in self._arrays:
            return self._arrays[index]
        folder = self.cases[index]
        u, v = NpyFile(folder / ARRAYS[0]), NpyFile(folder / ARRAYS[1])
        one, other = u.arrays[""], v.arrays[""]
        if len(one.shape) != 3 or one.shape != other.shape or 0 in one.shape:
            raise DataError(
                f"{folder}: u.npy and v.npy must be of one shape, time, height, width",
                got=f"{list(one.shape)} and {list(other.shape)}",
                do="Copy the case again",
            )
        if {one.kind, other.kind} != {"real"}:
            raise DataError(
                f"{folder}: a velocity must be real numbers",
                got=f"dtypes {one.dtype} and {other.dtype}",
                do="Copy the case again",
            )
        self._arrays[index] = u, v
        return u, v

    def _head(self, index: int) -> tuple[Case, Grid, np.ndarray | None]:
        case = _read_case(self.cases[index])
        _, num_y, num_x = self._shape(index)
        grid = case.grid(num_x, num_y)
        distance = case.obstacle_distance(grid)
        if distance is None:
            return case, grid, None
        still = self._standing_still(index)
        return case, grid, ~_obstacle(still, distance, grid, self.cases[index])

    def _standing_still(self, index: int) -> np.ndarray:
        """Points ``[x, y]`` without any velocity at any of ``MASK_FRAMES`` times."""
        frames = np.linspace(0, self._shape(index)[0] - 1, MASK_FRAMES).round().astype(int)
        still = np.ones(self._shape(index)[1:], bool)
        for array in self._velocity(index):
            for frame in np.unique(frames):
                still &= array.take("", (int(frame),)) == 0
        return still.T  # [y, x] to [x, y]


def _obstacle(still: np.ndarray, distance: np.ndarray, grid: Grid, where: Path) -> np.ndarray:
    """Points of the obstacle: those that stand still where the geometry puts it, to a cell."""
    cell = hypot(*(axis.spacing for axis in grid.axes))
    expected, near = distance <= 0, distance <= cell
    wrong = int((~still & (distance < -cell)).sum())
    if not wrong and ((still & near).any() or not expected.any()):
        return still & near
    elsewhere = bool(still.any()) and not still.all()
    warnings.warn(
        f"{where}: the velocity is not zero where case.json puts the obstacle; the mask follows "
        f"{'the velocity' if elsewhere else 'case.json'}",
        stacklevel=2,
    )
    return still if elsewhere else expected


def _read_case(folder: Path) -> Case:
    return Case.read(folder / "case.json")


def _is_case(folder: Path) -> bool:
    if not all((folder / name).is_file() for name in MEMBERS):
        return False
    with (folder / ARRAYS[0]).open("rb") as file:
        return NpyFile.recognise(folder, file.read(len(SIGNATURE))) is not None


def _cases(folder: Path, depth: int, most: int | None = None) -> Iterator[Path]:
    """Folders that hold a member of a case, in natural order, the folder itself included."""
    from pdefm.data.open import natural_order

    if any((folder / name).is_file() for name in MEMBERS):
        yield folder
    elif depth:
        inner = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))]
        for entry in sorted(inner, key=natural_order)[:most]:
            yield from _cases(entry, depth - 1, most)
