"""Writer of NetCDF-4: named dimensions, coordinates, units, for tools of other fields."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from pdefm.data.collection import TrajectorySequence
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError
from pdefm.files import atomic_path


def write_netcdf(path: Path, trajectories: TrajectorySequence) -> Path:
    """Write trajectories of one kind: each field is a variable ``[member, time, *space]``.

    Points outside a mask are ``_FillValue``. A lone trajectory has a member axis too.

    Args:
        path: The file; an existing one is replaced when everything is written.
        trajectories: Equal names, grid and number of frames.

    Returns:
        ``path``.

    Raises:
        DataError: No trajectory, or trajectories that do not belong into one file.
        EnvironmentFault: The file cannot be written.
    """
    if not len(trajectories):
        raise DataError(f"{path}: nothing to write", got="no trajectories", do="Give at least one")
    first = trajectories[0]
    for other in trajectories:
        if (other.names, other.fields.shape) != (first.names, first.fields.shape):
            raise DataError(f"{path}: one file holds trajectories of one kind", got=other.names)
    with _netcdf(path, first, len(trajectories)) as write:
        for member, trajectory in enumerate(trajectories):
            write((member, slice(None)), trajectory.fields.transpose(0, 1))
    return Path(path)


@contextmanager
def stream_netcdf(
    path: Path, like: Trajectory, num_trajectories: int
) -> Iterator[Callable[[int, Tensor], None]]:
    """The same file as :func:`write_netcdf`, written frame by frame, so that none is kept.

    Args:
        path: The file; an existing one is replaced when the block succeeds.
        like: All but the values of ``fields``, which may be an expanded view without memory.
        num_trajectories: They share everything but the fields.

    Yields:
        A function of the number of a frame and its values ``[trajectory, channel, *space]``.

    Raises:
        EnvironmentFault: The file cannot be written.
    """
    with _netcdf(path, like, num_trajectories) as write:
        yield lambda step, frames: write((slice(None), step), frames.transpose(0, 1))


@contextmanager
def _netcdf(
    path: Path, first: Trajectory, num_members: int
) -> Iterator[Callable[[tuple[int | slice, int | slice], Tensor], None]]:
    """A file without values, and what puts ``[channel, ..., *space]`` at a member and time."""
    import h5netcdf

    axes = [axis.name for axis in first.grid.axes]
    with atomic_path(Path(path)) as temporary, h5netcdf.File(temporary, "w") as file:
        file.attrs["Conventions"] = "CF-1.8"
        file.attrs["source"] = str(first.source)
        sizes = dict(zip(axes, first.grid.shape, strict=True))
        file.dimensions = {"member": num_members, "time": first.num_frames, **sizes}
        file.create_variable("time", ("time",), data=first.times.numpy().astype("f8"))
        for axis in first.grid.axes:
            file.create_variable(axis.name, (axis.name,), data=np.asarray(axis.coordinates(), "f8"))
        variables = []
        for name, unit in zip(first.names, first.units, strict=True):
            variable = file.create_variable(
                name, ("member", "time", *axes), "f4", fillvalue=np.float32("nan")
            )
            variable.attrs["units"] = unit
            variables.append(variable)

        def write(place: tuple[int | slice, int | slice], fields: Tensor) -> None:
            if first.mask is not None:
                fields = fields.masked_fill(~first.mask, float("nan"))
            for variable, values in zip(variables, fields, strict=True):
                variable[place] = values.cpu().numpy()

        yield write
