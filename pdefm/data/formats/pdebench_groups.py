"""PDEBench's files with one group a seed: diffusion-reaction, dam break, diffusion-sorption."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pdefm.data.formats.axis_points import axis_from_points
from pdefm.data.formats.hdf5_file import HdfNode, holds_numbers
from pdefm.data.formats.pdebench_layout import (
    UNIT,
    PDEBenchLayout,
    first_times,
    numbers_of,
    read_config,
)
from pdefm.data.trajectory import Boundary, Source, Trajectory, uniform_boundary
from pdefm.domain import AXIS_NAMES, BoundaryCondition, Grid
from pdefm.errors import DataError

WALL, OPEN = BoundaryCondition.WALL, BoundaryCondition.OPEN


@dataclass(frozen=True)
class _Equation:
    """What the data of one equation mean.

    Args:
        names: Fields along the last axis.
        stored_axes: Order of the space axes on disk.
        boundary: As published.
        parameters: Number in the config's ``sim`` to parameter name; the first of them is in the
            config of no other equation.
    """

    names: tuple[str, ...]
    stored_axes: str
    boundary: Boundary
    parameters: dict[str, str]


EQUATIONS = (
    _Equation(
        ("activator", "inhibitor"),
        "yx",
        uniform_boundary(WALL, 2),
        {"Du": "diffusivity_u", "Dv": "diffusivity_v", "k": "offset"},
    ),
    _Equation(
        ("height",),
        "xy",
        uniform_boundary(OPEN, 2),
        {"dam_radius": "dam_radius", "gravity": "gravity", "inner_height": "inner_height"},
    ),
    _Equation(
        ("concentration",),
        "x",
        # Prescribed at the left; at the right what diffuses out leaves.
        ((WALL, OPEN),),
        {
            "por": "porosity",
            "D": "diffusivity",
            "rho_s": "bulk_density",
            "k_f": "freundlich_coefficient",
            "n_f": "freundlich_exponent",
            "sol": "solubility",
        },
    ),
)

REQUIRED = ("data", "grid/x", "grid/t")


@dataclass(frozen=True)
class _Facts:
    grid: Grid
    times: np.ndarray
    parameters: dict[str, float]
    axes: str


class SeedGroupLayout(PDEBenchLayout):
    """``/0000/data [time, *space, channel]`` with ``grid`` and a YAML ``config`` in every group.

    Diffusion-reaction is stored ``[time, y, x, channel]``, the dam break ``[time, x, y, channel]``;
    both are read with x first. Numbers of groups may be missing, and each group is read with its
    own grid. The first frame of diffusion-reaction is white noise, read as it is.
    """

    def __init__(self, file: HdfNode, where: str) -> None:
        self.where = where
        # Thousands of groups: listed once, not again for every window.
        self.groups = sorted((name for name in file if name.isdigit()), key=lambda n: (int(n), n))
        self.frame_counts = [self._num_frames(file, group) for group in self.groups]
        self.keys = (f"{self.groups[0]}/data",)
        first = file[self.groups[0]]
        num_dims, num_channels = first["data"].ndim - 2, first["data"].shape[-1]
        self.equation = self._find_equation(first, num_dims, num_channels)
        self._facts: dict[int, _Facts] = {}

    @classmethod
    def explain(cls, file: HdfNode) -> str | None:
        """A group named by a number, with ``data``, ``grid/x`` and ``grid/t``."""
        group = next((name for name in file if name.isdigit()), None)
        if group is None or not holds_numbers(file, *(f"{group}/{key}" for key in REQUIRED)):
            return None
        return f"HDF5 with a group for each seed ({group}: data, grid, config), as PDEBench's"

    def _num_frames(self, file: HdfNode, group: str) -> int:
        data = file.get(f"{group}/data")
        if data is None or data.ndim < 3:
            raise DataError(
                f"{self.where}: group {group} holds no trajectory",
                got=", ".join(map(str, file[group])) or "an empty group",
                do="Download the file again",
            )
        return data.shape[0]

    def _find_equation(self, group: HdfNode, num_dims: int, num_channels: int) -> _Equation:
        """By the config; without one by the numbers of axes and channels."""
        settings = self._settings(group)
        for equation in EQUATIONS:
            if next(iter(equation.parameters)) in settings:
                return equation
        for equation in EQUATIONS:
            if (len(equation.stored_axes), len(equation.names)) == (num_dims, num_channels):
                return equation
        raise DataError(
            f"{self.where}: neither the config nor the shape tells the equation",
            got=f"data {list(group['data'].shape)}",
            do="Read it with --format arrays and --axes",
        )

    def _settings(self, group: HdfNode) -> dict[str, float]:
        settings: Any = read_config(group.attrs, self.where).get("sim")
        return numbers_of(settings) if isinstance(settings, dict) else {}

    def _find_facts(self, file: HdfNode, index: int) -> _Facts:
        group, equation = file[self.groups[index]], self.equation
        names = sorted(equation.stored_axes)
        points = {name: np.asarray(group[f"grid/{name}"][()]) for name in names}
        shape = tuple(group["data"].shape)
        lengths = {name: len(along) for name, along in points.items()}
        # Where the lengths differ they say the order themselves.
        orders = (equation.stored_axes, equation.stored_axes[::-1])
        axes = next((o for o in orders if shape[1:-1] == tuple(lengths[n] for n in o)), None)
        if axes is None or shape[-1] != len(equation.names):
            raise DataError(
                f"{self.where}: group {self.groups[index]} must hold time, space {lengths} and "
                f"{', '.join(equation.names)}",
                got=list(shape),
                do="Check the file, or read it with --format arrays and --axes",
            )
        settings = self._settings(group)
        return _Facts(
            Grid(tuple(axis_from_points(n, points[n], False, self.where) for n in names)),
            first_times(np.asarray(group["grid/t"][()]), shape[0], self.where),
            {word: settings[key] for key, word in equation.parameters.items() if key in settings},
            axes,
        )

    def read(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one seed; other frames and other seeds are not read."""
        if index not in self._facts:
            self._facts[index] = self._find_facts(file, index)
        facts, names = self._facts[index], self.equation.names
        values = file[self.keys_of(index)][start:stop]  # [T, *stored, C]
        space = [1 + facts.axes.index(name) for name in AXIS_NAMES if name in facts.axes]
        fields = values.transpose(0, values.ndim - 1, *space)  # [T, C, *space]
        return Trajectory(
            fields=torch.from_numpy(np.ascontiguousarray(fields, np.float32)),
            names=names,
            units=(UNIT,) * len(names),
            grid=facts.grid,
            times=torch.from_numpy(facts.times[start:stop].copy()),
            boundary=self.equation.boundary,
            parameters=dict(facts.parameters),
            source=Source(self.where, index),
        )

    def keys_of(self, index: int) -> str:
        """Dataset of one trajectory."""
        return f"{self.groups[index]}/data"
