"""Pictures of trajectories."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pdefm.data.trajectory import Trajectory
from pdefm.files import write_bytes_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERGING_BALANCE = 0.25
"""Fields whose smaller side reaches this part of the larger are drawn around zero."""


def draw_frames(trajectory: Trajectory, path: str | Path, num_frames: int = 4) -> Path:
    """Draw a row a channel and a few frames in columns, evenly spread, as a PNG.

    x points right and y up. Three-dimensional fields show the middle slice in z, one-dimensional
    ones a curve. One colour scale a channel; points outside the domain and values that are not
    finite stay grey.

    Args:
        trajectory: Physical units.
        path: The picture; an existing one is replaced.
        num_frames: At most so many columns.

    Returns:
        ``path``.

    Raises:
        EnvironmentFault: The picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    columns = min(num_frames, trajectory.num_frames)
    frames = np.linspace(0, trajectory.num_frames - 1, columns).round().astype(int)
    rows = len(trajectory.names)
    height = 2.1 * _panel_shape(trajectory) + 0.4
    figure = Figure(figsize=(2.6 * columns + 1.0, height * rows + 0.6), layout="compressed")
    FigureCanvasAgg(figure)
    figure.suptitle(str(trajectory.source.name).rpartition("/")[2])
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey="row")
    for channel in range(rows):
        values = _slices(trajectory, channel, frames)
        low, high, colours = _colour_scale(values)
        image: Any = None
        for column, panel in enumerate(panels[channel]):
            image = _draw_panel(panel, trajectory, values[column], low, high, colours)
            panel.label_outer()
            panel.set_box_aspect(_panel_shape(trajectory))
            if channel == 0:
                panel.set_title(f"t = {float(trajectory.times[frames[column]]):.4g}")
        label = _label(trajectory, channel)
        if image is None:
            panels[channel][0].set_ylabel(label)
        else:
            figure.colorbar(image, ax=list(panels[channel]), label=label, shrink=0.9)
    return _save(figure, path)


def draw_gallery(trajectories: Sequence[Trajectory], path: str | Path, columns: int = 8) -> Path:
    """Draw one page with a panel for the last frame of a field of each trajectory, as a PNG.

    The field is the first one that is no component of a vector, if there is one. Panels are drawn
    as by ``draw_frames``, each with a colour scale of its own; one space axis is drawn along x with
    time upwards.

    Args:
        trajectories: Physical units; the source's name becomes the title.
        path: The picture; an existing one is replaced.
        columns: At most so many panels in a row.

    Returns:
        ``path``.

    Raises:
        EnvironmentFault: The picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(trajectories))
    rows = -(-len(trajectories) // columns)
    figure = Figure(figsize=(2.5 * columns, 2.0 * rows + 0.2), layout="compressed")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, trajectory in zip(panels, trajectories, strict=False):
        last = trajectory.num_frames - 1
        in_time = trajectory.grid.num_dims == 1
        frames = np.arange(last + 1) if in_time else np.array([last])
        channel = _telling_channel(trajectory)
        values = _slices(trajectory, channel, frames)
        image = _draw_panel(panel, trajectory, values if in_time else values[0],
                            *_colour_scale(values))  # fmt: skip
        when = "steady" if last == 0 else f"t = {float(trajectory.times[last]):.4g}"
        field = _label(trajectory, channel)
        panel.set_title(trajectory.source.name.replace("_", " "), fontsize=10)
        panel.set_xlabel(field if in_time else f"{field}, {when}", fontsize=8)
        panel.set_ylabel(f"0 < {when}" if in_time else "", fontsize=8)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_box_aspect(_panel_shape(trajectory))
        figure.colorbar(image, ax=panel, shrink=0.7, aspect=14).ax.tick_params(labelsize=7)
    for panel in panels[len(trajectories) :]:
        panel.set_visible(False)
    return _save(figure, Path(path))


def _telling_channel(trajectory: Trajectory) -> int:
    suffixes = tuple(f"_{axis}" for axis in trajectory.grid.names)
    scalars = [i for i, name in enumerate(trajectory.names) if not name.endswith(suffixes)]
    return scalars[0] if scalars else 0


def _save(figure: "Figure", path: Path) -> Path:
    picture = BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    write_bytes_atomic(path, picture.getvalue())
    return path


def _panel_shape(trajectory: Trajectory) -> float:
    """Height over width: as the domain is, unless that would be a ribbon."""
    extent = trajectory.grid.extent
    return min(max(extent[1] / extent[0], 0.4), 2.5) if len(extent) > 1 else 0.8


def _label(trajectory: Trajectory, channel: int) -> str:
    unit = trajectory.units[channel]
    name = trajectory.names[channel]
    return name if unit in ("unknown", "dimensionless") else f"{name} [{unit}]"


def _slices(trajectory: Trajectory, channel: int, frames: np.ndarray) -> np.ma.MaskedArray:
    """``[frame, x]`` or ``[frame, x, y]``, masked outside the domain and where not finite."""
    values = trajectory.fields[frames, channel].detach().cpu().float().numpy()
    hidden = ~np.isfinite(values)
    if trajectory.mask is not None:
        hidden = hidden | ~trajectory.mask.cpu().numpy()
    if trajectory.grid.num_dims == 3:
        middle = values.shape[-1] // 2
        values, hidden = values[..., middle], hidden[..., middle]
    return np.ma.MaskedArray(values, hidden)


def _colour_scale(values: np.ma.MaskedArray) -> tuple[float, float, str]:
    """Limits and colours: around zero for fields of both signs, else from least to largest."""
    if values.count() == 0:
        return 0.0, 1.0, "viridis"
    low, high = float(values.min()), float(values.max())
    largest = max(abs(low), abs(high))
    if low < 0 < high and min(-low, high) > DIVERGING_BALANCE * largest:
        return -largest, largest, "RdBu_r"
    return (low, high, "viridis") if low < high else (low - 0.5, high + 0.5, "viridis")


def _draw_panel(
    panel: "Axes",
    trajectory: Trajectory,
    values: np.ma.MaskedArray,
    low: float,
    high: float,
    colours: str,
) -> Any:
    axes = trajectory.grid.axes
    panel.set_xlabel(axes[0].name)
    if len(axes) == 1 and values.ndim == 1:
        panel.plot(axes[0].coordinates(), values, color="tab:blue")
        margin = 0.05 * (high - low)
        panel.set_ylim(low - margin, high + margin)
        return None
    panel.set_facecolor("0.6")
    sides = [(axis.origin, axis.origin + axis.extent) for axis in axes[:2]]
    if len(axes) == 1:  # [time, x]: rows are times already
        sides.append((float(trajectory.times[0]), float(trajectory.times[-1])))
    else:
        panel.set_ylabel(axes[1].name)
    return panel.imshow(
        values if len(axes) == 1 else values.T,  # [x, y] becomes [row, column]
        origin="lower",
        extent=(*sides[0], *sides[1]),
        vmin=low,
        vmax=high,
        cmap=colours,
        aspect="auto",
    )
