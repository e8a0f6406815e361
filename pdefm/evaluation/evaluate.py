"""Datasets x models x metrics x horizons, into one results.json."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from time import perf_counter
from typing import Any

import torch

from pdefm.data.batch import Batch, collate
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.interpolated import Interpolated
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError
from pdefm.evaluation.measures import (
    Comparison,
    Errors,
    chosen_measures,
    definitions_of,
    measured,
)
from pdefm.evaluation.protocol import (
    Contender,
    Protocol,
    baseline_rollouts,
    rollout_members,
    sample_seed,
)
from pdefm.progress import progress
from pdefm.provenance import provenance

REDUCTION = (
    "metric of every trajectory, step and field over space, or of every trajectory and field over"
    " space and steps where its definition says so; then the mean over trajectories, steps and"
    " fields with equal weight"
)
BATCH_SIZE = 16


def recorded(value: Any) -> Any:
    """The same with the nine digits that single precision has, and null for what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: recorded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [recorded(inner) for inner in value]
    return value


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
    numbers = {
        "metrics": {metric: float(values.mean()) for metric, values in errors.items()},
        "per_trajectory": {m: values.flatten(1).mean(1).tolist() for m, values in errors.items()},
        "per_step": per_step,
        "per_field": {
            name: {metric: float(values[..., i].mean()) for metric, values in errors.items()}
            for i, name in enumerate(names)
        },
    }
    return recorded(numbers)


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
    batch: Batch,
    contenders: Mapping[str, Contender],
    num_steps: int,
    protocol: Protocol,
    seeds: Sequence[int],
    native: tuple[int, ...] | None,
) -> tuple[dict[str, Errors], dict[str, str]]:
    """Errors of every contender and baseline on one batch, and what does not make sense there."""
    rollouts = {
        label: rollout_members(contender, batch, num_steps, protocol, seeds)
        for label, contender in contenders.items()
    }
    rollouts |= {
        label: values[None] for label, values in baseline_rollouts(batch, num_steps).items()
    }
    names, fields = chosen_measures(protocol.metrics), slice(protocol.num_fields)
    found, reasons = {}, {}
    for label, members in rollouts.items():
        comparison = Comparison(
            members[:, :, :, fields],
            batch.target[:, :, fields],
            batch.history[:, -1:, fields],
            batch.mask,
            native,
        )
        found[label], why = measured(comparison, names)
        if label == next(iter(contenders)):
            reasons = why
    return found, reasons


