"""Curves of a training run and of an evaluation, as matplotlib figures without global state."""

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pdefm.data.trajectory import Trajectory
from pdefm.evaluation.fields import NO_UNIT, channel_index, matching_frames, time_label
from pdefm.metrics import radial_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), without the yellow that fades on white.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))  # when the colours are used up
TRUTH_COLOUR = "#000000"
DOTS_PER_INCH = 150
PERSISTENCE = "persistence"
METRIC_LABELS = {"relative_l2": "relative L2 error", "nrmse": "nRMSE", "vrmse": "VRMSE"}


def new_figure(width: float, height: float) -> "Figure":
    """Empty figure in inches whose parts do not overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def png_bytes(figure: "Figure") -> bytes:
    """The figure as a PNG file, sharp on dense screens."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    return buffer.getvalue()


def _tidy(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)


def _label_of(name: str) -> str:
    return METRIC_LABELS.get(name, name.replace("_", " "))


def line_style(label: str, position: int) -> dict[str, Any]:
    """Colour and dashes of a curve; persistence is always dashed grey."""
    if label == PERSISTENCE:
        return {"color": "0.45", "linestyle": "--"}
    dashes = DASHES[position // len(LINE_COLOURS) % len(DASHES)]
    return {"color": LINE_COLOURS[position % len(LINE_COLOURS)], "linestyle": dashes}


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one number; a step written twice (after a resume) counts once."""
    last = {line["step"]: line[key] for line in lines if line.get(key) is not None}
    steps = sorted(last)
    return np.array(steps), np.array([float(last[step]) for step in steps])


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Geometric mean over a trailing window, so that log-scale noise averages evenly."""
    logs = np.log(np.maximum(values, 1e-30))
    sums = np.cumsum(np.insert(logs, 0, 0.0))
    ends = np.arange(1, len(logs) + 1)
    starts = np.maximum(ends - width, 0)
    return np.exp((sums[ends] - sums[starts]) / (ends - starts))


def _draw_loss(axes: "Axes", lines: Sequence[Mapping[str, Any]]) -> None:
    steps, loss = _series(lines, "loss")
    finite = np.isfinite(loss)
    width = max(1, len(loss) // 40)
    kept = loss[finite]
    if width > 1:
        axes.plot(steps[finite], kept, color=LINE_COLOURS[0], alpha=0.3, linewidth=0.8)
    axes.plot(
        steps[finite],
        _smooth(kept, width),
        color=LINE_COLOURS[0],
        linewidth=1.8,
        label="training loss" + (f", mean of {width} lines" if width > 1 else ""),
    )
    for step in steps[~finite]:
        axes.axvline(step, color=LINE_COLOURS[1], linewidth=0.8, linestyle=":")


def _draw_validation(axes: "Axes", lines: Sequence[Mapping[str, Any]]) -> None:
    measured = [line for line in lines if line.get("validation")]
    sources = sorted({source for line in measured for source in line["validation"]})
    for position, source in enumerate(sources, start=1):
        points = [{"step": line["step"], **line["validation"]} for line in measured]
        steps, errors = _series(points, source)
        axes.plot(
            steps,
            errors,
            marker="o",
            markersize=4.5,
            linewidth=0.8,
            label=f"validation, {source}",
            **line_style(source, position),
        )


def loss_curves(metrics_lines: Sequence[Mapping[str, Any]]) -> "Figure":
    """Training loss and validation error on a log scale above the learning rate.

    A dotted vertical line marks a step whose loss was not finite.

    Args:
        metrics_lines: Rows of ``metrics.jsonl``, training and validation mixed.
    """
    figure = new_figure(10.4, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    _draw_loss(upper, metrics_lines)
    _draw_validation(upper, metrics_lines)
    steps, rate = _series(metrics_lines, "learning_rate")
    lower.plot(steps, rate, color="0.35", linewidth=1.4)
    upper.set_yscale("log")
    upper.set_ylabel("loss, relative L2 error")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    lower.set_ylim(bottom=0)
    lower.set_ylabel("learning rate")
    lower.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    lower.set_xlabel("optimizer step")
    figure.align_ylabels()
    for axes in (upper, lower):
        _tidy(axes)
    return figure


def mixture_shares(metrics_lines: Sequence[Mapping[str, Any]]) -> "Figure":
    """Share of every source in the samples so far, over the steps.

    Args:
        metrics_lines: Rows of ``metrics.jsonl``.
    """
    rows = [line for line in metrics_lines if line.get("shares")]
    names = sorted({name for line in rows for name in line["shares"]})
    steps = [line["step"] for line in rows]
    figure = new_figure(10.4, 2.8)
    axes = figure.subplots()
    for position, name in enumerate(names, start=1):  # the colours of the validation errors
        values = [line["shares"].get(name, 0.0) for line in rows]
        axes.plot(steps, values, label=name, **line_style(name, position))
    axes.set_ylim(0, None)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("share of samples")
    _tidy(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _finite_band(band: Mapping[str, Sequence[float | None]], key: str) -> np.ndarray:
    """One curve of a band; what JSON could not hold (null) is a gap."""
    return np.array([math.nan if value is None else float(value) for value in band[key]])


def error_versus_time(
    curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float | None]]]],
    times: Sequence[float],
    *,
    metric: str = "relative_l2",
    time_unit: str = "",
) -> "Figure":
    """Error of each model while it rolls out: the mean, and the 10th to 90th percentile as a band.

    Args:
        curves: Label to ``per_step`` of results.json, ``{metric: {mean, p10, p90}}``.
        times: Physical time of each step since the last known frame.
        metric: Which one to draw.
        time_unit: Written at the axis.
    """
    figure = new_figure(10.4, 3.8)
    axes = figure.subplots()
    drawn = []
    for position, (label, per_step) in enumerate(curves.items()):
        if metric not in per_step:
            continue
        style = line_style(label, position)
        mean = _finite_band(per_step[metric], "mean")
        axes.plot(times, mean, linewidth=1.8, marker="o", markersize=3, label=label, **style)
        if {"p10", "p90"} <= per_step[metric].keys():
            low, high = (_finite_band(per_step[metric], key) for key in ("p10", "p90"))
            axes.fill_between(times, low, high, color=style["color"], alpha=0.15, linewidth=0)
        drawn.append(mean)
    values = np.concatenate(drawn) if drawn else np.array([])
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size and positive.max() > 10 * positive.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel("time since the last known frame" + (f" [{time_unit}]" if time_unit else ""))
    axes.set_ylabel(_label_of(metric))
    axes.legend(frameon=False, fontsize=9)
    _tidy(axes)
    return figure


