"""Writer of The Well's HDF5 specification, strict: what it writes, The Well's own tools read.

Beyond the specification, files carry what it has no place for and its readers ignore: the root
attribute ``channel_names`` (order of the channels), ``units`` on each dataset, ``extent`` and
``origin`` on each axis.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from pdefm.data.collection import TrajectorySequence
from pdefm.data.formats.hdf5_file import HdfNode
from pdefm.data.formats.well_geometry import MASK_GROUP
from pdefm.data.formats.well_layout import FIELD_GROUPS
from pdefm.data.trajectory import Boundary, Trajectory
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError
from pdefm.files import atomic_path


def write_well(
    path: Path,
    trajectories: TrajectorySequence,
    dataset_name: str,
    simulation_parameters: Mapping[str, float] | None = None,
) -> Path:
    """Write trajectories of one kind into one file; the same input gives the same bytes.

    Channels ``base_x, base_y`` (one an axis, in a row, of one unit) become the vector field
    ``base``; all others are scalar fields. Fields and constants are stored as float32. Trajectories
    are taken one at a time and in order, so a lazy sequence never has to fit into memory.

    Args:
        path: The file; an existing one is replaced when everything is written.
        trajectories: Equal names, units, grid, boundary, number of frames and parameter names.
        dataset_name: Stored in the file.
        simulation_parameters: Scalars that all trajectories share, beside their own parameters.

    Returns:
        ``path``.

    Raises:
        DataError: No trajectory, or trajectories that do not belong into one file.
        EnvironmentFault: The file cannot be written.
    """
    if not len(trajectories):
        raise DataError(f"{path}: nothing to write", got="no trajectories", do="Give at least one")
    with atomic_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["dataset_name"] = dataset_name
        writer = _WellWriter(file, trajectories[0], len(trajectories), str(path))
        for index, trajectory in enumerate(trajectories):
            writer.add(index, trajectory)
        writer.finish(dict(simulation_parameters or {}))
    return Path(path)


@contextmanager
def stream_well(
    path: Path, like: Trajectory, num_trajectories: int, dataset_name: str
) -> Iterator[Callable[[int, Tensor], None]]:
    """The same file as :func:`write_well`, written frame by frame, so that none is kept.

    Args:
        path: The file; an existing one is replaced when the block succeeds.
        like: All but the values of ``fields``, which may be an expanded view without memory.
        num_trajectories: They share everything but the fields.
        dataset_name: Stored in the file.

    Yields:
        A function of the number of a frame and its values ``[trajectory, channel, *space]``.

    Raises:
        DataError: Names that do not go into such a file.
        EnvironmentFault: The file cannot be written.
    """
    with atomic_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["dataset_name"] = dataset_name
        writer = _WellWriter(file, like, num_trajectories, str(path))
        yield writer.add_frame
        for index in range(num_trajectories):
            writer.add_constants(index, like)
        writer.finish({})


class _WellWriter:
    """State while one file is written: the first trajectory says what the others must be."""

    def __init__(self, file: HdfNode, first: Trajectory, num: int, where: str) -> None:
        self.file, self.first, self.num, self.where = file, first, num, where
        self.times: list[np.ndarray] = []
        self.parameters: list[dict[str, float]] = []
        self.masks: list[np.ndarray | None] = []
        self._check_names()
        file.attrs["grid_type"] = "cartesian"
        file.attrs["n_spatial_dims"] = first.grid.num_dims
        file.attrs["n_trajectories"] = num
        _set_names(file, "channel_names", first.names)
        _write_axes(file, first.grid)
        _write_boundary(file, first.boundary, first.grid)
        self.fields = group_vectors(first.names, first.units, first.grid.names)
        self._create_fields()

    def add(self, index: int, trajectory: Trajectory) -> None:
        """Write one trajectory and remember its scalars."""
        self._check_like_first(trajectory)
        for key, channels in self.fields.items():
            values = trajectory.fields[:, channels].to(torch.float32).cpu().numpy()
            vector = key.startswith("t1_fields")
            self.file[key][index] = np.moveaxis(values, 1, -1) if vector else values[:, 0]
        self.add_constants(index, trajectory)

    def add_frame(self, step: int, frames: Tensor) -> None:
        """Write one frame of every trajectory, ``[trajectory, channel, *space]``."""
        for key, channels in self.fields.items():
            values = frames[:, channels].to(torch.float32).cpu().numpy()
            vector = key.startswith("t1_fields")
            self.file[key][:, step] = np.moveaxis(values, 1, -1) if vector else values[:, 0]

    def add_constants(self, index: int, trajectory: Trajectory) -> None:
        """Write what does not change in time, and remember what ``finish`` writes."""
        if trajectory.constants is not None:
            for name, constant in zip(trajectory.constant_names, trajectory.constants, strict=True):
                self.file[f"t0_fields/{name}"][index] = constant.to(torch.float32).cpu().numpy()
        self.times.append(trajectory.times.cpu().numpy())
        self.parameters.append(trajectory.parameters)
        self.masks.append(None if trajectory.mask is None else trajectory.mask.cpu().numpy())

    def finish(self, shared: dict[str, float]) -> None:
        """Write what is known only after the last trajectory."""
        same_times = all(np.array_equal(times, self.times[0]) for times in self.times)
        times = self.times[0] if same_times else np.stack(self.times)
        self._dataset("dimensions/time", times, sample_varying=not same_times, time_varying=True)
        self._write_scalars(shared)
        self._write_mask()

    def _check_names(self) -> None:
        names = (*self.first.names, *self.first.constant_names)
        for name in names:
            if "/" in name or names.count(name) > 1 or not name:
                raise DataError(
                    f"{self.where}: every field and constant needs its own name without '/'",
                    got=f"'{name}'",
                    do="Rename it with --names",
                )
        for axis, sides in zip(self.first.grid.axes, self.first.boundary, strict=True):
            periodic = [side is BoundaryCondition.PERIODIC for side in sides]
            if periodic != [axis.periodic] * 2:
                raise DataError(
                    f"{self.where}: axis {axis.name} is {'' if axis.periodic else 'not '}periodic "
                    "but its boundary says otherwise",
                    got=", ".join(sides),
                    do="Make the grid and the boundary agree",
                )

    def _create_fields(self) -> None:
        first = self.first
        space, num_dims = first.grid.shape, first.grid.num_dims
        for group in FIELD_GROUPS:
            members = [key.partition("/")[2] for key in self.fields if key.startswith(group)]
            constants = first.constant_names if group == "t0_fields" else ()
            self.file.create_group(group)
            _set_names(self.file[group], "field_names", (*members, *constants))
        arrays = {
            key: (first.num_frames, *space, *([num_dims] if key.startswith("t1") else []))
            for key in self.fields
        } | {f"t0_fields/{name}": space for name in first.constant_names}
        for key, shape in arrays.items():
            data = self.file.create_dataset(key, (self.num, *shape), np.float32, track_times=False)
            data.attrs["sample_varying"] = True
            data.attrs["time_varying"] = key in self.fields
            data.attrs["dim_varying"] = np.ones(num_dims, bool)
            channels = self.fields.get(key)
            data.attrs["units"] = first.units[channels[0]] if channels else "unknown"

    def _check_like_first(self, other: Trajectory) -> None:
        for what in ("names", "units", "grid", "boundary", "num_frames", "constant_names"):
            found, expected = getattr(other, what), getattr(self.first, what)
            if found != expected:
                raise DataError(
                    f"{self.where}: one file needs equal {what.replace('_', ' ')}, "
                    f"{self.first.source} has {expected}",
                    got=f"{found} in {other.source}",
                    do="Write them into separate files",
                )
        if other.parameters.keys() != self.first.parameters.keys():
            raise DataError(
                f"{self.where}: one file needs the same parameters in all trajectories, "
                f"{self.first.source} has {sorted(self.first.parameters)}",
                got=f"{sorted(other.parameters)} in {other.source}",
                do="Write them into separate files",
            )

    def _write_scalars(self, shared: dict[str, float]) -> None:
        values: dict[str, np.ndarray] = {
            name: np.array([parameters[name] for parameters in self.parameters], np.float64)
            for name in self.parameters[0]
        } | {name: np.full(self.num, value, np.float64) for name, value in shared.items()}
        same = {name for name, column in values.items() if (column == column[0]).all()}
        _set_names(self.file, "simulation_parameters", [name for name in values if name in same])
        self.file.create_group("scalars")
        _set_names(self.file["scalars"], "field_names", list(values))
        for name, column in values.items():
            constant = name in same
            if constant:
                self.file.attrs[name] = column[0]
            self._dataset(
                f"scalars/{name}",
                np.asarray(column[0]) if constant else column,
                sample_varying=not constant,
                time_varying=False,
            )

    def _write_mask(self) -> None:
        if all(mask is None for mask in self.masks):
            return
        shape = self.first.grid.shape
        inside = [np.ones(shape, bool) if mask is None else mask for mask in self.masks]
        same = all(np.array_equal(mask, inside[0]) for mask in inside)
        walls = ~inside[0] if same else ~np.stack(inside)
        names = self.first.grid.names
        _write_condition(self.file, MASK_GROUP, names, BoundaryCondition.WALL, walls, not same)

    def _dataset(
        self, key: str, values: np.ndarray, *, sample_varying: bool, time_varying: bool
    ) -> None:
        data = self.file.create_dataset(key, data=values, track_times=False)
        data.attrs["sample_varying"] = sample_varying
        data.attrs["time_varying"] = time_varying


def group_vectors(
    names: tuple[str, ...], units: tuple[str, ...], axis_names: tuple[str, ...]
) -> dict[str, list[int]]:
    """Which channels make up which dataset.

    Args:
        names: Channel names.
        units: One a channel.
        axis_names: Such as ``("x", "y")``.

    Returns:
        ``t0_fields/name`` or ``t1_fields/base`` to the numbers of its channels.
    """
    num_dims = len(axis_names)
    groups: dict[str, list[int]] = {}
    channel = 0
    while channel < len(names):
        base = names[channel].removesuffix(f"_{axis_names[0]}")
        row = tuple(f"{base}_{axis}" for axis in axis_names)
        last = channel + num_dims
        if base and names[channel:last] == row and len(set(units[channel:last])) == 1:
            groups[f"t1_fields/{base}"] = list(range(channel, last))
            channel = last
        else:
            groups[f"t0_fields/{names[channel]}"] = [channel]
            channel += 1
    return groups


def _set_names(place: HdfNode, attribute: str, names: Sequence[str]) -> None:
    place.attrs.create(attribute, np.array(names, dtype=object), dtype=h5py.string_dtype())


def _write_axes(file: HdfNode, grid: Grid) -> None:
    group = file.create_group("dimensions")
    _set_names(group, "spatial_dims", grid.names)
    for axis in grid.axes:
        data = group.create_dataset(axis.name, data=axis.coordinates(), track_times=False)
        facts: dict[str, Any] = {"sample_varying": False, "time_varying": False}
        for name, value in (facts | {"extent": axis.extent, "origin": axis.origin}).items():
            data.attrs[name] = value


def _write_boundary(file: HdfNode, boundary: Boundary, grid: Grid) -> None:
    file.create_group("boundary_conditions")
    for axis, sides in zip(grid.axes, boundary, strict=True):
        for kind in dict.fromkeys(sides):
            mask = np.zeros(axis.num_points, bool)
            mask[0] |= sides[0] is kind
            mask[-1] |= sides[1] is kind
            _write_condition(file, f"{axis.name}_{kind}", (axis.name,), kind, mask, False)


def _write_condition(
    file: HdfNode,
    name: str,
    dims: tuple[str, ...],
    kind: BoundaryCondition,
    mask: np.ndarray,
    sample_varying: bool,
) -> None:
    group = file["boundary_conditions"].create_group(name)
    _set_names(group, "associated_dims", dims)
    _set_names(group, "associated_fields", ())
    group.attrs["bc_type"] = kind.value.upper()
    group.attrs["sample_varying"] = sample_varying
    group.attrs["time_varying"] = False
    group.create_dataset("mask", data=mask, track_times=False)
