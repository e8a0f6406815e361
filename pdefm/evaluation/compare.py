"""Two results.json side by side: which differences are real."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pdefm.errors import DataError, RecipeError
from pdefm.registry import nearest_name_hint

LEVEL = 0.95
NUM_RESAMPLES = 10_000


def bootstrap_interval(
    differences: np.ndarray, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of paired differences.

    Args:
        differences: One a trajectory.
        num_resamples: Draws of as many trajectories, with repetition.
        seed: Of the draws.

    Returns:
        Ends of the 95 % interval, in the metric's unit.

    Limits: narrow for a handful of trajectories; with two it means little.
    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(differences), size=(num_resamples, len(differences)))
    means = differences[picked].mean(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _check_comparable(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for key in ("data_sha256", "num_trajectories", "num_steps", "num_frames"):
        if one.get(key) != other.get(key):
            raise DataError(
                f"{name}: the two results were not measured on the same data, {key} differs",
                got=f"{one.get(key)} and {other.get(key)}",
                do="Evaluate both with the same options",
            )


def _values(entry: Mapping[str, Any], metric: str, where: str) -> np.ndarray:
    found = entry.get("per_trajectory")
    if found is None:
        raise DataError(
            f"{where} has no errors of single trajectories",
            do="Evaluate again; results of earlier versions cannot be compared",
        )
    if metric not in found:
        raise RecipeError(
            f"{where} has no metric of every trajectory",
            got=f"'{metric}'",
            do=nearest_name_hint(metric, list(found)),
        )
    return np.asarray(found[metric], float)


def compare(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    *,
    metric: str = "relative_l2",
    seed: int = 0,
) -> dict[str, Any]:
    """Paired differences of two results on every dataset that both have.

    Args:
        one: Content of a results.json, A.
        other: The same of B.
        metric: Lower is better.
        seed: Of the bootstrap.

    Returns:
        ``metric``, and per dataset the means ``a`` and ``b``, ``difference`` (B less A), its
        ``interval`` and a ``verdict``; ``left_out`` are datasets that only one of them has.

    Raises:
        DataError: Other data, or results without errors of single trajectories.
        RecipeError: Another protocol, or an unknown metric.
    """
    for key in sorted(one["protocol"].keys() | other["protocol"].keys()):
        if one["protocol"].get(key) != other["protocol"].get(key):
            raise RecipeError(
                f"the two results have different protocols: {key}",
                got=f"{one['protocol'].get(key)} and {other['protocol'].get(key)}",
                do="Evaluate both with the same options",
            )
    shared = [name for name in one["datasets"] if name in other["datasets"]]
    if not shared:
        raise DataError(
            "the two results have no dataset in common",
            got=f"{', '.join(one['datasets'])} and {', '.join(other['datasets'])}",
        )
    found = {}
    for name in shared:
        entries = one["datasets"][name], other["datasets"][name]
        _check_comparable(name, *entries)
        a, b = (
            _values(e, metric, f"{name} of {x}") for e, x in zip(entries, ("A", "B"), strict=True)
        )
        low, high = bootstrap_interval(b - a, seed=seed)
        found[name] = {
            "a": float(a.mean()),
            "b": float(b.mean()),
            "difference": float((b - a).mean()),
            "interval": [low, high],
            "num_trajectories": len(a),
            "verdict": _verdict(low, high, len(a)),
        }
    left_out = sorted(one["datasets"].keys() ^ other["datasets"].keys())
    return {"metric": metric, "datasets": found, "left_out": left_out}


def _verdict(low: float, high: float, count: int) -> str:
    if count < 2:
        return "one trajectory says nothing"
    if low > 0:
        return "A is better"
    return "B is better" if high < 0 else "not resolved"


def read_results(path: str | Path) -> dict[str, Any]:
    """Content of a results.json.

    Raises:
        DataError: Missing, or something else.
    """
    import json

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if not {"protocol", "datasets"} <= content.keys():
            raise ValueError("without protocol and datasets")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} is no results.json",
            got=f"{type(error).__name__} {error}",
            do="Make one with pdefm evaluate",
        ) from error
    return content
