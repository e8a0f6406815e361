"""Two results.json side by side: which differences are real."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.measures import MEASURES
from pdefm.registry import nearest_name_hint

LEVEL = 0.95
NUM_RESAMPLES = 10_000
NORMAL = 1.959964  # 97.5 % quantile of the normal distribution
STUDENT = (12.7062, 4.3027, 3.1824, 2.7764)  # of Student's t with 1 to 4 degrees of freedom
OF_THE_MODEL = {"horizon", "ensemble", "noise", "metrics"}
"""What the protocol records and two models may differ in; the data and the frames are the same."""
OF_THE_RUN = ("created", "command", "wall_time_seconds", "seconds")
UNORDERED = {name for name, m in MEASURES.items() if m.better == "neither"} | {"coverage"}
HIGHER = {name for name, m in MEASURES.items() if m.better == "higher"}


def equal_bit_for_bit(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results are the same text once times and the command are left out.

    What is left out is when they were made, how long that and the training of baselines took, and
    the command, which names its own ``--out``; numbers, seeds, versions, hardware and hashes count
    to the last digit.
    """
    return json.dumps(_without_times(one)) == json.dumps(_without_times(other))


def _without_times(results: Any) -> Any:
    """The same, at every depth, without what differs from run to run."""
    if isinstance(results, Mapping):
        return {k: _without_times(v) for k, v in results.items() if k not in OF_THE_RUN}
    if isinstance(results, list):
        return [_without_times(value) for value in results]
    return results


def _student(degrees: int) -> float:
    """97.5 % quantile of Student's t, to 0.1 %."""
    if degrees <= len(STUDENT):
        return STUDENT[degrees - 1]
    z = NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees ** (i + 1) for i, term in enumerate(terms))


def bootstrap_interval(
    differences: np.ndarray, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of paired differences, widened for a handful of them.

    The distances of its ends from the mean are those of the bootstrap times
    ``sqrt(n / (n - 1)) t / z``, with the quantiles of Student's t for ``n - 1`` degrees of freedom
    and of the normal distribution: 1.03 for 60 trajectories, 1.3 for 8, 9 for two.

    Args:
        differences: One a trajectory.
        num_resamples: Draws of as many trajectories, with repetition.
        seed: Of the draws.

    Returns:
        Ends of the 95 % interval, in the metric's unit.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3; Hesterberg
        (2015), Am. Stat. 69, 371-386, for why small samples need more.
    """
    rng = np.random.default_rng(seed)
    n, mean = len(differences), differences.mean()
    picked = rng.integers(n, size=(num_resamples, n))
    ends = np.quantile(differences[picked].mean(1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wider = math.sqrt(n / (n - 1)) * _student(n - 1) / NORMAL if n > 1 else 1.0
    low, high = mean + wider * (ends - mean)
    return float(low), float(high)


def _check_comparable(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for key in ("data_sha256", "num_trajectories", "num_steps", "num_frames"):
        if one.get(key) != other.get(key):
            raise DataError(
                f"{name}: the two results were not measured on the same data, {key} differs",
                got=f"{one.get(key)} and {other.get(key)}",
                do="Evaluate both with the same options",
            )


def _check_protocols(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for key in sorted((one.keys() | other.keys()) - OF_THE_MODEL):
        if one.get(key) != other.get(key):
            raise RecipeError(
                f"the two results have different protocols: {key}",
                got=f"{one.get(key)} and {other.get(key)}",
                do="Evaluate both with the same options",
            )


def _check_ordered(metric: str) -> None:
    if metric in UNORDERED:
        raise RecipeError(
            f"{metric} has no better and worse from trajectory to trajectory",
            do="Compare another metric, such as crps or relative_l2",
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
    if None in found[metric]:
        raise DataError(
            f"{where}: a rollout left the finite numbers, so errors cannot be paired",
            got=f"{found[metric].count(None)} of {len(found[metric])}",
            do="Compare fewer --steps, or blow_up_rate",
        )
    return np.asarray(found[metric], float)


def _difference(a: np.ndarray, b: np.ndarray, metric: str, seed: int) -> dict[str, Any]:
    """Means, interval of the paired difference B less A, and what it says."""
    low, high = bootstrap_interval(b - a, seed=seed)
    return {
        "a": float(a.mean()),
        "b": float(b.mean()),
        "difference": float((b - a).mean()),
        "interval": [low, high],
        "num_trajectories": len(a),
        "verdict": _verdict(low, high, len(a), higher_is_better=metric in HIGHER),
    }


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
        metric: Lower is better, except of ``correlation_time``.
        seed: Of the bootstrap.

    Returns:
        ``metric``, and per dataset the means ``a`` and ``b``, ``difference`` (B less A), its
        ``interval`` and a ``verdict``; ``left_out`` are datasets that only one of them has, and
        ``equal_bit_for_bit`` is that of :func:`equal_bit_for_bit`.

    Raises:
        DataError: Other data, or results without errors of single trajectories.
        RecipeError: Another protocol, or a metric that is unknown or has no better and worse.
    """
    _check_ordered(metric)
    _check_protocols(one["protocol"], other["protocol"])
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
        found[name] = _difference(a, b, metric, seed)
    return {
        "metric": metric,
        "datasets": found,
        "left_out": sorted(one["datasets"].keys() ^ other["datasets"].keys()),
        "equal_bit_for_bit": equal_bit_for_bit(one, other),
    }


def compare_within(
    results: Mapping[str, Any], *, metric: str = "relative_l2", seed: int = 0
) -> dict[str, dict[str, Any]]:
    """The evaluated model, A, against every other model and baseline of the same results, B.

    Args:
        results: Content of a results.json.
        metric: Lower is better, except of ``correlation_time``.
        seed: Of the bootstrap.

    Returns:
        By label of the other one, what :func:`compare` returns for two files.

    Raises:
        DataError: Nothing beside the model that has errors of single trajectories.
        RecipeError: A metric that is unknown or has no better and worse.
    """
    _check_ordered(metric)
    found: dict[str, dict[str, Any]] = {}
    for name, entry in results["datasets"].items():
        others = {k: v for k, v in entry["baselines"].items() if "per_trajectory" in v}
        a = _values(entry, metric, name)
        for label, other in others.items():
            if metric in other["per_trajectory"]:
                b = _values(other, metric, f"{name}, {label}")
                within = found.setdefault(label, {"metric": metric, "datasets": {}, "left_out": []})
                within["datasets"][name] = _difference(a, b, metric, seed)
    if not found:
        raise DataError(
            "nothing beside the model has errors of single trajectories",
            do="Evaluate with --compare LABEL=MODEL, or give a second results.json",
        )
    return found


def _verdict(low: float, high: float, count: int, *, higher_is_better: bool) -> str:
    if count < 2:
        return "one trajectory says nothing"
    if low <= 0 <= high:
        return "not resolved"
    return "A is better" if (low > 0) != higher_is_better else "B is better"


def read_results(path: str | Path) -> dict[str, Any]:
    """Content of a results.json.

    Raises:
        DataError: Missing, or something else.
    """
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
