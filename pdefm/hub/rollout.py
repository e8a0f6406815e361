"""Rollout of a model and data given by name, into a file that its suffix describes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdefm.adapters import read_adapter
from pdefm.data.open import open_trajectories
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, EnvironmentFault, NumericalError, RecipeError
from pdefm.evaluation.rollout import NOISE_FRACTION, rollout_ensemble
from pdefm.evaluation.rollout_checks import broken_rules, check_rollout
from pdefm.hub.folder import ADAPTER_CONFIG, TRAINING, read_json
from pdefm.hub.load import load_by_name
from pdefm.hub.resolve import resolve
from pdefm.metrics import relative_l2
from pdefm.models.processing_pde import PDEProcessor
from pdefm.progress import progress
from pdefm.rollout_metrics import spread_skill
from pdefm.tasks import TASKS

SUFFIXES = (".hdf5", ".h5", ".nc", ".gif", ".png")


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


def _write(out: Path, truth: Trajectory, members: list[Trajectory], field: str) -> None:
    mean = torch.stack([member.fields for member in members]).mean(0)
    prediction = replace(members[0], fields=mean)
    if out.suffix == ".gif":
        from pdefm.evaluation.animation import write_gif

        write_gif(out, truth, {"prediction": prediction}, field)
    elif out.suffix == ".png":
        from pdefm.data.picture import draw_frames

        draw_frames(prediction, out)
    elif out.suffix == ".nc":
        from pdefm.data.formats.netcdf_writer import write_netcdf

        write_netcdf(out, members)
    else:
        from pdefm.data.formats.well_writer import write_well

        write_well(out, members, dataset_name="rollout")


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
    ensemble: int = 1,
    noise: float | None = None,
    check: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Roll out one trajectory and write the predicted frames.

    Args:
        model: Name of the model.
        adapter: Its adapter.
        data: File or folder that holds the history.
        out: ``.hdf5`` (The Well's layout), ``.nc``, ``.gif`` or ``.png``.
        num_steps: Frames to predict.
        index: Which trajectory.
        start_frame: First frame of the history; -1 continues from the end of the data.
        field: Field of the animation; default the first.
        split: Split of the data.
        format: Format of the data.
        trust: Open the data without looking into them first.
        options: Description of the data.
        ensemble: Members, from perturbed histories; pictures show their mean, and a file of data
            has a trajectory a member.
        noise: Their perturbation over the RMS of each field; ``None`` is that of the training.
        check: ``flag`` says what should not be believed, ``stop`` refuses to write it.
        seed: Of the perturbations.
        overwrite: Replace an existing file.

    Returns:
        ``out``, ``num_steps``, ``times``, ``relative_l2`` of the mean at every step that the data
        cover, of an ensemble its ``noise`` and ``spread_skill``, and what ``checks`` found.

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
    if noise is None:
        noise = training_noise(adapter or model) if ensemble > 1 else 0.0
    with progress("rollout", num_steps, unit="steps") as advance:
        members = rollout_ensemble(
            loaded,
            processor,
            history,
            num_steps,
            ensemble,
            noise_fraction=noise if ensemble > 1 else 0.0,
            seed=seed,
            advance=advance,
        )
    report: dict[str, Any] = {
        "out": str(out),
        "num_steps": num_steps,
        "times": members[0].times.tolist(),
        **_errors(members, covered, truth),
    }
    if ensemble > 1:
        report |= {"num_members": ensemble, "noise": noise}
    if check is not None:
        report["checks"] = _checked(history, members, processor, stop=check == "stop")
    _write(out, truth, members, chosen)
    return report


def _errors(members: list[Trajectory], covered: Tensor, truth: Trajectory) -> dict[str, Any]:
    """Errors at every step that the data cover, averaged over the fields."""
    mask = None if truth.mask is None else truth.mask[None]
    frames = torch.stack([member.fields[: len(covered)] for member in members])[:, None]
    target = covered[None]
    found = {"relative_l2": relative_l2(frames.mean(0), target, mask=mask)}
    if len(members) > 1 and len(covered):
        found["spread_skill"] = spread_skill(frames, target, mask=mask)
    return {name: values.mean((0, 2)).tolist() for name, values in found.items()}


def _checked(
    history: Trajectory, members: list[Trajectory], processor: PDEProcessor, *, stop: bool
) -> list[str]:
    """Rules that a member breaks.

    Raises:
        NumericalError: Some are, and the rollout shall stop.
    """
    lines: dict[str, None] = {}
    for member in members:
        lines |= dict.fromkeys(broken_rules(check_rollout(history, member, processor)))
    if lines and stop:
        raise NumericalError(
            f"the rollout should not be believed: {next(iter(lines))}",
            got=f"{len(lines)} broken rules",
            do="Roll out fewer steps, fine-tune the model on such data, or use --check flag",
        )
    return list(lines)


def training_noise(name: str) -> float:
    """Noise that a model or adapter was trained with, as far as its folder tells."""
    folder = resolve(name)
    if (folder / ADAPTER_CONFIG).is_file():
        options = read_adapter(folder).task_options
    else:
        path = folder / TRAINING
        recipe = read_json(path).get("recipe", {}) if path.is_file() else {}
        options = recipe.get("task") or {}
    return float(options.get("noise_fraction", NOISE_FRACTION))
