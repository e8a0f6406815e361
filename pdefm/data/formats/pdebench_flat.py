"""PDEBench's files with one dataset a field at the root: advection, Burgers, gas flow, Darcy."""

import re
from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np
import torch

from pdefm.data.formats.axis_points import axis_from_points
from pdefm.data.formats.hdf5_file import HdfNode, holds_numbers
from pdefm.data.formats.pdebench_layout import UNIT, PDEBenchLayout, first_times, numbers_of
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import AXIS_NAMES, BoundaryCondition, Grid
from pdefm.errors import DataError

GAS_KEYS = {
    "density": "density",
    "pressure": "pressure",
    "Vx": "velocity_x",
    "Vy": "velocity_y",
    "Vz": "velocity_z",
}
GAS_PARAMETERS = {"eta": "viscosity", "zeta": "bulk_viscosity", "m": "mach"}


@dataclass(frozen=True)
class _Equation:
    """What the datasets and attributes of one equation mean.

    Args:
        fields: Dataset to field name.
        parameters: Attribute in lower case to parameter name.
        boundary: As published.
        permeability: Whether ``nu`` is a coefficient field.
    """

    fields: dict[str, str]
    parameters: dict[str, str]
    boundary: BoundaryCondition = BoundaryCondition.PERIODIC
    permeability: bool = False


class FlatLayout(PDEBenchLayout):
    """Fields ``[trajectory, time, *space]``, or ``[time, *space]`` in some of the test files.

    ``nu [trajectory, *space]`` of Darcy flow is the constant ``permeability``, its ``beta`` the
    ``source``. The diffusion of Burgers' equation in PDEBench is ``Nu / pi``, which is the
    ``viscosity`` here. Only the word ``trans`` in a published name says that gas flows out.
    """

    def __init__(self, file: HdfNode, where: str) -> None:
        self.where = where
        numbers = {name.lower(): value for name, value in numbers_of(file.attrs).items()}
        self.equation = _find_equation(file, numbers)
        self.keys = tuple(self.equation.fields)
        axes = [name for name in AXIS_NAMES if holds_numbers(file, f"{name}-coordinate")]
        points = [np.atleast_1d(file[f"{name}-coordinate"][()]) for name in axes]
        self.shape = tuple(len(along) for along in points)
        num_trajectories, num_frames = self._leading_axes(file)
        self.frame_counts = (num_frames,) * num_trajectories
        boundary = self.equation.boundary
        if "Vx" in self.keys and "trans" in re.split(r"[\W_]+", Path(where).name):
            boundary = BoundaryCondition.OPEN
        self.boundary = uniform_boundary(boundary, len(axes))
        periodic = boundary is BoundaryCondition.PERIODIC
        self.grid = Grid(
            tuple(
                axis_from_points(name, along, periodic, where)
                for name, along in zip(axes, points, strict=True)
            )
        )
        self.times = np.zeros(1)
        if num_frames > 1 or "t-coordinate" in file:
            self.times = first_times(np.asarray(file["t-coordinate"][()]), num_frames, where)
        names = self.equation.parameters
        self.parameters = {names.get(name, name): value for name, value in numbers.items()}
        if self.equation is BURGERS:
            self.parameters["viscosity"] /= pi

    @classmethod
    def explain(cls, file: HdfNode) -> str | None:
        """``x-coordinate`` beside the datasets of a gas or a ``tensor``."""
        if not holds_numbers(file, "x-coordinate"):
            return None
        if holds_numbers(file, "density", "pressure", "Vx"):
            return "HDF5 with density, pressure, Vx and x-coordinate, as PDEBench's gas flows"
        if holds_numbers(file, "tensor", "nu"):
            return "HDF5 with tensor, nu and x-coordinate, as PDEBench's Darcy flow"
        if holds_numbers(file, "tensor"):
            return "HDF5 with tensor and x-coordinate, as PDEBench's one-dimensional equations"
        return None

    def _leading_axes(self, file: HdfNode) -> tuple[int, int]:
        """Number of trajectories and of frames."""
        shapes = {tuple(file[key].shape) for key in self.keys}
        shape = shapes.pop()
        leading = len(shape) - len(self.shape)
        if shapes or leading not in (1, 2) or shape[leading:] != self.shape:
            raise DataError(
                f"{self.where}: fields must be trajectory, time and space "
                f"{list(self.shape)} as the coordinates say",
                got=", ".join(f"{key} {list(file[key].shape)}" for key in self.keys),
                do="Check the file, or read it with --format arrays and --axes",
            )
        self.has_trajectory_axis = leading == 2
        return (shape[0], shape[1]) if leading == 2 else (1, shape[0])

    def read(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory; other frames are not read."""
        pick = (index,) if self.has_trajectory_axis else ()
        fields = np.empty((stop - start, len(self.keys), *self.shape), np.float32)
        for channel, key in enumerate(self.keys):
            fields[:, channel] = file[key][(*pick, slice(start, stop))]
        names = tuple(self.equation.fields.values())
        constants = None
        if self.equation.permeability:
            constants = np.asarray(file["nu"][(*pick, ...)], np.float32)[None]  # [1, *space]
        return Trajectory(
            fields=torch.from_numpy(fields),
            names=names,
            units=(UNIT,) * len(names),
            grid=self.grid,
            times=torch.from_numpy(self.times[start:stop].copy()),
            boundary=self.boundary,
            parameters=dict(self.parameters),
            constants=None if constants is None else torch.from_numpy(constants),
            constant_names=() if constants is None else ("permeability",),
            source=Source(self.where, index),
        )


DARCY = _Equation({"tensor": "pressure"}, {"beta": "source"}, BoundaryCondition.WALL, True)
ADVECTION = _Equation({"tensor": "concentration"}, {"beta": "velocity_x"})
BURGERS = _Equation({"tensor": "velocity_x"}, {"nu": "viscosity"})
REACTION = _Equation({"tensor": "density"}, {"nu": "diffusivity", "rho": "growth"})
UNKNOWN = _Equation({"tensor": "tensor"}, {})


def _find_equation(file: HdfNode, numbers: dict[str, float]) -> _Equation:
    """By datasets and attributes; a ``tensor`` without attributes keeps its name."""
    if "density" in file:
        return _Equation({k: v for k, v in GAS_KEYS.items() if k in file}, GAS_PARAMETERS)
    if holds_numbers(file, "nu"):
        return DARCY
    if "rho" in numbers:
        return REACTION
    if "nu" in numbers:
        return BURGERS
    return ADVECTION if "beta" in numbers else UNKNOWN
