"""Writer of NetCDF-4: named dimensions, coordinates, units, for tools of other fields."""

from pathlib import Path

import numpy as np

from pdefm.data.collection import TrajectorySequence
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
    import h5netcdf

    if not len(trajectories):
        raise DataError(f"{path}: nothing to write", got="no trajectories", do="Give at least one")
    first = trajectories[0]
    for other in trajectories:
        if (other.names, other.fields.shape) != (first.names, first.fields.shape):
            raise DataError(f"{path}: one file holds trajectories of one kind", got=other.names)
    axes = [axis.name for axis in first.grid.axes]
    with atomic_path(Path(path)) as temporary, h5netcdf.File(temporary, "w") as file:
        file.attrs["Conventions"] = "CF-1.8"
        file.attrs["source"] = str(first.source)
        sizes = dict(zip(axes, first.grid.shape, strict=True))
        file.dimensions = {"member": len(trajectories), "time": first.num_frames, **sizes}
        file.create_variable("time", ("time",), data=first.times.numpy().astype("f8"))
        for axis in first.grid.axes:
            file.create_variable(axis.name, (axis.name,), data=np.asarray(axis.coordinates(), "f8"))
        for position, (name, unit) in enumerate(zip(first.names, first.units, strict=True)):
            variable = file.create_variable(
                name, ("member", "time", *axes), "f4", fillvalue=np.float32("nan")
            )
            variable.attrs["units"] = unit
            for member, trajectory in enumerate(trajectories):
                values = trajectory.fields[:, position]
                if trajectory.mask is not None:
                    values = values.masked_fill(~trajectory.mask, float("nan"))
                variable[member] = values.numpy()
    return Path(path)
