"""Pictures of a run: fields side by side, errors over time, spectra."""

from typing import TYPE_CHECKING

from pdefm.demo.simulate import Run
from pdefm.evaluation.fields import field_label, time_label
from pdefm.evaluation.panels import (
    Comparison,
    add_colour_bar,
    draw_picture,
    line_limits,
    picture_ratio,
    relative_error,
)
from pdefm.evaluation.plots import (
    LINE_COLOURS,
    TRUTH_COLOUR,
    error_versus_time,
    new_figure,
    spectra,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 9.0
CURVE_SIZE = (4.5, 2.7)


def side_by_side(run: Run, field: str, step: int) -> "Figure":
    """Truth, model and error of one field after ``step`` steps; scales are those of the whole run.

    Args:
        run: What to show.
        field: Which channel.
        step: From 1.
    """
    truth = run.future
    comparison = Comparison.between(
        truth, {"model": run.prediction}, field, list(range(run.num_steps))
    )
    solver = run.truth_name
    label = field_label(truth, field)
    now = time_label(float(truth.times[step - 1]), "")
    if truth.grid.num_dims == 1:
        return _lines(run, comparison, step - 1, solver, f"{label}, {now}")
    figure = new_figure(WIDTH, min(2.37 * picture_ratio(truth) + 0.3, 4.2))
    axes = figure.subplots(1, 3)
    error = comparison.errors["model"]
    both = (comparison.truth[step - 1], comparison.predictions["model"][step - 1])
    parts = (
        (f"{solver}, {now}", both[0], comparison.scale),
        (f"model, {now}", both[1], comparison.scale),
        (
            f"model - {solver}, relative L2 {relative_error(error[step - 1], both[0]):.3g}",
            error[step - 1],
            comparison.error_scale,
        ),
    )
    images = []
    for place, (title, values, scale) in zip(axes, parts, strict=True):
        images.append(draw_picture(place, values, scale, truth))
        place.set_title(title, fontsize=9)
    extend = comparison.scale.extend(comparison.predictions["model"])
    add_colour_bar(figure, images[0], list(axes[:2]), extend, label)
    add_colour_bar(figure, images[2], [axes[2]], comparison.error_scale.extend(error), "error")
    return figure


def _lines(run: Run, comparison: Comparison, frame: int, solver: str, label: str) -> "Figure":
    x = run.truth.grid.axes[0].coordinates()
    figure = new_figure(WIDTH, 2.9)
    left, right = figure.subplots(1, 2)
    left.plot(x, comparison.truth[frame], color=TRUTH_COLOUR, label=solver)
    model = comparison.predictions["model"][frame]
    left.plot(x, model, "--", color=LINE_COLOURS[0], label="model")
    right.plot(x, comparison.errors["model"][frame], color=LINE_COLOURS[1])
    left.set_ylim(*line_limits(comparison))
    right.set_ylim(comparison.error_scale.low * 1.1, comparison.error_scale.high * 1.1)
    left.set_ylabel(label)
    right.set_ylabel(f"model - {solver}")
    left.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_xlabel(run.truth.grid.names[0])
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _small(figure: "Figure") -> "Figure":
    figure.set_size_inches(*CURVE_SIZE)
    for axes in figure.axes:
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
        axes.tick_params(which="both", labelsize=8)
    return figure


def error_curve(run: Run, step: int) -> "Figure":
    """Relative L2 error of every field over time, with a line at the step that is shown."""
    last_known = float(run.truth.times[-1 - run.num_steps])
    times = [float(time) - last_known for time in run.prediction.times]
    curves = {
        name.replace("_", " "): {"relative_l2": {"mean": values}}
        for name, values in run.errors.items()
    }
    figure = error_versus_time(curves, times)
    figure.axes[0].set_title("all fields", fontsize=10, loc="left")
    figure.axes[0].axvline(times[step - 1], color="0.6", linewidth=0.8, zorder=0)
    return _small(figure)


def spectrum(run: Run, field: str, step: int) -> "Figure":
    """Energy spectrum of truth and model after ``step`` steps."""
    figure = _small(spectra(run.future, {"model": run.prediction}, field, step - 1))
    legend = figure.axes[0].get_legend()
    if legend is not None:
        legend.get_texts()[0].set_text(run.truth_name)
    return figure
