"""What results.json says, as rows and sentences for a card and a report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

METRIC_NAMES = {
    "relative_l2": "relative L2",
    "final_relative_l2": "relative L2, last frame",
    "lost_relative_l2": "relative L2, what the coarse grid lost",
    "nrmse": "nRMSE",
    "vrmse": "VRMSE",
    "dpot_128_l2re": "DPOT's L2RE, 128 grid",
}
"""Metrics that are shown, all of them better when lower, and what they are called."""
BASELINE_WORDS: dict[str, str] = {
    "persistence": "the last known frame repeated",
    "linear_extrapolation": "the last two known frames continued",
    "base": "the base model without the adapter",
    "scratch": "the same model trained from scratch",
}


def format_number(value: float | None) -> str:
    """Three significant digits; JSON's null and NaN are ``not finite``."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    return f"{value:#.3g}".rstrip(".") if 1e-3 <= abs(value) < 999.5 else f"{value:.2e}"


@dataclass(frozen=True)
class Row:
    """One model or baseline on one dataset: formatted numbers, and which of them are the best."""

    label: str
    role: str
    cells: tuple[str, ...]
    best: tuple[bool, ...]


def subject(results: Mapping[str, Any]) -> str:
    """``adapter`` or ``model``: what was evaluated."""
    return "adapter" if results["model"].get("adapter") else "model"


def role_text(label: str, numbers: Mapping[str, Any]) -> str:
    """What a baseline is, and how it was trained if that was done for the comparison.

    Args:
        label: Its name.
        numbers: Its entry in results.json.
    """
    training = numbers.get("training")
    if training is None:
        return BASELINE_WORDS.get(label, "baseline")
    count = training["num_trajectories"]
    data = "an endless source" if count is None else f"{count} trajectories"
    return (
        f"{training['role']}, {training['num_weights']:,} weights, trained on {data}"
        f" for {training['seconds']:.3g} s ({training['steps']:,} steps)"
    )


def comparable(value: float | None) -> float:
    """A value for ordering: what is not finite is the worst."""
    return value if value is not None and math.isfinite(value) else math.inf


def shown_metrics(results: Mapping[str, Any], dataset: str) -> list[str]:
    """Which metrics a dataset's results have, in the order of the columns."""
    return [name for name in METRIC_NAMES if name in results["datasets"][dataset]["metrics"]]


def window_text(entry: Mapping[str, Any]) -> str:
    """``12 steps`` of a rollout, or ``6 frames`` that a task looks at."""
    kind = "steps" if "num_steps" in entry else "frames"
    return f"{entry[f'num_{kind}']} {kind}"


def number_rows(results: Mapping[str, Any], dataset: str) -> list[Row]:
    """Table of one dataset: the evaluated model first, then every baseline.

    Args:
        results: Content of results.json.
        dataset: One of its datasets.
    """
    entry = results["datasets"][dataset]
    what = subject(results)
    columns = {what: entry["metrics"], **entry.get("baselines", {})}
    shown = shown_metrics(results, dataset)
    lowest = {
        metric: min(comparable(numbers.get(metric)) for numbers in columns.values())
        for metric in shown
    }
    rows = []
    for label, numbers in columns.items():
        values = [numbers.get(metric) for metric in shown]
        best = tuple(
            comparable(value) == lowest[metric] < math.inf
            for metric, value in zip(shown, values, strict=True)
        )
        role = "evaluated" if label == what else role_text(label, numbers)
        rows.append(Row(label, role, tuple(map(format_number, values)), best))
    return rows


def _compare(own: float | None, other: float | None) -> str:
    """``lower``, ``higher`` or ``same``, by the printed digits."""
    if format_number(own) == format_number(other):
        return "same"
    return "lower" if comparable(own) < comparable(other) else "higher"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


WORDING = {
    "lower": "has a lower relative L2 error than",
    "higher": "is worse, with a higher relative L2 error than",
    "same": "has the same relative L2 error as",
}