def _spectrum(trajectory: Trajectory, field: str, frame: int) -> np.ndarray:
    """Energy a wavenumber shell; 3-D data is cut at the middle of the last axis."""
    values = trajectory.fields[frame, channel_index(trajectory, field)].detach().double().cpu()
    if values.ndim == 1:
        energy = torch.fft.rfft(values, norm="forward").abs().square()
        energy[1 : (len(values) + 1) // 2] *= 2  # negative wavenumbers carry the other half
        return energy.numpy()
    if values.ndim == 3:
        values = values[..., values.shape[-1] // 2]
    return radial_spectrum(values[None, None, None])[0, 0, 0].numpy()


def spectra(
    truth: Trajectory,
    predictions: Mapping[str, Trajectory],
    field: str,
    step: int,
    *,
    time_unit: str = "",
) -> "Figure":
    """Energy spectrum of the truth and of each prediction at one time, on log-log axes.

    Args:
        truth: Reference.
        predictions: Label to forecast on the same grid; matched by time.
        field: Which channel.
        step: Frame of the truth.
        time_unit: Written in the title.

    Raises:
        DataError: No such field, or a prediction without a frame at that time.
    """
    figure = new_figure(10.4, 3.8)
    axes = figure.subplots()
    energies = {"truth": _spectrum(truth, field, step)}
    for label, prediction in predictions.items():
        frame = matching_frames(truth, prediction, [step])[0]
        energies[label] = _spectrum(prediction, field, frame)
    for position, (label, energy) in enumerate(energies.items()):
        is_truth = label == "truth"
        style: dict[str, Any] = (
            {"color": TRUTH_COLOUR} if is_truth else line_style(label, position - 1)
        )
        shown = energy[1:]  # the mean has no place on a log axis
        name = label if np.isfinite(shown).all() else f"{label} (not finite)"
        axes.plot(np.arange(1, len(energy)), shown, linewidth=1.6, label=name, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    largest = float(energies["truth"][1:].max(initial=0.0))
    if largest > 0:  # rounding noise far below the signal says nothing
        axes.set_ylim(bottom=max(largest * 1e-12, axes.get_ylim()[0]))
    axes.set_xlabel("wavenumber, periods per domain")
    unit = truth.units[channel_index(truth, field)]
    squared = "" if unit in NO_UNIT else f" [({unit})$^2$]"
    axes.set_ylabel(f"energy of {field.replace('_', ' ')}{squared}")
    axes.set_title(time_label(float(truth.times[step]), time_unit), fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9)
    _tidy(axes)
    return figure
