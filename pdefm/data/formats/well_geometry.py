"""Grid, boundary conditions, mask and times of a file in The Well's specification."""

import numpy as np

from pdefm.data.formats.axis_points import axis_from_points
from pdefm.data.formats.hdf5_file import HdfNode, as_names, as_text
from pdefm.data.formats.well_layout import WellLayout
from pdefm.data.trajectory import Boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError

MASK_GROUP = "domain_mask"  # the group of boundary conditions that our writer keeps a mask in


def read_boundary(file: HdfNode, layout: WellLayout, index: int, where: str) -> Boundary:
    """Condition at both sides of every axis; open where the file says nothing.

    As in The Well's own reader, a side is a wall if the whole side is, and open or periodic if any
    point of it is. A periodic axis is periodic at both sides, even if its mask is empty.
    """
    sides = {name: [BoundaryCondition.OPEN] * 2 for name in layout.axis_names}
    for name, group in file.get("boundary_conditions", {}).items():
        dims = as_names(group.attrs.get("associated_dims"))
        if name == MASK_GROUP or not set(dims) <= set(sides):
            continue
        kind = _condition(as_text(group.attrs.get("bc_type", "open")), f"{where}: {name}")
        if kind is BoundaryCondition.PERIODIC:
            sides |= {dim: [kind, kind] for dim in dims}
            continue
        mask = _sample_mask(group, len(dims), index)
        for position, dim in enumerate(dims):
            for side, point in enumerate((0, -1)):
                edge = mask.take(point, axis=position)
                covered = edge.all() if kind is BoundaryCondition.WALL else edge.any()
                if covered:
                    sides[dim][side] = kind
    return tuple((sides[name][0], sides[name][1]) for name in layout.axis_names)


def find_walls(file: HdfNode, layout: WellLayout) -> tuple[str, ...]:
    """Groups of boundary conditions that may hold walls inside the domain: over all axes."""
    return tuple(
        name
        for name, group in file.get("boundary_conditions", {}).items()
        if name == MASK_GROUP
        or (
            len(dims := as_names(group.attrs.get("associated_dims"))) > 1
            and dims == layout.axis_names
            and as_text(group.attrs.get("bc_type", "open")).lower() == BoundaryCondition.WALL
        )
    )


def read_mask(
    file: HdfNode, layout: WellLayout, groups: tuple[str, ...], index: int
) -> np.ndarray | None:
    """True inside the domain, ``[*space]``; ``None`` if there are no walls inside it.

    A group that is not of our writer counts if it covers points that lie on no side.
    """
    for name in groups:
        walls = _sample_mask(file["boundary_conditions"][name], len(layout.shape), index)
        if name == MASK_GROUP or walls[(slice(1, -1),) * walls.ndim].any():
            return np.logical_not(walls)
    return None


def read_grid(file: HdfNode, layout: WellLayout, index: int, boundary: Boundary) -> Grid:
    """Evenly spaced axes; the extent is the spacing times the number of points.

    Warns if the stored points are not evenly spaced, because the grid then is an approximation.
    """
    axes = []
    for name, sides in zip(layout.axis_names, boundary, strict=True):
        data = file["dimensions"][name]
        points = np.asarray(data[index] if data.ndim > 1 else data[()])
        periodic = BoundaryCondition.PERIODIC in sides
        if "extent" in data.attrs:  # our own writer keeps what points alone give only to rounding
            extent, origin = float(data.attrs["extent"]), float(data.attrs["origin"])
            axes.append(Axis(name, len(points), extent, periodic, origin))
        else:
            axes.append(axis_from_points(name, points, periodic, file.filename))
    return Grid(tuple(axes))


def read_times(file: HdfNode, layout: WellLayout, index: int) -> np.ndarray:
    """Times of one trajectory, ``[time]``; the number of the frame if the file has none."""
    if "time" not in file["dimensions"]:
        return np.arange(layout.num_frames, dtype=np.float32)
    data = file["dimensions"]["time"]
    times = np.atleast_1d(data[index] if data.ndim > 1 else data[()])[: layout.num_frames]
    return times if np.issubdtype(times.dtype, np.floating) else times.astype(np.float32)


def _sample_mask(group: HdfNode, num_dims: int, index: int) -> np.ndarray:
    data = group["mask"]
    if data.ndim > num_dims and group.attrs.get("sample_varying", False):
        mask = np.asarray(data[index], dtype=bool)
    else:
        mask = np.asarray(data[()], dtype=bool)
    while mask.ndim > num_dims:  # a mask that changes in time: what is a wall at some time
        mask = np.any(mask, axis=0)
    return mask


def _condition(word: str, where: str) -> BoundaryCondition:
    try:
        return BoundaryCondition(word.lower())
    except ValueError:
        raise DataError(
            f"{where}: unknown bc_type",
            got=f"'{word}'",
            do="The Well knows WALL, OPEN and PERIODIC; give --boundary to override",
        ) from None
