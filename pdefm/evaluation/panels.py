"""Fields side by side: truth, predictions and their errors on shared scales."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pdefm.data.trajectory import Trajectory
from pdefm.evaluation.fields import (
    OUTSIDE,
    ColourScale,
    error_scale,
    field_label,
    field_scale,
    matching_frames,
    picture_values,
    time_label,
)
from pdefm.evaluation.plots import LINE_COLOURS, TRUTH_COLOUR, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


@dataclass(frozen=True)
class Comparison:
    """Aligned values ``[frame, x]`` or ``[frame, x, y]`` and the scales that all of them share."""

    truth: np.ndarray
    predictions: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    scale: ColourScale
    error_scale: ColourScale

    @classmethod
    def between(
        cls,
        truth: Trajectory,
        predictions: Mapping[str, Trajectory],
        field: str,
        frames: list[int],
    ) -> "Comparison":
        """Cut the pictures out of trajectories, matched by time.

        Raises:
            DataError: No such field, or a prediction that lacks one of the times.
        """
        reference = picture_values(truth, field, frames)
        values = {
            label: picture_values(each, field, matching_frames(truth, each, frames))
            for label, each in predictions.items()
        }
        errors = {label: each - reference for label, each in values.items()}
        scale = field_scale(reference)
        return cls(reference, values, errors, scale, error_scale(list(errors.values()), scale))


def relative_error(error: np.ndarray, truth: np.ndarray) -> float:
    """``||error|| / ||truth||`` of one picture, ignoring points outside the mask."""
    inside = np.isfinite(truth)
    return float(np.linalg.norm(error[inside]) / (np.linalg.norm(truth[inside]) + 1e-8))


def draw_picture(
    axes: "Axes", values: np.ndarray, scale: ColourScale, trajectory: Trajectory
) -> "AxesImage":
    """One field ``[x, y]``, x to the right and y up, in the grid's own lengths."""
    from matplotlib import colormaps

    x, y = trajectory.grid.axes[:2]
    ratio = max(x.extent, y.extent) / min(x.extent, y.extent)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(
        values.T,  # [y, x]
        origin="lower",
        extent=(x.origin, x.origin + x.extent, y.origin, y.origin + y.extent),
        aspect="equal" if ratio <= 4 else "auto",
        cmap=colormaps[scale.cmap].with_extremes(bad=OUTSIDE),
        vmin=scale.low,
        vmax=scale.high,
        interpolation="nearest",
    )


def picture_ratio(trajectory: Trajectory) -> float:
    """Height over width of one picture."""
    x, y = trajectory.grid.axes[:2]
    return float(np.clip(y.extent / x.extent, 0.25, 2.0))


def add_colour_bar(
    figure: "Figure", image: "AxesImage", axes: Sequence["Axes"], extend: str, label: str
) -> None:
    """Thin bar to the right of some pictures, with arrows where values leave the scale."""
    fraction = 0.06 if len(axes) == 1 else 0.03
    bar = figure.colorbar(
        image, ax=list(axes), extend=extend, fraction=fraction, pad=0.015, aspect=28
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _pictures_panel(
    truth: Trajectory, comparison: Comparison, titles: list[str], label: str
) -> "Figure":
    """Rows truth, predictions, then errors; columns times."""
    rows = [("truth", comparison.truth, comparison.scale)]
    rows += [(name, each, comparison.scale) for name, each in comparison.predictions.items()]
    rows += [
        (f"error, {name}", each, comparison.error_scale) for name, each in comparison.errors.items()
    ]
    columns = len(titles)
    width = min(2.25, 9.0 / columns)
    height = width * picture_ratio(truth)
    figure = new_figure(width * columns + 1.4, (height + 0.28) * len(rows) + 0.3)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    images = {}
    for axes_row, (name, values, scale) in zip(grid, rows, strict=True):
        for axes, value in zip(axes_row, values, strict=True):
            images[scale] = draw_picture(axes, value, scale, truth)
        axes_row[0].set_ylabel(name, fontsize=10)
        if scale is comparison.error_scale:
            for axes, error, true in zip(axes_row, values, comparison.truth, strict=True):
                text = f"relative L2 {relative_error(error, true):.3g}"
                axes.set_xlabel(text, fontsize=9, color="0.3")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    for scale, text in ((comparison.scale, label), (comparison.error_scale, f"error, {label}")):
        members = [(axes, row) for axes, row in zip(grid, rows, strict=True) if row[2] is scale]
        shown = np.concatenate([row[1].ravel() for _, row in members])
        bar_axes = [axes for axes_row, _ in members for axes in axes_row]
        add_colour_bar(figure, images[scale], bar_axes, scale.extend(shown), text)
    return figure


def _lines_panel(
    truth: Trajectory, comparison: Comparison, titles: list[str], label: str
) -> "Figure":
    """One space axis: truth and predictions as lines above their errors; columns times."""
    x = truth.grid.axes[0].coordinates()
    columns = len(titles)
    figure = new_figure(min(3.0, 9.6 / columns) * columns + 0.8, 4.6)
    upper, lower = figure.subplots(
        2, columns, sharex=True, sharey="row", squeeze=False, height_ratios=[2, 1]
    )
    for frame, title in enumerate(titles):
        upper[frame].plot(x, comparison.truth[frame], color=TRUTH_COLOUR, label="truth")
        for position, (name, values) in enumerate(comparison.predictions.items()):
            colour = LINE_COLOURS[position % len(LINE_COLOURS)]
            upper[frame].plot(x, values[frame], "--", color=colour, label=name)
            lower[frame].plot(x, comparison.errors[name][frame], color=colour)
        upper[frame].set_title(title, fontsize=10)
        lower[frame].set_xlabel(truth.grid.names[0])
        lower[frame].axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
        for axes in (upper[frame], lower[frame]):
            axes.spines[["top", "right"]].set_visible(False)
    upper[0].set_ylim(*line_limits(comparison))
    lower[0].set_ylim(comparison.error_scale.low * 1.1, comparison.error_scale.high * 1.1)
    upper[0].set_ylabel(label)
    lower[0].set_ylabel("error")
    upper[0].legend(frameon=False, fontsize=8)
    return figure


def line_limits(comparison: Comparison) -> tuple[float, float]:
    """Vertical range of line pictures: the truth's, with room for a prediction that misses."""
    finite = comparison.truth[np.isfinite(comparison.truth)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    room = 0.15 * (high - low) or 0.5
    return low - room, high + room


def comparison_panel(
    truth: Trajectory,
    predictions: Mapping[str, Trajectory],
    field: str,
    steps: Sequence[int],
    *,
    time_unit: str = "",
) -> "Figure":
    """Truth, each prediction and its error at several times, on shared colour scales.

    The field's scale comes from the truth and is diverging if the field is signed; errors share
    their own diverging scale. Three space axes show the central slice, one shows lines.

    Args:
        truth: Reference.
        predictions: Label to forecast on the same grid; matched by time.
        field: Which channel.
        steps: Frames of the truth, one column each.
        time_unit: Written above the columns.

    Raises:
        DataError: No such field, or a prediction that lacks one of the times.
    """
    frames = list(steps)
    comparison = Comparison.between(truth, predictions, field, frames)
    titles = [time_label(float(truth.times[frame]), time_unit) for frame in frames]
    draw = _lines_panel if truth.grid.num_dims == 1 else _pictures_panel
    return draw(truth, comparison, titles, field_label(truth, field))
