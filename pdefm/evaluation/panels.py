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
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.image import AxesImage


@dataclass(frozen=True)
class Comparison:
    """Aligned values ``[frame, x]`` or ``[frame, x, y]`` and the scales that all of them share.

    The truth and the errors may end before the predictions.
    """

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

    @classmethod
    def with_start(
        cls, prediction: Trajectory, truth: Trajectory | None, field: str
    ) -> "Comparison":
        """All frames of a prediction beside the truth of the first ones, or of none.

        Raises:
            DataError: No such field.
        """
        values = picture_values(prediction, field, list(range(prediction.num_frames)))
        known = 0 if truth is None else truth.num_frames
        start = values[:0] if truth is None else picture_values(truth, field, list(range(known)))
        error = values[:known] - start
        scale = field_scale(start if known else values)
        errors = {"prediction": error}
        return cls(start, {"prediction": values}, errors, scale, error_scale([error], scale))

    @property
    def num_known(self) -> int:
        """Frames whose truth is known."""
        return len(self.truth)


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
    figure: "FigureBase", image: "AxesImage", axes: Sequence["Axes"], extend: str, label: str
) -> None:
    """Thin bar to the right of some pictures, with arrows where values leave the scale."""
    fraction = 0.06 if len(axes) == 1 else 0.03
    bar = figure.colorbar(
        image, ax=list(axes), extend=extend, fraction=fraction, pad=0.015, aspect=28
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def panel_size(trajectory: Trajectory, num_columns: int, num_rows: int) -> tuple[float, float]:
    """Width and height in inches of rows of pictures, or of lines for one space axis."""
    if trajectory.grid.num_dims == 1:
        return min(3.0, 9.6 / num_columns) * num_columns + 0.8, 4.6 if num_rows > 1 else 3.2
    width = min(2.25, 9.0 / num_columns)
    height = width * picture_ratio(trajectory)
    return width * num_columns + 1.4, (height + 0.28) * num_rows + 0.3


def draw_panel(
    figure: "FigureBase", like: Trajectory, comparison: Comparison, titles: list[str], label: str
) -> None:
    """Draw truth, predictions and errors; columns are times.

    Columns beyond ``comparison.num_known`` have no truth and so no error.
    """
    draw = _draw_lines if like.grid.num_dims == 1 else _draw_pictures
    draw(figure, like, comparison, titles, label)


def _draw_pictures(
    figure: "FigureBase", like: Trajectory, comparison: Comparison, titles: list[str], label: str
) -> None:
    """Rows truth, predictions, then errors."""
    known = comparison.num_known
    rows = [(name, each, comparison.scale, len(titles)) for name, each in
            comparison.predictions.items()]  # fmt: skip
    if known:
        rows.insert(0, ("truth", comparison.truth, comparison.scale, known))
        for name, each in comparison.errors.items():
            rows.append((f"error, {name}", each, comparison.error_scale, known))
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    images = {}
    for axes_row, (name, values, scale, shown) in zip(grid, rows, strict=True):
        for axes, value in zip(axes_row[:shown], values, strict=False):
            images[scale] = draw_picture(axes, value, scale, like)
        for axes in axes_row[shown:]:
            axes.set_visible(False)
        axes_row[0].set_ylabel(name, fontsize=10)
        if scale is comparison.error_scale:
            for axes, error, true in zip(axes_row[:known], values, comparison.truth, strict=False):
                text = f"relative L2 {relative_error(error, true):.3g}"
                axes.set_xlabel(text, fontsize=9, color="0.3")
    for column, title in enumerate(titles):
        top = 1 if 0 < known <= column else 0
        grid[top][column].set_title(title, fontsize=10)
    for scale, text in ((comparison.scale, label), (comparison.error_scale, f"error, {label}")):
        members = [(axes, row) for axes, row in zip(grid, rows, strict=True) if row[2] is scale]
        if members:
            shown = np.concatenate([row[1].ravel() for _, row in members])
            bar_axes = [axes for axes_row, _ in members for axes in axes_row]
            add_colour_bar(figure, images[scale], bar_axes, scale.extend(shown), text)


def _draw_lines(
    figure: "FigureBase", like: Trajectory, comparison: Comparison, titles: list[str], label: str
) -> None:
    """One space axis: truth and predictions as lines above their errors."""
    x = like.grid.axes[0].coordinates()
    known = comparison.num_known
    num_rows = 2 if known else 1
    grid = figure.subplots(
        *(num_rows, len(titles)), sharex=True, sharey="row", squeeze=False,
        height_ratios=[2, 1][:num_rows],
    )  # fmt: skip
    for frame, title in enumerate(titles):
        upper, lowest = grid[0][frame], grid[-1][frame]
        if frame < known:
            upper.plot(x, comparison.truth[frame], color=TRUTH_COLOUR, label="truth")
        for position, (name, values) in enumerate(comparison.predictions.items()):
            colour = LINE_COLOURS[position % len(LINE_COLOURS)]
            upper.plot(x, values[frame], "--", color=colour, label=name)
            if frame < known:
                lowest.plot(x, comparison.errors[name][frame], color=colour)
        upper.set_title(title, fontsize=10)
        if frame < known:
            lowest.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
        elif known:
            lowest.set_visible(False)
            lowest = upper
            upper.tick_params(labelbottom=True)
        lowest.set_xlabel(like.grid.names[0])
        for axes in (upper, lowest):
            axes.spines[["top", "right"]].set_visible(False)
    grid[0][0].set_ylim(*line_limits(comparison))
    grid[0][0].set_ylabel(label)
    grid[0][0].legend(frameon=False, fontsize=8)
    if known:
        grid[1][0].set_ylim(comparison.error_scale.low * 1.1, comparison.error_scale.high * 1.1)
        grid[1][0].set_ylabel("error")


def line_limits(comparison: Comparison) -> tuple[float, float]:
    """Vertical range of line pictures: the truth's, with room for a prediction that misses."""
    shown = [comparison.truth] if comparison.num_known else list(comparison.predictions.values())
    finite = np.concatenate([values[np.isfinite(values)] for values in shown])
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
    figure = new_figure(*panel_size(truth, len(frames), 1 + 2 * len(predictions)))
    draw_panel(figure, truth, comparison, titles, field_label(truth, field))
    return figure
