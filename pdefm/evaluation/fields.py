"""What a picture of a field shows: which values, which scale, which words."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError
from pdefm.registry import nearest_name_hint

NO_UNIT = ("unknown", "dimensionless", "")
OUTSIDE = "0.85"  # grey of points outside the mask and of values that are not finite


@dataclass(frozen=True)
class ColourScale:
    """Colour map and its limits, in the unit of the field."""

    cmap: str
    low: float
    high: float

    def extend(self, values: np.ndarray) -> str:
        """Which ends of the colour bar values leave (matplotlib's word)."""
        finite = values[np.isfinite(values)]
        margin = 1e-6 * (self.high - self.low)
        below = finite.size > 0 and finite.min() < self.low - margin
        above = finite.size > 0 and finite.max() > self.high + margin
        return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def channel_index(trajectory: Trajectory, field: str) -> int:
    """Channel of a field.

    Raises:
        DataError: No field of that name.
    """
    if field not in trajectory.names:
        raise DataError(
            "unknown field", got=f"'{field}'", do=nearest_name_hint(field, list(trajectory.names))
        )
    return trajectory.names.index(field)


def picture_values(trajectory: Trajectory, field: str, frames: list[int]) -> np.ndarray:
    """Values to draw, float64 ``[frame, x]`` or ``[frame, x, y]``, NaN outside the mask.

    Three space axes are cut at the middle of the last one.
    """
    channel = channel_index(trajectory, field)
    values = trajectory.fields[frames, channel].detach().double().cpu().numpy()
    mask = None if trajectory.mask is None else trajectory.mask.cpu().numpy()
    if trajectory.grid.num_dims == 3:
        middle = trajectory.grid.shape[2] // 2
        values, mask = values[..., middle], None if mask is None else mask[..., middle]
    if mask is not None:
        values = np.where(mask, values, np.nan)
    return values


def matching_frames(truth: Trajectory, prediction: Trajectory, frames: list[int]) -> list[int]:
    """Frames of a prediction that lie at the times of given frames of the truth.

    Raises:
        DataError: The prediction has no frame at one of these times.
    """
    tolerance = 1e-3 * truth.dt + 1e-9
    matches = []
    for frame in frames:
        distance = (prediction.times.double() - truth.times[frame].double()).abs()
        nearest = int(distance.argmin())
        if float(distance[nearest]) > tolerance:
            raise DataError(
                f"{prediction.source}: no frame at time {float(truth.times[frame]):g}",
                got=f"{float(prediction.times[0]):g} to {float(prediction.times[-1]):g}",
                do="Choose frames that the prediction covers",
            )
        matches.append(nearest)
    return matches


def common_frames(truth: Trajectory, predictions: Mapping[str, Trajectory]) -> list[int]:
    """Frames of the truth that every prediction covers.

    Raises:
        DataError: There is no prediction, or no such frame.
    """
    tolerance = 1e-3 * truth.dt + 1e-9
    covered = []
    for frame, time in enumerate(truth.times.double()):
        distances = [(each.times.double() - time).abs().min() for each in predictions.values()]
        if distances and all(float(distance) <= tolerance for distance in distances):
            covered.append(frame)
    if not covered:
        raise DataError(
            f"{truth.source}: no prediction shares a time with the truth",
            do="Roll out from a frame of this trajectory",
        )
    return covered


def field_scale(truth: np.ndarray) -> ColourScale:
    """Scale of the truth, used for predictions too: diverging about zero if the field is signed.

    It comes from the truth alone, so that a prediction that blows up cannot wash it out.
    """
    finite = truth[np.isfinite(truth)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 < high and min(-low, high) > 0.1 * max(-low, high):
        limit = max(-low, high)
        return ColourScale("RdBu_r", -limit, limit)
    pad = 0.0 if high > low else 0.5 * max(abs(high), 1e-12)
    return ColourScale("viridis", low - pad, high + pad)


def error_scale(errors: list[np.ndarray], truth: ColourScale) -> ColourScale:
    """Diverging scale about zero for all errors, never wider than the field's own scale.

    It ends at the 99.5th percentile: a few outliers would leave everything else white.
    """
    finite = np.concatenate([error[np.isfinite(error)] for error in errors])
    widest = truth.high - truth.low
    limit = float(np.percentile(np.abs(finite), 99.5)) if finite.size else widest
    limit = min(limit or 1e-12, widest)
    return ColourScale("PuOr_r", -limit, limit)


def time_label(time: float, unit: str) -> str:
    """Such as ``t = 0.25 s``."""
    return f"t = {time:.4g} {unit}".rstrip()


def field_label(trajectory: Trajectory, field: str) -> str:
    """Name and unit, such as ``vorticity [1/s]``; an unknown unit is left out."""
    unit = trajectory.units[channel_index(trajectory, field)]
    name = field.replace("_", " ")
    return name if unit in NO_UNIT else f"{name} [{unit}]"


def spread_frames(frames: list[int], count: int) -> list[int]:
    """At most ``count`` frames, first and last included, evenly between."""
    if len(frames) <= count:
        return frames
    last = len(frames) - 1
    return [frames[round(i * last / (count - 1))] for i in range(count)]
