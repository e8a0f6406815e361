"""Evaluation of models and data given by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdefm.adapters import read_adapter
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.source import hold_out
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.evaluation.evaluate import evaluate
from pdefm.evaluation.evaluate_task import evaluate_task
from pdefm.evaluation.protocol import BASELINES, Contender, Protocol
from pdefm.evaluation.training_set import BaselineOrder, TrainingSet, first_trajectories
from pdefm.files import write_json_atomic
from pdefm.hub.folder import ModelFolder
from pdefm.hub.listing import count_parameters
from pdefm.hub.load import load_by_name
from pdefm.hub.resolve import resolve
from pdefm.hub.rollout import training_noise
from pdefm.tasks import TASKS


def describe_model(model: str, adapter: str | None = None) -> dict[str, Any]:
    """What ``results.json`` says about its subject."""
    base = ModelFolder(resolve(model))
    described: dict[str, Any] = {
        "name": Path(model).name,
        "path": model,
        "sha256": base.weights_sha256(),
        "num_parameters": sum(count_parameters(path) for path in base.weight_files),
        "adapter": None,
    }
    if adapter is not None:
        folder = ModelFolder(resolve(adapter))
        read = read_adapter(folder.path)
        described["adapter"] = {
            "name": Path(adapter).name,
            "sha256": folder.weights_sha256(),
            "task": read.task,
            "tuner": read.tuner,
            "added_fields": read.added_fields,
        }
    return described


def held_out_split(path: str, *, trust: bool = False) -> str | None:
    """The split that a model was not trained on, as far as the folder tells."""
    present = present_splits(path, trust=trust)
    return next((name for name in ("test", "valid") if name in present), None)


def _trained_on(adapter: str) -> dict[Path, float]:
    """Paths of the data that an adapter was trained on, and the share that was held out."""
    data = read_adapter(resolve(adapter)).recipe.get("data", {})
    return {
        Path(source["path"]).resolve(): source["validation_fraction"]
        for source in data.get("sources", [])
        if source.get("path")
    }


def _opened(
    path: str,
    split: str | None,
    trained_on: dict[Path, float],
    *,
    trust: bool = False,
    **options: Any,
) -> TrajectoryCollection:
    """Data that the subject was not trained on, as far as the folder and its recipe tell."""
    split = split or held_out_split(path, trust=trust)
    collection = open_trajectories(path, split=split, trust=trust, **options)
    fraction = trained_on.get(Path(path).resolve())
    if split is not None or fraction is None:
        return collection
    return hold_out(collection, "valid", fraction)


def _to_train_on(
    path: str,
    other: str | None,
    split: str | None,
    trained_on: dict[Path, float],
    *,
    trust: bool = False,
    **options: Any,
) -> TrajectoryCollection:
    """Other data, the train split, or what an adapter was trained on.

    Raises:
        RecipeError: There is nothing.
    """
    where = other or path
    present = present_splits(where, trust=trust)
    known = "train" if "train" in present else None
    fraction = trained_on.get(Path(path).resolve()) if other is None else None
    if other is None and known is None and (fraction is None or split is not None):
        raise RecipeError(
            "--baselines need data to train on",
            got=f"{path} without a train split",
            do="Give --baseline-data, or a folder with a train split",
        )
    found = open_trajectories(where, split=known, trust=trust, **options)
    held_out = split or held_out_split(path, trust=trust)
    return found if held_out or fraction is None else hold_out(found, "train", fraction)


def _training_sets(
    order: BaselineOrder,
    datasets: Mapping[str, TrajectoryCollection],
    data: Sequence[str],
    *described: Any,
    **options: Any,
) -> dict[str, TrainingSet]:
    """What baselines are trained on, for every dataset.

    Raises:
        RecipeError: There is nothing, or not one training set for each dataset.
        DataError: It has other fields, or a trajectory that is measured on.
    """
    if order.data and len(order.data) != len(data):
        raise RecipeError(
            "--baseline-data come once for each --data", got=f"{len(order.data)} for {len(data)}"
        )
    sets = {}
    for path, other in zip(data, order.data or [None] * len(data), strict=True):
        name = Path(path).stem
        found = _to_train_on(path, other, *described, **options)
        train = first_trajectories(found, order.num_trajectories)
        sets[name] = TrainingSet(name, train, datasets[name])
    return sets


def load_contenders(
    model: str, adapter: str | None, compare: Sequence[str]
) -> dict[str, Contender]:
    """The subject as ``model``, and what it is compared with by label.

    Args:
        model: Name of the subject.
        adapter: Its adapter.
        compare: ``LABEL=MODEL`` for further models.

    Raises:
        RecipeError: Not of that form, or a label that is taken.
    """
    contenders = {
        "model": Contender(*load_by_name(model, adapter), noise=training_noise(adapter or model))
    }
    for text in compare:
        label, _, name = text.partition("=")
        if not name or label in {*contenders, *BASELINES}:
            raise RecipeError("--compare takes LABEL=MODEL", got=text, do="Use a label of its own")
        contenders[label] = Contender(*load_by_name(name), noise=training_noise(name))
    return contenders


def check_ensemble(ensemble: int, noise: float | None) -> None:
    """Refuse a perturbation that nothing would be perturbed by.

    Raises:
        RecipeError: No member, noise without an ensemble, or members without noise.
    """
    if ensemble < 1:
        raise RecipeError("an ensemble needs at least one member", got=ensemble)
    if noise is not None and ensemble == 1:
        raise RecipeError("noise is of an ensemble", got=noise, do="Add --ensemble 8, say")
    if noise is not None and not noise > 0:
        raise RecipeError("noise must be positive", got=noise, do="Leave it out for the training's")


def open_held_out(path: str, adapter: str | None, **options: Any) -> TrajectoryCollection:
    """Data as :func:`evaluate_by_name` takes them when no split is given.

    Args:
        path: File or folder.
        adapter: The adapter that is evaluated, if any.
        **options: Format, trust and description of the data.
    """
    return _opened(path, None, {} if adapter is None else _trained_on(adapter), **options)


def _check_names(data: Sequence[str]) -> None:
    """Refuse two datasets of one name."""
    names = [Path(path).stem for path in data]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            "two datasets have one name",
            got=f"'{twice[0]}'",
            do="Rename one of the files or folders, or evaluate them one by one",
        )


def evaluate_by_name(
    model: str,
    adapter: str | None,
    data: Sequence[str],
    out: str | Path,
    *,
    compare: Sequence[str] = (),
    split: str | None = None,
    format: str = "auto",
    trust: bool = False,
    options: dict[str, Any] | None = None,
    num_steps: int | None = None,
    start_frame: int = 0,
    max_trajectories: int | None = None,
    ensemble: int = 1,
    noise: float | None = None,
    seed: int = 0,
    baselines: BaselineOrder | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Evaluate and write ``results.json``.

    Args:
        model: Name of the subject.
        adapter: Its adapter.
        data: Files or folders; each is a dataset named after its path.
        out: Where to write.
        compare: ``LABEL=MODEL`` for further models.
        split: Split of the data; ``None`` takes ``test``, else ``valid``, else all there is, or of
            the adapter's own training data what was held out.
        format: Format of the data.
        trust: Open the data without looking into them first.
        options: Description of the data.
        num_steps: Frames to roll out.
        start_frame: First frame of the history.
        max_trajectories: Only the first so many of each dataset.
        ensemble: Members of every forecast; errors are those of their mean.
        noise: Perturbation of their histories over the RMS of each field; ``None`` is that of each
            model's training.
        seed: Of the perturbations; recorded.
        baselines: What is trained on each dataset's training part and measured, too.
        overwrite: Replace an existing file.

    Raises:
        PdefmError: As the parts say; nothing is written then.
    """
    if Path(out).exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")
    task = None if adapter is None else read_adapter(resolve(adapter)).task
    of_forecasts = (
        compare or baselines or num_steps is not None or ensemble > 1 or noise is not None
    )
    if task is not None and not TASKS[task].forecasts and of_forecasts:
        raise RecipeError(
            "--compare, --baselines, --steps, --ensemble and --noise are for forecasts, and the"
            f" adapter's task is {task}",
            do="Leave them out",
        )
    check_ensemble(ensemble, noise)
    contenders = load_contenders(model, adapter, compare)
    if baselines is not None:
        baselines.check_labels(contenders)
    _check_names(data)
    trained_on = {} if adapter is None else _trained_on(adapter)
    opening = {"format": format, "trust": trust, **(options or {})}
    datasets = {Path(path).stem: _opened(path, split, trained_on, **opening) for path in data}
    described = describe_model(model, adapter)
    if task is not None and adapter is not None and not TASKS[task].forecasts:
        subject = contenders["model"]
        results = evaluate_task(
            datasets,
            subject.model,
            read_adapter(resolve(adapter)).make_task(subject.processor),
            start_frame=start_frame,
            max_trajectories=max_trajectories,
            described=described,
            seed=seed,
        )
        write_json_atomic(out, results)
        return results
    baselines_of = None
    if baselines is not None:
        sets = _training_sets(baselines, datasets, data, split, trained_on, **opening)
        baselines_of = baselines.of(sets, contenders["model"])
    protocol = Protocol(
        history=contenders["model"].processor.history,
        num_steps=num_steps,
        start_frame=start_frame,
        max_trajectories=max_trajectories,
        ensemble=ensemble,
        noise=noise,
    )
    results = evaluate(
        datasets,
        contenders,
        protocol,
        model=described,
        seed=seed,
        baselines_of=baselines_of,
    )
    write_json_atomic(out, results)
    return results
