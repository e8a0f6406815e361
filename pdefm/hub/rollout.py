"""Rollout of a model and data given by name, into a file that its suffix describes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pdefm.adapters import read_adapter
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.open import open_trajectories
from pdefm.data.solved_again import find_sample
from pdefm.data.trajectory import Source, Trajectory
from pdefm.errors import DataError, NumericalError, RecipeError
from pdefm.evaluation.fields import channel_index
from pdefm.evaluation.rollout import NOISE_FRACTION, rollout_times, stream_rollout
from pdefm.evaluation.rollout_checks import RolloutCheck, broken_rules
from pdefm.evaluation.speed import speed_of
from pdefm.hub.folder import ADAPTER_CONFIG, TRAINING, read_json
from pdefm.hub.load import load_by_name
from pdefm.hub.resolve import resolve
from pdefm.hub.rollout_output import AddFrame, check_out, rollout_output
from pdefm.metrics import relative_l2
from pdefm.models.processing_pde import PDEProcessor
from pdefm.progress import progress
from pdefm.rollout_metrics import spread_skill
from pdefm.tasks import TASKS

BLOCK = 64
"""Frames of the truth that are read at a time."""


def _check_forecasts(adapter: str) -> None:
    task = read_adapter(resolve(adapter)).task
    if not TASKS[task].forecasts:
        raise RecipeError(
            f"adapter {adapter} does not forecast",
            got=f"task {task}",
            do="Use pdefm evaluate, or model.task in Python",
        )


def _first_frame(
    collection: TrajectoryCollection, index: int, start_frame: int, processor: PDEProcessor
) -> int:
    """First frame of the history that the rollout starts from; -1 means the last ones."""
    num_frames = collection.num_frames(index)
    first = num_frames - processor.history if start_frame < 0 else start_frame
    if first < 0 or first + processor.history > num_frames:
        raise DataError(
            f"{collection.path}[{index}]: the model needs {processor.history} frames from frame"
            f" {first}",
            got=f"{num_frames} frames",
            do="Give longer trajectories or an earlier --start-frame",
        )
    return first


def _truth_frames(
    collection: TrajectoryCollection, index: int, start: int, stop: int
) -> Iterator[Float[Tensor, "channel *space"]]:
    """Frames of the data one by one, read in blocks."""
    for first in range(start, stop, BLOCK):
        yield from collection.read(index, first, min(first + BLOCK, stop)).fields


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
    speed: bool = True,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Roll out one trajectory and write the predicted frames as they come; none is kept.

    Args:
        model: Name of the model.
        adapter: Its adapter.
        data: File or folder that holds the history.
        out: ``.hdf5`` (The Well's layout), ``.nc``, ``.gif``, ``.mp4`` or ``.png``.
        num_steps: Frames to predict.
        index: Which trajectory.
        start_frame: First frame of the history; -1 continues from the end of the data.
        field: Field of the animation (default the first) or of the picture (default all).
        split: Split of the data.
        format: Format of the data.
        trust: Open the data without looking into them first.
        options: Description of the data.
        ensemble: Members, from perturbed histories; pictures show their mean, and a file of data
            has a trajectory a member.
        noise: Their perturbation over the RMS of each field; ``None`` is that of the training.
        check: ``flag`` says what should not be believed, ``stop`` refuses to write it.
        speed: Also time the solver that made the data, if they say which one that was.
        seed: Of the perturbations.
        overwrite: Replace an existing file.

    Returns:
        ``out``, ``num_steps``, ``times``, ``relative_l2`` of the mean at every step that the data
        cover, of an ensemble its ``noise`` and ``spread_skill``, what ``checks`` found, and the
        ``speed`` of the model and of the solver.

    Raises:
        PdefmError: As the parts say; nothing is written then.
    """
    out = Path(out)
    check_out(out, overwrite)
    collection = open_trajectories(data, format, split=split, trust=trust, **(options or {}))
    if not -len(collection) <= index < len(collection):
        raise DataError("no such trajectory", got=index, do=f"There are {len(collection)}")
    if adapter is not None:
        _check_forecasts(adapter)
    loaded, processor = load_by_name(model, adapter)
    first = _first_frame(collection, index, start_frame, processor)
    after = first + processor.history
    history = collection.read(index, first, after)
    if field is not None:
        channel_index(history, field)
    if noise is None:
        noise = training_noise(adapter or model) if ensemble > 1 else 0.0
    num_known = max(min(collection.num_frames(index) - after, num_steps), 0)
    frames = stream_rollout(
        loaded,
        processor,
        history,
        num_steps,
        ensemble,
        noise_fraction=noise if ensemble > 1 else 0.0,
        seed=seed,
    )
    meter = _Meter(history, RolloutCheck(history, processor) if check else None)
    truth = _truth_frames(collection, index, after, after + num_known)
    like = _without_memory(history, num_steps)
    fields = [field] if field else list(history.names)
    with rollout_output(out, like, ensemble, num_known, fields) as add:
        meter.follow(frames, truth, num_steps, add, stop=check == "stop")
    report: dict[str, Any] = {
        "out": str(out),
        "num_steps": num_steps,
        "times": like.times.tolist(),
        **meter.errors,
    }
    if ensemble > 1:
        report |= {"num_members": ensemble, "noise": noise}
    if meter.check is not None:
        report["checks"] = broken_rules(meter.check.first)
    if speed:
        sample = find_sample(collection, index)
        found = speed_of(meter.seconds, num_steps * ensemble, sample)
        report |= {"speed": found.report() | {"is": str(found)}}
    return report