def summary_sentences(results: Mapping[str, Any]) -> list[str]:
    """One sentence a dataset and outcome, such as ``On kdv, the model has a lower ... than ...``.

    Wins, ties and losses are all said, from the numbers alone.
    """
    sentences = []
    for name, entry in results["datasets"].items():
        own = entry["metrics"].get("relative_l2")
        outcomes: dict[str, list[str]] = {"lower": [], "same": [], "higher": []}
        for baseline, numbers in entry.get("baselines", {}).items():
            other = numbers.get("relative_l2")
            text = f"{baseline} ({format_number(own)} against {format_number(other)})"
            outcomes[_compare(own, other)].append(text)
        start = f"On {name}, the {subject(results)}"
        said = [
            f"{start} {WORDING[outcome]} {_join(baselines)}."
            for outcome, baselines in outcomes.items()
            if baselines
        ]
        lone = f"{start} has a relative L2 error of {format_number(own)}; there is no baseline."
        sentences += said or [lone]
    return sentences


def losing_datasets(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """Datasets where at least one baseline has the lower relative L2 error, and which ones."""
    losses = {
        name: [
            baseline
            for baseline, numbers in entry.get("baselines", {}).items()
            if _compare(entry["metrics"].get("relative_l2"), numbers.get("relative_l2")) == "higher"
        ]
        for name, entry in results["datasets"].items()
    }
    return {name: baselines for name, baselines in losses.items() if baselines}


def protocol_sentence(results: Mapping[str, Any]) -> str:
    """How the numbers were made, in one sentence."""
    protocol = results["protocol"]
    if "task" in protocol:
        options = _inline(protocol["task_options"])
        return (
            f"Task {protocol['task']} ({options}), one window of each trajectory, from frame "
            f"{protocol['start_frame']} on. How it is averaged: {protocol['reduction']}."
        )
    horizon, num_steps = protocol["horizon"], protocol["num_steps"]
    reach = "all later frames" if num_steps is None else f"the next {num_steps} frames"
    if any("num_steps" in own for own in protocol.get("datasets", {}).values()):
        reach = "as many of the later frames as its dataset is measured on"
    feeding = "" if num_steps is not None and num_steps <= horizon else ", fed with its own output"
    return (
        f"From {protocol['history']} known frames, the first of them frame "
        f"{protocol['start_frame']}, the model predicts {reach}, {horizon} at a time{feeding}. "
        f"{_ensemble_sentence(protocol)}How it is averaged: {protocol['reduction']}."
    )


def _ensemble_sentence(protocol: Mapping[str, Any]) -> str:
    if protocol.get("ensemble", 1) == 1:
        return ""
    noise = protocol["noise"]
    level = noise["model"] if isinstance(noise, Mapping) and "model" in noise else noise
    return (
        f"It does so {protocol['ensemble']} times, from histories perturbed by {_inline(level)} of"
        " each field's RMS, and the errors are those of the mean. "
    )


def provenance(results: Mapping[str, Any]) -> dict[str, str]:
    """What one needs to make the numbers again, as label and text."""
    model = results["model"]
    rows = {
        "command": results.get("command"),
        "seed": results.get("seed"),
        "commit": results.get("commit") or "not recorded",
        "created": results.get("created"),
        "wall time": _seconds(results),
        "model": model.get("name"),
        "weights": f"sha256 {model['sha256']}" if model.get("sha256") else None,
        "parameters": f"{model['num_parameters']:,}" if model.get("num_parameters") else None,
        "adapter": _inline(model.get("adapter")),
        "hardware": _inline(results.get("hardware")),
        "versions": _inline(results.get("versions")),
    }
    return {label: str(value) for label, value in rows.items() if value not in (None, "")}


def _seconds(results: Mapping[str, Any]) -> str | None:
    taken = results.get("wall_time_seconds")
    return None if taken is None else f"{taken['total']:.1f} s"


def _inline(value: Any) -> str:
    """Mapping as ``key value, key value``; anything else as text."""
    if isinstance(value, Mapping):
        parts = ((key, _inline(item)) for key, item in value.items())
        return ", ".join(f"{key} {text}" for key, text in parts if text)
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value))
    return "" if value is None else str(value)
