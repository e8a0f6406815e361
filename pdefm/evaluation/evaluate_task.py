"""Datasets x the metrics of a task that does not forecast, into one results.json."""

import hashlib
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from pdefm.data.batch import Batch, collate
from pdefm.data.collection import TrajectoryCollection
from pdefm.errors import DataError
from pdefm.evaluation.evaluate import add_to_digest, wall_time
from pdefm.progress import progress
from pdefm.provenance import provenance
from pdefm.tasks.base import Task

REDUCTION = "metric of every trajectory, as the task defines it; then the mean over trajectories"
BATCH_SIZE = 16
Errors = dict[str, dict[str, Tensor]]  # label to metric to [batch]


@torch.no_grad()
def _batch_errors(model: nn.Module, task: Task, batch: Batch) -> Errors:
    """Errors of the model and of the task's baselines on one batch."""
    prepared = task.prepare(batch)
    predictions = {"model": task.predict(model, prepared), **task.baselines(prepared)}
    return {label: task.metrics(values, prepared) for label, values in predictions.items()}


def _dataset(
    name: str,
    collection: TrajectoryCollection,
    model: nn.Module,
    task: Task,
    start_frame: int,
    count: int,
) -> dict[str, Any]:
    """Errors on one dataset, a window a trajectory."""
    history, target = task.num_history_frames, task.num_validation_frames()
    stop = start_frame + history + target
    shortest = min(collection.num_frames(i) for i in range(count))
    if shortest < stop:
        raise DataError(
            f"{name}: task {task.name} needs {stop} frames from the first on",
            got=f"{shortest} frames",
            do="Use longer trajectories or an earlier --start-frame",
        )
    parts: list[Errors] = []
    digest = hashlib.sha256()
    with progress(f"evaluate {name}", count, unit="trajectories") as advance:
        for first in range(0, count, BATCH_SIZE):
            windows = [
                collection.read(i, start_frame, stop)
                for i in range(first, min(first + BATCH_SIZE, count))
            ]
            for window in windows:
                task.check(window)
                if not window.is_finite():
                    raise DataError(
                        f"{name}: non-finite values in {window.source}",
                        do="Repair or drop this trajectory; see pdefm data inspect",
                    )
            add_to_digest(digest, windows)
            parts.append(_batch_errors(model, task, collate(windows, history=history)))
            advance(len(windows))
    errors = {
        label: {
            metric: torch.cat([part[label][metric] for part in parts]) for metric in parts[0][label]
        }
        for label in parts[0]
    }
    means = {
        label: {metric: float(values.mean()) for metric, values in found.items()}
        for label, found in errors.items()
    }
    head = collection.read(0, 0, 1)
    return {
        "num_trajectories": count,
        "num_frames": history + target,
        "resolution": list(head.grid.shape),
        "field_names": list(head.names),
        "units": list(head.units),
        "dt": head.dt,
        "data_sha256": digest.hexdigest(),
        "per_trajectory": {m: values.tolist() for m, values in errors["model"].items()},
        "metrics": means.pop("model"),
        "baselines": means,
    }


def evaluate_task(
    datasets: Mapping[str, TrajectoryCollection],
    model: nn.Module,
    task: Task,
    *,
    described: dict[str, Any],
    start_frame: int = 0,
    max_trajectories: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All datasets, as the content of ``results.json``.

    Args:
        datasets: Name to trajectories.
        model: With the task's head, in evaluation mode.
        task: Of the adapter; noise and sensors are those of its evaluation.
        described: Name, path, sha256, number of parameters and adapter of the model.
        start_frame: First frame of every window.
        max_trajectories: Only the first so many of each dataset.
        seed: Recorded; the evaluation itself draws nothing.

    Raises:
        DataError: Data that cannot serve the task, too few frames, or non-finite values.
    """
    torch.manual_seed(seed)
    entries, seconds = {}, {}
    for name, collection in datasets.items():
        began = perf_counter()
        count = min(len(collection), max_trajectories or len(collection))
        entries[name] = _dataset(name, collection, model, task, start_frame, count)
        seconds[name] = perf_counter() - began
    metrics = {metric for entry in entries.values() for metric in entry["metrics"]}
    return {
        "schema": 1,
        **provenance(seed),
        "wall_time_seconds": wall_time(seconds),
        "model": described,
        "protocol": {
            "task": task.name,
            "task_options": task.options.model_dump(mode="json"),
            "start_frame": start_frame,
            "reduction": REDUCTION,
        },
        "definitions": {name: text for name, text in task.definitions.items() if name in metrics},
        "datasets": entries,
    }