def _without_memory(history: Trajectory, num_steps: int) -> Trajectory:
    """Description of a rollout; its values are a view of one frame."""
    fields = history.fields[-1:].expand(num_steps, *history.fields.shape[1:])
    source = Source(f"rollout of {history.source}")
    times = rollout_times(history, num_steps)
    return replace(history, fields=fields, times=times, source=source)


class _Meter:
    """What is measured while the frames go by; none of them is kept.

    Attributes:
        errors: ``relative_l2`` of the mean at every step that the data cover, averaged over the
            fields, and of an ensemble ``spread_skill``.
        seconds: Wall time of the model alone.
    """

    def __init__(self, history: Trajectory, check: RolloutCheck | None) -> None:
        self.mask = None if history.mask is None else history.mask[None]
        self.check = check
        self.errors: dict[str, list[float]] = {"relative_l2": []}
        self.seconds = 0.0

    def follow(
        self,
        frames: Iterator[Tensor],
        truth: Iterator[Tensor],
        num_steps: int,
        add: AddFrame,
        *,
        stop: bool,
    ) -> None:
        """Take every frame, measure it and hand it on.

        Raises:
            NumericalError: A rule is broken, and the rollout shall stop.
        """
        with progress("rollout", num_steps, unit="steps") as advance:
            for step in range(num_steps):
                start = time.perf_counter()
                frame = next(frames)  # [member, channel, *space]
                self.seconds += time.perf_counter() - start
                lines = [] if self.check is None else self.check.add(frame)
                if lines and stop:
                    raise NumericalError(
                        f"the rollout should not be believed: {lines[0]}",
                        got=f"step {step + 1} of {num_steps}",
                        do="Roll out fewer steps, fine-tune the model on such data, or use"
                        " --check flag",
                    )
                target = next(truth, None)
                if target is not None:
                    self._compare(frame, target)
                add(step, frame, target)
                advance(1)

    def _compare(self, frame: Tensor, target: Tensor) -> None:
        members, wanted = frame[:, None, None], target[None, None]  # [member, 1, 1, C, *space]
        found = {"relative_l2": relative_l2(members.mean(0), wanted, mask=self.mask)}
        if len(members) > 1:
            found["spread_skill"] = spread_skill(members, wanted, mask=self.mask)
        for name, values in found.items():
            self.errors.setdefault(name, []).append(float(values.mean()))


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