def _joined(parts: Sequence[dict[str, Errors]]) -> dict[str, Errors]:
    """Errors of all batches by label and metric, as far as every batch has the metric."""
    return {
        label: {
            metric: torch.cat([part[label][metric] for part in parts])
            for metric in parts[0][label]
            if all(metric in part[label] for part in parts)
        }
        for label in parts[0]
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
    seed: int = 0,
) -> dict[str, Any]:
    """Errors of all contenders and of persistence on one dataset.

    The first contender is the model that the numbers are about; the others join the baselines.

    Args:
        name: Of the dataset, for messages.
        collection: Trajectories.
        contenders: Label to model.
        protocol: What is measured.
        seed: Of the perturbations of an ensemble.

    Raises:
        DataError: Too few frames, or non-finite data.
        ModelError: A field that a contender does not know.
        RecipeError: An unknown metric.
    """
    count = min(len(collection), protocol.max_trajectories or len(collection))
    steps = protocol.steps(name, collection, count)
    stop = protocol.start_frame + protocol.history + steps
    size = max(1, BATCH_SIZE // protocol.ensemble)
    native = collection.native_shape() if isinstance(collection, Interpolated) else None
    parts: list[dict[str, Errors]] = []
    not_measured: dict[str, str] = {}
    digest = hashlib.sha256()
    with progress(f"evaluate {name}", count, unit="trajectories") as advance:
        for first in range(0, count, size):
            chosen = range(first, min(first + size, count))
            windows = [collection.read(i, protocol.start_frame, stop) for i in chosen]
            _check_finite(name, windows)
            add_to_digest(digest, windows)
            batch = collate(windows, history=protocol.history)
            seeds = [sample_seed(seed, i) for i in chosen]
            errors, reasons = _batch_errors(batch, contenders, steps, protocol, seeds, native)
            parts.append(errors)
            not_measured |= reasons
            advance(len(windows))
    head = collection.read(0, 0, 2)
    counted = head.names[: protocol.num_fields]
    summaries = {label: _summary(errors, counted) for label, errors in _joined(parts).items()}
    own = summaries.pop(next(iter(contenders)))
    return {
        "num_trajectories": count,
        "num_steps": steps,
        "data_sha256": digest.hexdigest(),
        "resolution": list(head.grid.shape),
        **({} if native is None else {"native_resolution": list(native)}),
        "field_names": list(head.names),
        "units": list(head.units),
        "dt": head.dt,
        **own,
        "not_measured": not_measured,
        "baselines": {
            label: summary["metrics"]
            | {key: summary[key] for key in ("per_trajectory", "per_step")}
            | _training(contenders.get(label))
            for label, summary in sorted(summaries.items())
        },
    }


def _described(
    protocol: Protocol, own: Mapping[str, Protocol], contenders: Mapping[str, Contender]
) -> dict[str, Any]:
    """The protocol as ``results.json`` records it, with what single datasets do differently."""
    general = asdict(protocol) | {"metrics": list(chosen_measures(protocol.metrics))}
    if protocol.ensemble > 1 and protocol.noise is None:
        general["noise"] = {label: contender.noise for label, contender in contenders.items()}
    different = {
        name: {key: value for key, value in asdict(p).items() if value != getattr(protocol, key)}
        for name, p in own.items()
    }
    different = {name: values for name, values in different.items() if values}
    horizon = next(iter(contenders.values())).processor.horizon
    general |= {"horizon": horizon, "reduction": REDUCTION}
    return general | ({"datasets": different} if different else {})


def evaluate(
    datasets: Mapping[str, TrajectoryCollection],
    contenders: Mapping[str, Contender],
    protocol: Protocol,
    *,
    model: dict[str, Any],
    seed: int = 0,
    own: Mapping[str, Protocol] | None = None,
    baselines_of: Callable[[str], Mapping[str, Contender]] | None = None,
) -> dict[str, Any]:
    """All datasets, as the content of ``results.json``.

    Args:
        datasets: Name to trajectories.
        contenders: Label to model; the first one is the subject.
        protocol: What is measured.
        model: Name, path, sha256, number of parameters and adapter of the subject.
        seed: Of the perturbations of an ensemble; nothing else is drawn.
        own: Protocols of datasets that have one of their own.
        baselines_of: Further contenders of one dataset, made when its turn comes.

    Returns:
        Beside the numbers of every dataset: the definition of every metric, where the numbers came
        from, and how long they took.
    """
    torch.manual_seed(seed)
    entries, seconds = {}, {}
    for name, collection in datasets.items():
        began = perf_counter()
        everybody = {**contenders, **(baselines_of(name) if baselines_of else {})}
        entries[name] = evaluate_dataset(
            name, collection, everybody, (own or {}).get(name, protocol), seed
        )
        seconds[name] = perf_counter() - began
    metrics = {metric for entry in entries.values() for metric in entry["metrics"]}
    return {
        "schema": 1,
        **provenance(seed),
        "wall_time_seconds": wall_time(seconds),
        "model": model,
        "protocol": _described(protocol, own or {}, contenders),
        "definitions": definitions_of(list(metrics)),
        "datasets": entries,
    }


def wall_time(seconds: Mapping[str, float]) -> dict[str, Any]:
    """Total and time of every dataset, to the millisecond."""
    each = {name: round(value, 3) for name, value in seconds.items()}
    return {"total": round(sum(seconds.values()), 3), "datasets": each}
