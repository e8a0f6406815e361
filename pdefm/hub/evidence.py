"""Tables of a card beside the one of ``results.json``: further benchmarks and studies.

A model folder, or the run that it is published from, may hold any number of::

    results-NAME.json   of ``pdefm evaluate``, measured on these weights
    study-NAME.json     ``results.json`` of ``pdefm finetune --study``, from these weights
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdefm.evaluation.summary import comparable, format_number, subject
from pdefm.hub.folder import RESULTS, STUDY, read_json

MORE_RESULTS, MORE_STUDIES = "results-*.json", "study-*.json"
COLUMNS = {
    "dpot_128_l2re": "DPOT's L2RE",
    "blow_up_rate": "blown up",
    "conservation_drift": "drift of the mean",
    "correlation_time": "steps above 0.8 correlation",
}
"""Metrics of a further benchmark that its recipe asks for, and what they are called."""
Table = list[list[str]]


def run_evidence(run: Path) -> dict[str, Path]:
    """What a run has for its card: the name of the file in the published folder to its place."""
    found = {path.name: path for path in [run / RESULTS, *run.glob(MORE_RESULTS)]}
    for study in sorted(run.glob(f"study*/{RESULTS}")):
        found[f"{study.parent.name}.json"] = study
    return {name: path for name, path in found.items() if path.is_file()}


def read_named(places: Sequence[Path], pattern: str) -> dict[str, Mapping[str, Any]]:
    """Name (the part for the star) to content of all files of a pattern; earlier places win.

    Raises:
        ModelError: One is not readable.
    """
    prefix = pattern.partition("*")[0]
    found: dict[str, Mapping[str, Any]] = {}
    for place in places:
        for path in sorted(place.glob(pattern)):
            found.setdefault(path.stem.removeprefix(prefix), read_json(path))
    return found


def read_studies(places: Sequence[Path]) -> dict[str, Mapping[str, Any]]:
    """Name to content of every study; the name of ``study.json`` is empty.

    Raises:
        ModelError: One is not readable.
    """
    in_run = {
        path.parent.name.removeprefix("study").removeprefix("-"): read_json(path)
        for place in places
        for path in sorted(place.glob(f"study*/{RESULTS}"))
    }
    found = in_run | read_named(places, MORE_STUDIES)
    for path in (place / STUDY for place in places):
        if path.is_file():
            found[""] = read_json(path)
    return found


def study_table(study: Mapping[str, Any]) -> Table:
    """Number of trajectories, and mean and deviation of every contender's error.

    Learning rates come first where the contenders had different ones.
    """
    rows = [["trajectories", *study["errors"]]]
    rates = study.get("learning_rates", {})
    if len(set(rates.values())) > 1:
        learns = (rates.get(label) for label in study["errors"])
        rows.append(["learning rate", *("" if rate is None else f"{rate:g}" for rate in learns)])
    for position, shots in enumerate(study["shots"]):
        cells = []
        for found in study["errors"].values():
            spread = found["std"][position]
            text = f"{found['mean'][position]:.4f}"
            cells.append(f"{text} ± {spread:.4f}" if spread else text)
        rows.append([str(shots), *cells])
    return rows


def _factor(gain: Mapping[str, Any]) -> str:
    """``12x``, ``> 16x`` or ``none``."""
    if gain["at_most"]:
        return "none"
    return f"{'> ' if gain['at_least'] else ''}{gain['factor']:.3g}x"


def gain_table(study: Mapping[str, Any]) -> Table:
    """How many times the data training from nothing needs, by tuner and number of trajectories."""
    gains = study.get("gains", {})
    if not gains:
        return []
    rows = [["gain at", *(f"{k}" for k in study["shots"])]]
    return rows + [[label, *map(_factor, found)] for label, found in gains.items()]


def overview(results: Mapping[str, Any]) -> Table:
    """Relative L2 error of everybody on every dataset; the lowest of each row is bold."""
    datasets = results["datasets"]
    own = subject(results)
    labels = [own, *dict.fromkeys(b for e in datasets.values() for b in e.get("baselines", {}))]
    extra = [
        name for name in COLUMNS if name in (results.get("benchmark", {}).get("metrics") or ())
    ]
    rows = [["dataset", "grid", "steps", *labels, *(f"{own}: {COLUMNS[n]}" for n in extra)]]
    for name, entry in datasets.items():
        everybody = {own: entry["metrics"], **entry.get("baselines", {})}
        errors = [everybody.get(label, {}).get("relative_l2") for label in labels]
        lowest = min(map(comparable, errors))
        cells = [
            f"**{format_number(e)}**" if comparable(e) == lowest < math.inf else format_number(e)
            for e in errors
        ]
        grid = " x ".join(map(str, entry["resolution"]))
        steps = str(entry.get("num_steps", entry.get("num_frames")))
        more = [format_number(entry["metrics"].get(metric)) for metric in extra]
        rows.append([name, grid, steps, *cells, *more])
    return rows


def wins(results: Mapping[str, Any]) -> str:
    """On how many datasets it has the lowest error, and where it has not."""
    own, lost = subject(results), {}
    for name, entry in results["datasets"].items():
        error = comparable(entry["metrics"]["relative_l2"])
        better = [
            label
            for label, numbers in entry.get("baselines", {}).items()
            if comparable(numbers["relative_l2"]) < error
        ]
        if better:
            lost[name] = better
    total = len(results["datasets"])
    sentence = f"The {own} has the lowest relative L2 error on {total - len(lost)} of {total}."
    if lost:
        listed = "; ".join(f"{name} to {', '.join(better)}" for name, better in lost.items())
        sentence += f" It loses {listed}."
    return sentence
