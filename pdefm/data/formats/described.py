"""What the user says about a file, laid over what the file says itself."""

from dataclasses import replace

import torch

from pdefm.data.description import Description, choose_one_per_channel
from pdefm.data.trajectory import Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid


def describe(trajectory: Trajectory, description: Description, start: int = 0) -> Trajectory:
    """The trajectory with names, units, ``dt``, extent and boundary as the user said.

    Args:
        trajectory: Frames as the file describes them.
        description: What is not said stays.
        start: Number of the first frame in its file, for the times that ``dt`` gives.

    Raises:
        DataError: Not one name or unit a channel, or not one extent an axis.
    """
    said, where = description, trajectory.source.name
    names = choose_one_per_channel(said.names, trajectory.names, where=where, option="names")
    units = choose_one_per_channel(said.units, trajectory.units, where=where, option="units")
    boundary, times = trajectory.boundary, trajectory.times
    if said.boundary is not None:
        boundary = uniform_boundary(said.boundary, trajectory.grid.num_dims)
    if said.dt is not None:
        stop = start + trajectory.num_frames
        times = torch.arange(start, stop, dtype=torch.float64) * said.dt
    extent = said.extent or trajectory.grid.extent
    Grid.regular(trajectory.grid.shape, extent)  # says so if the number of extents is wrong
    axes = tuple(
        Axis(axis.name, axis.num_points, length, BoundaryCondition.PERIODIC in sides, axis.origin)
        for axis, length, sides in zip(trajectory.grid.axes, extent, boundary, strict=True)
    )
    return replace(
        trajectory, names=names, units=units, boundary=boundary, times=times, grid=Grid(axes)
    )
