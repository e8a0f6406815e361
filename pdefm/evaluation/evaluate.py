"""Datasets x models x metrics x horizons, into one results.json."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pdefm.data.batch import Batch, collate
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import Trajectory, periodic_axes
from pdefm.errors import DataError
from pdefm.evaluation.rollout import rollout_frames
from pdefm.metrics import METRICS, sobolev_error, spectral_band_error
from pdefm.models.processing_pde import PDEProcessor
from pdefm.progress import progress
from pdefm.provenance import provenance
from pdefm.rollout_metrics import (
    conservation_drift,
    correlation_time,
    rollout_relative_l2,
    spectrum_distance,
)

REDUCTION = (
    "metric of every trajectory, step and field over space; then the mean over trajectories,"
    " steps and fields with equal weight"
)
BATCH_SIZE = 16
BASELINES = ("persistence", "linear_extrapolation")
SOBOLEV_ORDERS = {"sobolev_1": 1.0, "sobolev_minus_1": -1.0}
SPECTRUM_NDIM = 5  # batch, time, channel and two space axes
Errors = dict[str, Tensor]  # metric name to [batch, time, channel], of rollouts [batch, channel]


@dataclass(frozen=True)
class Contender:
    """A model and the processor that gives it units."""

    model: nn.Module
    processor: PDEProcessor
    training: Mapping[str, Any] | None = None
    """How it was trained for this comparison; recorded beside its numbers."""


@dataclass(frozen=True)
class Protocol:
    """What is measured: from which frame, how far.

    Args:
        history: Frames given; the prediction starts after them.
        num_steps: Frames rolled out; ``None`` takes all that every trajectory has.
        start_frame: First frame of the history.
        max_trajectories: Only the first so many; ``None`` takes all.
    """

    history: int
    num_steps: int | None = None
    start_frame: int = 0
    max_trajectories: int | None = None

    def steps(self, name: str, collection: TrajectoryCollection, count: int) -> int:
        """Steps that all trajectories can serve.

        Raises:
            DataError: Too few frames for history and steps.
        """
        shortest = min(collection.num_frames(i) for i in range(count))
        available = shortest - self.start_frame - self.history
        steps = available if self.num_steps is None else self.num_steps
        if available < max(steps, 1):
            raise DataError(
                f"{name}: too few frames for history {self.history} + {max(steps, 1)} steps",
                got=f"{shortest} frames",
                do="Use longer trajectories or fewer --steps",
            )
        return steps


def _errors(prediction: Tensor, target: Tensor, mask: Tensor | None) -> Errors:
    """Every metric of single frames, ``[batch, time, channel]``."""
    errors = {name: metric(prediction, target, mask=mask) for name, metric in METRICS.items()}
    for name, order in SOBOLEV_ORDERS.items():
        errors[name] = sobolev_error(prediction, target, order=order, mask=mask)
    bands = spectral_band_error(prediction, target, mask=mask)
    errors |= {f"{band}_band": values for band, values in bands.items()}
    if mask is None and target.ndim == SPECTRUM_NDIM:
        errors["spectrum_distance"] = spectrum_distance(prediction, target)
    return errors


def _summary(errors: Errors, names: Sequence[str]) -> dict[str, Any]:
    """Means, and curves over the steps with percentiles over the trajectories."""
    per_step: dict[str, dict[str, list[float]]] = {}
    single = {metric: values for metric, values in errors.items() if values.ndim == 3}
    for metric, values in single.items():
        by_trajectory = values.mean(2)  # [trajectory, time]
        low, high = torch.quantile(by_trajectory, torch.tensor([0.1, 0.9]), dim=0)
        per_step[metric] = {
            "mean": by_trajectory.mean(0).tolist(),
            "p10": low.tolist(),
            "p90": high.tolist(),
        }
    return {
        "metrics": {metric: float(values.mean()) for metric, values in errors.items()},
        "per_trajectory": {m: values.flatten(1).mean(1).tolist() for m, values in errors.items()},
        "per_step": per_step,
        "per_field": {
            name: {metric: float(values[..., i].mean()) for metric, values in errors.items()}
            for i, name in enumerate(names)
        },
    }


def _rollout_errors(prediction: Tensor, batch: Batch) -> Errors:
    """Errors of whole rollouts, ``[batch, channel]``."""
    target, mask = batch.target, batch.mask
    start = batch.history[:, -1:]
    return {
        "rollout_relative_l2": rollout_relative_l2(prediction, target, mask=mask),
        "correlation_time": correlation_time(prediction, target, mask=mask),
        "conservation_drift": conservation_drift(prediction, start, mask=mask)[:, -1],
    }


def _check_finite(name: str, windows: Sequence[Trajectory]) -> None:
    for window in windows:
        if not window.is_finite():
            raise DataError(
                f"{name}: non-finite values in {window.source}",
                do="Repair or drop this trajectory; see pdefm data inspect",
            )


def add_to_digest(digest: "hashlib._Hash", windows: Sequence[Trajectory]) -> None:
    """Take in what was measured on: fields, names and times."""
    for window in windows:
        digest.update(f"{window.names} {window.times.tolist()}".encode())
        digest.update(window.fields.contiguous().numpy().tobytes())


def _batch_errors(
    batch: Batch, contenders: Mapping[str, Contender], num_steps: int
) -> dict[str, Errors]:
    """Errors of every contender and of persistence on one batch."""
    found = {}
    for label, contender in contenders.items():
        frames = rollout_frames(
            contender.model,
            contender.processor,
            batch.history,
            batch.names,
            num_steps,
            mask=batch.mask,
            periodic=periodic_axes(batch.boundary),
            conditions=contender.processor.conditions_of(
                dt=batch.dt, boundary=batch.boundary, parameters=batch.parameters
            ),
        )
        rollout = torch.stack(list(frames), 1)
        found[label] = _errors(rollout, batch.target, batch.mask) | _rollout_errors(rollout, batch)
    still = batch.history[:, -1:].expand_as(batch.target)  # the last known frame, repeated
    last, before = batch.history[:, -1:], batch.history[:, -2:-1]
    steps = torch.arange(1, num_steps + 1, device=last.device).view(-1, *(1,) * (last.ndim - 2))
    trend = last + steps * (last - before) if before.shape[1] else still
    baselines = dict(zip(BASELINES, (still, trend), strict=True))
    return found | {
        label: _errors(values, batch.target, batch.mask) | _rollout_errors(values, batch)
        for label, values in baselines.items()
    }


def _training(contender: Contender | None) -> dict[str, Any]:
    """What is recorded of a baseline that was trained for this comparison."""
    if contender is None or contender.training is None:
        return {}
    return {"training": dict(contender.training)}


def evaluate_dataset(
    name: str,
    collection: TrajectoryCollection,
    contenders: Mapping[str, Contender],
    protocol: Protocol,
) -> dict[str, Any]:
    """Errors of all contenders and of persistence on one dataset.

    The first contender is the model that the numbers are about; the others join the baselines.

    Raises:
        DataError: Too few frames, or non-finite data.
        ModelError: A field that a contender does not know.
        NumericalError: A rollout left the finite numbers.
    """
    count = min(len(collection), protocol.max_trajectories or len(collection))
    steps = protocol.steps(name, collection, count)
    stop = protocol.start_frame + protocol.history + steps
    parts: list[dict[str, Errors]] = []
    digest = hashlib.sha256()
    with progress(f"evaluate {name}", count, unit="trajectories") as advance:
        for first in range(0, count, BATCH_SIZE):
            chosen = range(first, min(first + BATCH_SIZE, count))
            windows = [collection.read(i, protocol.start_frame, stop) for i in chosen]
            _check_finite(name, windows)
            add_to_digest(digest, windows)
            batch = collate(windows, history=protocol.history)
            parts.append(_batch_errors(batch, contenders, steps))
            advance(len(windows))
    head = collection.read(0, 0, 2)
    summaries = {
        label: _summary(
            {
                metric: torch.cat([part[label][metric] for part in parts])
                for metric in parts[0][label]
            },
            head.names,
        )
        for label in parts[0]
    }
    own = summaries.pop(next(iter(contenders)))
    return {
        "num_trajectories": count,
        "num_steps": steps,
        "data_sha256": digest.hexdigest(),
        "resolution": list(head.grid.shape),
        "field_names": list(head.names),
        "units": list(head.units),
        "dt": head.dt,
        **own,
        "baselines": {
            label: summary["metrics"]
            | {key: summary[key] for key in ("per_trajectory", "per_step")}
            | _training(contenders.get(label))
            for label, summary in sorted(summaries.items())
        },
    }


def evaluate(
    datasets: Mapping[str, TrajectoryCollection],
    contenders: Mapping[str, Contender],
    protocol: Protocol,
    *,
    model: dict[str, Any],
    seed: int = 0,
    baselines_of: Callable[[str], Mapping[str, Contender]] | None = None,
) -> dict[str, Any]:
    """All datasets, as the content of ``results.json``.

    Args:
        datasets: Name to trajectories.
        contenders: Label to model; the first one is the subject.
        protocol: What is measured.
        model: Name, path, sha256, number of parameters and adapter of the subject.
        seed: Recorded; the evaluation itself draws nothing.
        baselines_of: Further contenders of one dataset, made when its turn comes.
    """
    torch.manual_seed(seed)
    horizon = next(iter(contenders.values())).processor.horizon
    return {
        "schema": 1,
        **provenance(seed),
        "model": model,
        "protocol": {**asdict(protocol), "horizon": horizon, "reduction": REDUCTION},
        "datasets": {
            name: evaluate_dataset(
                name,
                collection,
                {**contenders, **(baselines_of(name) if baselines_of else {})},
                protocol,
            )
            for name, collection in datasets.items()
        },
    }
