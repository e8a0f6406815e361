"""PDEBench's inhomogeneous incompressible flow: a few long trajectories a file."""

import numpy as np
import torch

from pdefm.data.formats.hdf5_file import HdfNode, holds_numbers
from pdefm.data.formats.pdebench_layout import (
    UNIT,
    PDEBenchLayout,
    first_times,
    numbers_of,
    read_config,
)
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError

EXTRAPOLATIONS = {
    "ZERO": BoundaryCondition.WALL,
    "PERIODIC": BoundaryCondition.PERIODIC,
    "BOUNDARY": BoundaryCondition.OPEN,
}


class IncompressibleLayout(PDEBenchLayout):
    """``velocity`` and ``particles`` ``[trajectory, time, x, y, component]``, constant ``force``.

    A run that was stopped has frames up to ``latestIndex``; what comes after was never written.
    Velocities were brought to the cell centres before they were written. The ``config`` tells the
    lengths of the box (1 if it does not), the viscosity and what the velocity does at the sides
    (walls, as published, if it does not).
    """

    keys = ("velocity", "particles")

    def __init__(self, file: HdfNode, where: str) -> None:
        self.where = where
        velocity, times = file["velocity"], file["t"]
        shape = tuple(velocity.shape)
        fits = len(shape) == 5 and shape[-1] == 2 and tuple(times.shape) == shape[:2]
        if not fits or tuple(file["particles"].shape) != (*shape[:-1], 1):
            found = {key: list(file[key].shape) for key in (*self.keys, "t")}
            raise DataError(
                f"{where}: needs velocity (trajectory, time, x, y, 2), particles (..., 1) and t",
                got=", ".join(f"{key} {value}" for key, value in found.items()),
                do="Check the file, or read it with --format arrays and --axes",
            )
        num_frames = shape[1]
        if "latestIndex" in file.attrs:
            num_frames = min(num_frames, int(file.attrs["latestIndex"]) + 1)
        # A run that never wrote a frame holds no trajectory.
        self.frame_counts = (num_frames,) * (shape[0] if num_frames > 0 else 0)
        # One chunk for each time in the file: read once.
        stored = np.asarray(times[:, : max(num_frames, 0)])
        self.times = [first_times(row, len(row), where) for row in stored]
        self._read_config(file, shape[2:4])

    @classmethod
    def explain(cls, file: HdfNode) -> str | None:
        """``velocity`` with components, ``particles`` and times for each trajectory."""
        if not holds_numbers(file, "velocity", "particles", "t"):
            return None
        if file["velocity"].ndim != 5 or file["t"].ndim != 2:
            return None
        return "HDF5 with velocity, particles and t, as PDEBench's incompressible flow"

    def _read_config(self, file: HdfNode, shape: tuple[int, ...]) -> None:
        config = read_config(file.attrs, self.where)
        viscosity = numbers_of(config).get("NU")
        self.parameters = {} if viscosity is None else {"viscosity": viscosity}
        kind = EXTRAPOLATIONS.get(str(config.get("velocity_extrapolation")), BoundaryCondition.WALL)
        self.boundary = uniform_boundary(kind, 2)
        size = config.get("domain_size")
        sides = numbers_of(dict(zip("xy", size, strict=False))) if isinstance(size, list) else {}
        lengths = list(sides.values()) if len(sides) == 2 else [1.0, 1.0]
        periodic = kind is BoundaryCondition.PERIODIC
        self.grid = Grid(
            tuple(
                Axis(name, num_points, length, periodic)
                for name, num_points, length in zip("xy", shape, lengths, strict=True)
            )
        )

    def read(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory; other frames are not read."""
        fields = np.empty((stop - start, 3, *self.grid.shape), np.float32)
        fields[:, :2] = np.moveaxis(file["velocity"][index, start:stop], -1, 1)
        fields[:, 2] = file["particles"][index, start:stop, ..., 0]
        constants = None
        if "force" in file:
            force = np.moveaxis(file["force"][index], -1, 0)  # [2, x, y]
            constants = torch.from_numpy(np.ascontiguousarray(force, np.float32))
        return Trajectory(
            fields=torch.from_numpy(fields),
            names=("velocity_x", "velocity_y", "particles"),
            units=(UNIT,) * 3,
            grid=self.grid,
            times=torch.from_numpy(self.times[index][start:stop].copy()),
            boundary=self.boundary,
            parameters=dict(self.parameters),
            constants=constants,
            constant_names=() if constants is None else ("force_x", "force_y"),
            source=Source(self.where, index),
        )
