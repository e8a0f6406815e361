"""A page about a run given by its folder: curves, numbers, best and worst cases."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pdefm.adapters import read_adapter
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, EnvironmentFault
from pdefm.evaluation.report import Example, ReportInput, write_report
from pdefm.evaluation.rollout import rollout
from pdefm.hub.evaluation import open_held_out
from pdefm.hub.folder import ADAPTER_CONFIG, RESULTS, read_json
from pdefm.hub.load import load_by_name
from pdefm.hub.resolve import resolve
from pdefm.tasks import TASKS


def report_run(
    run: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    results: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Write ``report.html`` of a run.

    Args:
        run: Run folder.
        out: File to write.
        data: File or folder that ``results`` were measured on; its best and its worst trajectory
            are shown.
        results: Content for the tables; default ``results.json`` in the run.
        overwrite: Replace an existing file.
        **options: Format and description of the data.

    Returns:
        ``report``, ``datasets`` in it, and ``missing``: what it could not show, and the command
        that would make it.

    Raises:
        DataError: No run, or data that the results were not measured on.
        EnvironmentFault: ``out`` exists or cannot be written.
    """
    run, out = Path(run), Path(out)
    if out.exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")
    lines = _journal(run)
    place = run / RESULTS if results is None else Path(results)
    found = read_json(place) if place.is_file() else None
    missing, examples = [], []
    if found is None:
        missing.append(
            f"No evaluation yet: pdefm evaluate --data PATH --out {run / RESULTS}, with --model"
            f" {run} or as --adapter of its base, adds tables and errors over time."
        )
    elif data is not None:
        examples = _examples(run, data, found, options)
    else:
        missing.append("No pictures of rollouts: give --data, the file that was evaluated on.")
    write_report(
        out,
        ReportInput(
            title=run.resolve().name,
            subtitle=_subtitle(run),
            results=[] if found is None else [found],
            runs={run.resolve().name: lines},
            examples=examples,
            notes=missing,
        ),
    )
    datasets = [] if found is None else list(found["datasets"])
    return {"report": str(out), "datasets": datasets, "missing": missing}


def _journal(run: Path) -> list[dict[str, Any]]:
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise DataError(
            f"{run} is no run folder", got="no metrics.jsonl", do="Give the --out of a training"
        )
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        with suppress(json.JSONDecodeError):  # a line that a kill has cut
            lines.append(json.loads(text))
    return lines


def _subtitle(run: Path) -> str:
    folder = resolve(run)
    if not (folder / ADAPTER_CONFIG).is_file():
        return "Pretraining"
    adapter = read_adapter(folder)
    base = Path(adapter.base.name).name
    return f"Adapter of {base}: task {adapter.task}, tuner {adapter.tuner}"


def _examples(
    run: Path, data: str, results: Mapping[str, Any], options: dict[str, Any]
) -> list[Example]:
    """The best and the worst trajectory of a dataset, rolled out again."""
    name = Path(data).stem
    if name not in results["datasets"]:
        raise DataError(
            f"the results have no dataset '{name}'",
            got=", ".join(results["datasets"]),
            do="Give the file or folder that was evaluated on",
        )
    folder = resolve(run)
    adapter = read_adapter(folder) if (folder / ADAPTER_CONFIG).is_file() else None
    if adapter is not None and not TASKS[adapter.task].forecasts:
        return []
    collection = open_held_out(data, None if adapter is None else str(run), **options)
    base = str(run) if adapter is None else adapter.base.name
    model, processor = load_by_name(base, None if adapter is None else str(run))
    entry, protocol = results["datasets"][name], results["protocol"]
    errors = entry["per_trajectory"]["relative_l2"]
    comparable = [float("inf") if error is None else error for error in errors]
    order = sorted(range(len(errors)), key=comparable.__getitem__)
    last = {"Worst": order[-1]} if len(order) > 1 else {}
    examples = []
    for label, index in ({"Best": order[0]} | last).items():
        truth = _window(collection, index, protocol, entry["num_steps"])
        history = truth.frames(0, protocol["history"])
        prediction = rollout(model, processor, history, entry["num_steps"])
        title = f"{label} of {len(order)} trajectories: relative L2 error {comparable[index]:.3g}"
        examples.append(Example(name, truth.names[0], truth, {"prediction": prediction}, title))
    return examples


def _window(
    collection: TrajectoryCollection, index: int, protocol: Mapping[str, Any], num_steps: int
) -> Trajectory:
    if index >= len(collection):
        raise DataError("the data have fewer trajectories than were evaluated", got=len(collection))
    first = protocol["start_frame"]
    return collection.read(index, first, first + protocol["history"] + num_steps)
