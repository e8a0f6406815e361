"""Reader of the MATLAB files that came with the Fourier neural operator."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.described import describe
from pdefm.data.formats.mat_file import MatFile, mat_version
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError

FIELD_NAMES = {"Navier-Stokes": "vorticity", "Burgers": "velocity_x", "Darcy": "pressure"}


@dataclass(frozen=True)
class _Layout:
    """What the variables of a file are.

    Args:
        equation: A key of ``FIELD_NAMES``.
        snapshots: Variables that hold one frame each, before any others.
        num_records: Frames in ``u`` that come after them.
        num_trajectories: Length of the first axis.
        space: Points per axis.
    """

    equation: str
    snapshots: tuple[str, ...]
    num_records: int
    num_trajectories: int
    space: tuple[int, ...]

    @property
    def num_frames(self) -> int:
        return len(self.snapshots) + self.num_records

    @property
    def boundary(self) -> BoundaryCondition:
        walls = self.equation == "Darcy"
        return BoundaryCondition.WALL if walls else BoundaryCondition.PERIODIC

    @property
    def keys(self) -> tuple[str, ...]:
        constants = ("coeff",) if self.equation == "Darcy" else ()
        return constants + self.snapshots + (("u",) if self.num_records else ())


def _find_layout(shapes: dict[str, tuple[int, ...]]) -> _Layout | None:
    """The published layout that these variables have."""
    a, u, sol = (shapes.get(key, ()) for key in ("a", "u", "sol"))
    found = None
    if len(sol) == 3 and shapes.get("coeff") == sol:
        found = _Layout("Darcy", ("sol",), 0, sol[0], sol[1:])
    elif len(u) == 4:
        initial = ("a",) if a == u[:3] else ()
        found = _Layout("Navier-Stokes", initial, u[3], u[0], u[1:3])
    elif len(u) == 2 and a == u:
        found = _Layout("Burgers", ("a", "u"), 0, u[0], u[1:])
    return found if found and min(found.num_trajectories, found.num_frames, *found.space) else None


class FnoMatFile(TrajectoryCollection):
    """One ``.mat`` file of the Fourier neural operator's data: three equations, told by content.

    - Navier-Stokes: ``u (N, X, Y, T)`` is vorticity on the periodic unit square. ``a (N, X, Y)`` is
      its initial state, which ``u`` does not hold, so it becomes frame 0 at time 0. Times are the
      file's ``t``; without one ``dt`` is 1.
    - Burgers: ``a`` and ``u (N, X)`` are the periodic velocity at the times 0 and 1.
    - Darcy: ``sol (N, X, Y)`` is the steady pressure and ``coeff`` its permeability, both in the
      centres of cells. The smoothed ``Kcoeff``, ``Kcoeff_x``, ``Kcoeff_y`` follow from ``coeff``
      and are left out.

    Reading costs more than in other formats: a v5 file's variable is loaded whole, once per
    process, and in a v7.3 file the trajectory is the fastest axis, so that one trajectory touches
    the whole array. ``pdefm data convert`` writes a file without either.

    Args:
        path: The file, MATLAB v5 to v7.3.
        description: May override names, units, dt, extent and boundary.

    Raises:
        RecipeError: The description gives axes or variables, which the layout fixes.
    """

    format = "fno_mat"
    suffixes = (".mat",)

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.stem
        self.description = description or Description()
        why = "FNO's layout fixes a, u, coeff and sol; for your own add --format arrays"
        self.description.refuse("axes", "variables", where=str(path), why=why)
        self._mat = MatFile(path)

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """A MATLAB header, and the variables of one of the published files on a square grid."""
        version = mat_version(path)
        if version is None:
            return None
        mat = MatFile(path)
        try:
            layout = _find_layout(mat.shapes)
        finally:
            mat.close()
        # All published grids are square; u (N, T, X, Y) of another maker is not taken for one.
        if layout is None or len(set(layout.space)) > 1 or layout.space[0] == 1:
            return None
        keys = " and ".join(layout.keys)
        return f"MATLAB {version} file with {keys} as in FNO's {layout.equation} data"

    @cached_property
    def _layout(self) -> _Layout:
        shapes = self._mat.shapes
        if layout := _find_layout(shapes):
            return layout
        raise DataError(
            f"{self.path}: holds neither u (N, X, Y, T), nor a and u (N, X), nor coeff and sol "
            "(N, X, Y)",
            got=", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no arrays",
            do="Open it with --format arrays and say its --axes",
        )

    @cached_property
    def _times(self) -> np.ndarray:
        layout, shapes = self._layout, self._mat.shapes
        said = self.description.dt is not None
        if said or layout.equation != "Navier-Stokes" or "t" not in shapes:
            return np.arange(layout.num_frames, dtype=np.float64)
        times = self._mat.take("t", *(slice(None) for _ in shapes["t"]), dtype=np.float64).ravel()
        if layout.snapshots and times.size == layout.num_records:
            times = np.concatenate([[0.0], times])
        if times.size != layout.num_frames:
            raise DataError(
                f"{self.path}: t must hold a time for each of the {layout.num_records} records",
                got=f"{times.size} times",
                do="Give the time between records with --dt",
            )
        return times

    def __getstate__(self) -> dict[str, Any]:
        read_again = ("_layout", "_times")
        return {key: value for key, value in self.__dict__.items() if key not in read_again}

    def __len__(self) -> int:
        return self._layout.num_trajectories

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories of one file."""
        self.check_index(index)
        return self._layout.num_frames

    def storage(self) -> dict[str, StorageLayout]:
        """How the variables are stored; in v7.3 files the trajectory is the last axis."""
        return {key: self._mat.storage(key) for key in self._layout.keys}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, described as the layout and then the user say."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        layout = self._layout
        darcy = layout.equation == "Darcy"
        constants = torch.from_numpy(self._snapshot("coeff", index)[None]) if darcy else None
        trajectory = Trajectory(
            fields=torch.from_numpy(self._frames(index, start, stop)[:, None]),
            names=(FIELD_NAMES[layout.equation],),
            units=("dimensionless",),
            grid=Grid.regular(layout.space, periodic=not darcy),
            times=torch.from_numpy(self._times[start:stop].copy()),
            boundary=uniform_boundary(layout.boundary, len(layout.space)),
            constants=constants,
            constant_names=("permeability",) if darcy else (),
            source=Source(str(self.path), index),
        )
        return describe(trajectory, self.description, start)

    def _snapshot(self, key: str, index: int) -> np.ndarray:
        picks = (slice(None) for _ in self._layout.space)
        return np.array(
            self._mat.take(key, index, *picks), order="C"
        )  # what is kept stays as it is

    def _frames(self, index: int, start: int, stop: int) -> np.ndarray:
        """Frames as ``[time, *space]``, first the snapshots and then the records."""
        layout = self._layout
        frames = np.empty((stop - start, *layout.space), np.float32)
        num_before = len(layout.snapshots)
        for frame, key in enumerate(layout.snapshots[start:stop]):
            frames[frame] = self._snapshot(key, index)
        if stop > num_before:
            first = max(start, num_before)
            wanted = slice(first - num_before, stop - num_before)
            records = self._mat.take("u", index, slice(None), slice(None), wanted)
            frames[first - start :] = np.moveaxis(records, -1, 0)  # [T, X, Y]
        return frames
