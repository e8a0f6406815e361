"""From the points that a file stores to an evenly spaced axis."""

import warnings

import numpy as np

from pdefm.domain import Axis


def axis_from_points(name: str, points: np.ndarray, periodic: bool, where: str) -> Axis:
    """Evenly spaced axis through these points; its extent is spacing times number of points.

    Warns if the points are not evenly spaced, because the axis then is an approximation.

    Args:
        name: Of the axis.
        points: ``[num_points]``, growing.
        periodic: Then the first point is the origin, otherwise it is the centre of the first cell.
        where: File, for the warning.
    """
    if len(points) < 2:
        return Axis(name, len(points), 1.0, periodic, float(points[0]) if len(points) else 0.0)
    # Single-precision points give the spacing to about six digits; more would be noise.
    digits = 12 if points.dtype == np.float64 else 6
    steps = np.diff(points.astype(np.float64))
    spacing = float(steps.mean())
    if np.abs(steps - spacing).max() > 1e-2 * abs(spacing):
        warnings.warn(
            f"{where}: axis {name} is not evenly spaced ({steps.min():.4g} to {steps.max():.4g}), "
            "treated as even",
            stacklevel=2,
        )
    extent = float(f"{abs(spacing) * len(points):.{digits}g}")
    first = float(points[0]) - (0.0 if periodic else spacing / 2)
    return Axis(name, len(points), extent, periodic, round(first, digits))
