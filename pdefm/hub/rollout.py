"""Rollout of a model and data given by name, into a file that its suffix describes."""

from pathlib import Path
from typing import Any

from pdefm.adapters import read_adapter
from pdefm.data.open import open_trajectories
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.evaluation.rollout import rollout
from pdefm.hub.load import load_by_name
from pdefm.hub.resolve import resolve
from pdefm.metrics import relative_l2
from pdefm.models.processing_pde import PDEProcessor
from pdefm.tasks import TASKS

SUFFIXES = (".hdf5", ".h5", ".gif", ".png")


def _check_out(out: Path, overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise RecipeError(
            "--out has an unknown suffix", got=out.name, do=f"Use one of {', '.join(SUFFIXES)}"
        )
    if out.exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")


def _check_forecasts(adapter: str) -> None:
    task = read_adapter(resolve(adapter)).task
    if not TASKS[task].forecasts:
        raise RecipeError(
            f"adapter {adapter} does not forecast",
            got=f"task {task}",
            do="Use pdefm evaluate, or model.task in Python",
        )


def _history(trajectory: Trajectory, start_frame: int, processor: PDEProcessor) -> Trajectory:
    """The frames that the rollout starts from; -1 means the last ones."""
    first = trajectory.num_frames - processor.history if start_frame < 0 else start_frame
    stop = first + processor.history
    if first < 0 or stop > trajectory.num_frames:
        raise DataError(
            f"{trajectory.source}: the model needs {processor.history} frames from frame {first}",
            got=f"{trajectory.num_frames} frames",
            do="Give longer trajectories or an earlier --start-frame",
        )
    return trajectory.frames(first, stop)


def _write(out: Path, truth: Trajectory, prediction: Trajectory, field: str) -> None:
    if out.suffix == ".gif":
        from pdefm.evaluation.animation import write_gif

        write_gif(out, truth, {"prediction": prediction}, field)
    elif out.suffix == ".png":
        from pdefm.data.picture import draw_frames

        draw_frames(prediction, out)
    else:
        from pdefm.data.formats.well_writer import write_well

        write_well(out, [prediction], dataset_name="rollout")


def rollout_by_name(
    model: str,
    adapter: str | None,
    data: str,
    out: str | Path,
    *,
    num_steps: int,
    index: int = 0,
    start_frame: int = 0,
    field: str | None = None,
    split: str | None = None,
    format: str = "auto",
    trust: bool = False,
    options: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Roll out one trajectory and write the predicted frames.

    Args:
        model: Name of the model.
        adapter: Its adapter.
        data: File or folder that holds the history.
        out: ``.hdf5`` (The Well's layout), ``.gif`` or ``.png``.
        num_steps: Frames to predict.
        index: Which trajectory.
        start_frame: First frame of the history; -1 continues from the end of the data.
        field: Field of the animation; default the first.
        split: Split of the data.
        format: Format of the data.
        trust: Open the data without looking into them first.
        options: Description of the data.
        overwrite: Replace an existing file.

    Returns:
        ``out``, ``num_steps``, ``times``, and ``relative_l2`` of every step that the data cover.

    Raises:
        PdefmError: As the parts say; nothing is written then.
    """
    out = Path(out)
    _check_out(out, overwrite)
    collection = open_trajectories(data, format, split=split, trust=trust, **(options or {}))
    if not -len(collection) <= index < len(collection):
        raise DataError("no such trajectory", got=index, do=f"There are {len(collection)}")
    if adapter is not None:
        _check_forecasts(adapter)
    loaded, processor = load_by_name(model, adapter)
    truth = collection[index]
    chosen = truth.names[0] if field is None else field
    history = _history(truth, start_frame, processor)
    first = int((truth.times <= history.times[-1]).sum())
    covered = truth.fields[first : first + num_steps]
    if out.suffix == ".gif" and not len(covered):
        raise DataError(
            "an animation shows the prediction beside the truth, and the data end where it starts",
            got=f"{truth.num_frames} frames",
            do="Use an earlier --start-frame, or write .png or .hdf5",
        )
    prediction = rollout(loaded, processor, history, num_steps)
    _write(out, truth, prediction, chosen)
    errors = relative_l2(prediction.fields[None, : len(covered)], covered[None])
    return {
        "out": str(out),
        "num_steps": num_steps,
        "times": prediction.times.tolist(),
        "relative_l2": errors.mean((0, 2)).tolist(),
    }
