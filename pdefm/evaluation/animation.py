"""A rollout in motion, as GIF or MP4: truth, prediction and error side by side."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pdefm.data.trajectory import Trajectory
from pdefm.evaluation.fields import common_frames, field_label, time_label
from pdefm.evaluation.panels import (
    Comparison,
    add_colour_bar,
    draw_picture,
    line_limits,
    picture_ratio,
)
from pdefm.evaluation.plots import LINE_COLOURS, TRUTH_COLOUR, new_figure
from pdefm.evaluation.video import write_film
from pdefm.files import write_bytes_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

MAX_FRAMES = 60
FRAMES_PER_SECOND = 8
Update = Callable[[int], None]


def _pictures(truth: Trajectory, comparison: Comparison, label: str) -> tuple["Figure", Update]:
    """Figure of the first frame, and what moves it to another one."""
    rows = len(comparison.predictions)
    height = 2.85 * picture_ratio(truth) + 0.45
    figure = new_figure(10.4, height * rows + 0.3)
    grid = figure.subplots(rows, 3, squeeze=False)
    moving = []
    for axes_row, name in zip(grid, comparison.predictions, strict=True):
        prediction, error = comparison.predictions[name], comparison.errors[name]
        parts = (
            ("truth", comparison.truth, comparison.scale),
            (name, prediction, comparison.scale),
            (f"error, {name}", error, comparison.error_scale),
        )
        for axes, (title, values, scale) in zip(axes_row, parts, strict=True):
            moving.append((draw_picture(axes, values[0], scale, truth), values))
            axes.set_title(title, fontsize=10)
        extend = comparison.scale.extend(np.stack([comparison.truth, prediction]))
        add_colour_bar(figure, axes_row[1].images[0], axes_row[:2], extend, label)
        extend = comparison.error_scale.extend(error)
        add_colour_bar(figure, axes_row[2].images[0], axes_row[2:], extend, f"error, {label}")

    def update(frame: int) -> None:
        for image, values in moving:
            image.set_data(values[frame].T)  # [y, x]

    return figure, update


def _lines(truth: Trajectory, comparison: Comparison, label: str) -> tuple["Figure", Update]:
    """Same for one space axis: values left, errors right."""
    figure = new_figure(10.4, 3.4)
    left, right = figure.subplots(1, 2)
    x = truth.grid.axes[0].coordinates()
    moving = [
        (left.plot(x, comparison.truth[0], color=TRUTH_COLOUR, label="truth")[0], comparison.truth)
    ]
    for position, (name, values) in enumerate(comparison.predictions.items()):
        colour = LINE_COLOURS[position % len(LINE_COLOURS)]
        moving += [(left.plot(x, values[0], "--", color=colour, label=name)[0], values)]
        error = comparison.errors[name]
        moving += [(right.plot(x, error[0], color=colour)[0], error)]
    left.set_ylim(*line_limits(comparison))
    right.set_ylim(comparison.error_scale.low * 1.1, comparison.error_scale.high * 1.1)
    for axes, text in ((left, label), (right, "error")):
        axes.set_ylabel(text)
        axes.set_xlabel(truth.grid.names[0])
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=9, loc="upper right")

    def update(frame: int) -> None:
        for line, values in moving:
            line.set_ydata(values[frame])

    return figure, update


def _render(figure: "Figure", update: Update, labels: list[str]) -> list["Image"]:
    """One RGB image a frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(100)
    title = figure.suptitle(labels[0], fontsize=11)
    canvas.draw()
    figure.set_layout_engine("none")  # fixed from here on, so that nothing jitters
    images = []
    for frame, label in enumerate(labels):
        update(frame)
        title.set_text(label)
        canvas.draw()
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    return images


def _palette(comparison: Comparison) -> "Image":
    """256 colours made for the two scales, the curves and grey text on white."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb
    from PIL import Image

    parts = [
        colormaps[comparison.scale.cmap](np.linspace(0, 1, 112))[:, :3],
        colormaps[comparison.error_scale.cmap](np.linspace(0, 1, 96))[:, :3],
        np.linspace(0, 1, 24)[:, None].repeat(3, axis=1),
        *(np.linspace(to_rgb(colour), (1, 1, 1), 4, endpoint=False) for colour in LINE_COLOURS),
    ]
    colours = np.round(255 * np.concatenate(parts)).astype(np.uint8)
    holder = Image.new("P", (1, 1))
    holder.putpalette(colours.flatten().tolist())
    return holder


def _encode(images: list["Image"], palette: "Image", fps: int) -> bytes:
    """GIF bytes with one palette for all frames, so that colours do not flicker."""
    from PIL import Image

    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _draw(
    truth: Trajectory, predictions: Mapping[str, Trajectory], field: str, time_unit: str
) -> tuple[list["Image"], Comparison]:
    """A picture of each time that all predictions cover, thinned to at most 60."""
    covered = common_frames(truth, predictions)
    frames = covered[:: -(-len(covered) // MAX_FRAMES)]
    comparison = Comparison.between(truth, predictions, field, frames)
    draw = _lines if truth.grid.num_dims == 1 else _pictures
    figure, update = draw(truth, comparison, field_label(truth, field))
    labels = [time_label(float(truth.times[frame]), time_unit) for frame in frames]
    return _render(figure, update, labels), comparison


def gif_bytes(
    truth: Trajectory,
    predictions: Mapping[str, Trajectory],
    field: str,
    fps: int = FRAMES_PER_SECOND,
    *,
    time_unit: str = "",
) -> bytes:
    """Animation of the times that all predictions cover, thinned to at most 60 frames.

    Raises:
        DataError: No such field, no prediction, or no common time.
    """
    images, comparison = _draw(truth, predictions, field, time_unit)
    return _encode(images, _palette(comparison), fps)


def write_gif(
    path: str | Path,
    truth: Trajectory,
    predictions: Mapping[str, Trajectory],
    field: str,
    fps: int = FRAMES_PER_SECOND,
    *,
    time_unit: str = "",
) -> Path:
    """Write the animation of :func:`gif_bytes`; truth, prediction and error in one row a model.

    Args:
        path: Where to; its folder is made.
        truth: Reference.
        predictions: Label to forecast on the same grid; matched by time.
        field: Which channel.
        fps: Frames a second.
        time_unit: Written beside the time.

    Returns:
        The path.

    Raises:
        DataError: No such field, no prediction, or no common time.
        EnvironmentFault: The file cannot be written.
    """
    write_bytes_atomic(path, gif_bytes(truth, predictions, field, fps, time_unit=time_unit))
    return Path(path)


def write_mp4(
    path: str | Path,
    truth: Trajectory,
    predictions: Mapping[str, Trajectory],
    field: str,
    fps: int = FRAMES_PER_SECOND,
    *,
    time_unit: str = "",
) -> Path:
    """Write the frames of :func:`write_gif` as an H.264 film; arguments as there.

    Returns:
        The path.

    Raises:
        DataError: No such field, no prediction, or no common time.
        EnvironmentFault: The file cannot be written, or the extra ``video`` is not installed.
    """
    images, _ = _draw(truth, predictions, field, time_unit)
    write_film(path, images, fps)
    return Path(path)
