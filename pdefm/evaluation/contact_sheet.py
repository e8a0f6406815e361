"""A rollout on one page: truth, prediction and error of every field at a few times."""

from collections.abc import Sequence
from pathlib import Path

from pdefm.data.trajectory import Trajectory
from pdefm.evaluation.fields import field_label, spread_frames, time_label
from pdefm.evaluation.panels import Comparison, draw_panel, panel_size
from pdefm.evaluation.plots import new_figure, png_bytes
from pdefm.files import write_bytes_atomic

MAX_COLUMNS = 6


def sheet_steps(num_steps: int, num_known: int) -> list[int]:
    """Steps (from 0) that a sheet shows, about half of them where the truth is known.

    Args:
        num_steps: Of the rollout.
        num_known: Steps that the data cover, the first ones.
    """
    beyond = list(range(num_known, num_steps))
    if not num_known or not beyond:
        return spread_frames(list(range(num_steps)), MAX_COLUMNS)
    half = MAX_COLUMNS // 2
    before = list(range(num_known))
    columns = max(half, MAX_COLUMNS - len(beyond))
    chosen = spread_frames(before, columns)
    return chosen + spread_frames(beyond[::-1], MAX_COLUMNS - len(chosen))[::-1]


def write_contact_sheet(
    path: str | Path,
    prediction: Trajectory,
    truth: Trajectory | None,
    fields: Sequence[str],
    *,
    time_unit: str = "",
) -> Path:
    """Write a picture whose columns are times and whose rows are truth, prediction and error.

    Each field has a colour scale for truth and prediction and one for the error. Beyond the end of
    the truth there is the prediction alone.

    Args:
        path: Where to; its folder is made.
        prediction: The frames to show.
        truth: The first of these frames as they should be; ``None`` if none is known.
        fields: Which channels.
        time_unit: Written beside the times.

    Returns:
        The path.

    Raises:
        DataError: No such field.
        EnvironmentFault: The file cannot be written.
    """
    comparisons = [Comparison.with_start(prediction, truth, field) for field in fields]
    titles = [time_label(time, time_unit) for time in prediction.times.tolist()]
    width, height = panel_size(prediction, len(titles), 1 if truth is None else 3)
    figure = new_figure(width, height * len(fields))
    parts = figure.subfigures(len(fields), 1, squeeze=False)[:, 0]
    for part, comparison, field in zip(parts, comparisons, fields, strict=True):
        draw_panel(part, prediction, comparison, titles, field_label(prediction, field))
    write_bytes_atomic(path, png_bytes(figure))
    return Path(path)
