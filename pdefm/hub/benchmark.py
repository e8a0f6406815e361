"""A benchmark: datasets, split, start frame, horizons and metrics in one recipe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.interpolated import Interpolated
from pdefm.data.source import SourceSection
from pdefm.errors import DataError, EnvironmentFault
from pdefm.evaluation.evaluate import evaluate
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.evaluation.training_set import BaselineOrder, TrainingSet, first_trajectories
from pdefm.files import write_json_atomic
from pdefm.hub.benchmark_recipe import BenchmarkRecipe, BenchmarkSource
from pdefm.hub.evaluation import check_ensemble, describe_model, load_contenders
from pdefm.models.processing_pde import PDEProcessor
from pdefm.pdes import PDES


def _fields(source: SourceSection) -> tuple[str, ...] | None:
    """Fields of a dataset that is solved, without solving it."""
    solved = source.generate or source.online
    return None if solved is None else PDES[solved.family](**solved.settings).channel_names


def _unknown(names: Sequence[str], processor: PDEProcessor, positional: bool) -> str | None:
    """Why a model has no channels for fields of these names."""
    if positional and processor.padding_value is not None:
        room, found = len(processor.fields), len(names)
        return f"the model has {room} channels, the data {found}" if found > room else None
    unknown = next((name for name in names if name not in processor.fields), None)
    return None if unknown is None else f"the model does not know field '{unknown}'"


def _taken(
    recipe: BenchmarkRecipe, source: BenchmarkSource, processor: PDEProcessor, num_dims: int
) -> TrajectoryCollection | str:
    """The trajectories of a dataset, or why the model cannot be measured on them."""
    if source.missing():
        return f"no such file or folder: {source.path}"
    if reason := _unknown(_fields(source) or (), processor, recipe.positional):
        return reason
    collection = source.open_unseen()
    head = collection.read(0, 0, 1)
    named = processor.padding_value is None or not recipe.positional
    counted = head.names[: source.num_fields] if named else head.names
    if reason := _unknown(counted, processor, recipe.positional):
        return reason
    if head.grid.num_dims != num_dims:
        return f"the model takes {num_dims} space axes, the data have {head.grid.num_dims}"
    points = recipe.resolution
    if points is None or head.grid.shape == (points, points):
        return collection
    if head.mask is not None or num_dims != 2:
        return "only whole planes can be interpolated"
    return Interpolated(collection, points)


def _refuse_empty(
    recipe: BenchmarkRecipe, sources: Sequence[BenchmarkSource], skipped: Mapping[str, str]
) -> None:
    """Say why nothing can be measured."""
    if all(source.missing() for source in sources):
        raise DataError(
            f"benchmark {recipe.name}: none of its {len(sources)} datasets is there",
            got=f"no {sources[0].path}",
            do="Say where they are with --set root=FOLDER",
        )
    name, reason = next(iter(skipped.items()))
    raise DataError(
        f"benchmark {recipe.name} has no dataset for this model",
        got=f"{name}: {reason}, and {len(skipped) - 1} more",
        do="Use another benchmark, or --data",
    )


def _own_protocols(
    protocol: Protocol, sources: Sequence[BenchmarkSource], datasets: Mapping[str, Any]
) -> dict[str, Protocol]:
    """Protocols of the datasets, where a source says more than the recipe."""
    keys = ("num_steps", "max_trajectories", "num_fields")
    own = {
        source.name: {key: value for key in keys if (value := getattr(source, key)) is not None}
        for source in sources
        if source.name in datasets
    }
    return {name: replace(protocol, **values) for name, values in own.items() if values}


def _training_set(
    source: SourceSection, held_out: TrajectoryCollection, count: int | None
) -> TrainingSet:
    """What baselines are trained on: as many trajectories as wanted, solved if need be."""
    chosen = source
    if source.generate is not None and count is not None:
        more = source.generate.model_copy(update={"num_trajectories": count})
        chosen = source.model_copy(update={"generate": more})
    train = first_trajectories(chosen.open("train"), count)
    return TrainingSet(source.name, train, held_out, source.augmentation)


def _baselines_of(
    recipe: BenchmarkRecipe,
    order: BaselineOrder | None,
    sources: Sequence[BenchmarkSource],
    datasets: Mapping[str, TrajectoryCollection],
    subject: Contender,
) -> Callable[[str], Mapping[str, Contender]] | None:
    """What trains the baselines of a dataset when its turn comes."""
    if order is None:
        return None
    count = order.num_trajectories or recipe.baseline_trajectories
    sets = {
        source.name: _training_set(source, datasets[source.name], count)
        for source in sources
        if source.name in datasets
    }
    return order.of(sets, subject)


def run_benchmark(
    recipe: BenchmarkRecipe,
    model: str,
    adapter: str | None,
    out: str | Path,
    *,
    compare: Sequence[str] = (),
    baselines: BaselineOrder | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Measure a model on every dataset that it can take, and write ``results.json``.

    Args:
        recipe: What is measured.
        model: Name of the subject.
        adapter: Its adapter.
        out: Where to write.
        compare: ``LABEL=MODEL`` for further models.
        baselines: What is trained on each dataset's training trajectories and measured, too.
        overwrite: Replace an existing file.

    Returns:
        As :func:`~pdefm.evaluation.evaluate.evaluate`, with ``benchmark`` (the resolved recipe),
        ``skipped`` (dataset to reason), and per dataset ``horizons`` (step to relative L2).

    Raises:
        DataError: The model can take none of the datasets, or none of them is there.
        PdefmError: As the parts say; nothing is written then.
    """
    if Path(out).exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")
    check_ensemble(recipe.ensemble, recipe.noise)
    sources = [source.located(recipe.root) for source in recipe.sources]
    if all(source.missing() for source in sources):
        _refuse_empty(recipe, sources, {})
    contenders = load_contenders(model, adapter, compare)
    if baselines is not None:
        baselines.check_labels(contenders)
    subject = contenders["model"]
    config: Any = subject.model.config
    taken = {s.name: _taken(recipe, s, subject.processor, config.num_dims) for s in sources}
    datasets = {name: data for name, data in taken.items() if not isinstance(data, str)}
    skipped = {name: reason for name, reason in taken.items() if isinstance(reason, str)}
    if not datasets:
        _refuse_empty(recipe, sources, skipped)
    protocol = recipe.protocol(subject.processor)
    results = evaluate(
        datasets,
        contenders,
        protocol,
        model=describe_model(model, adapter),
        seed=recipe.seed,
        own=_own_protocols(protocol, sources, datasets),
        baselines_of=_baselines_of(recipe, baselines, sources, datasets, subject),
    )
    for entry in results["datasets"].values():
        curve = entry["per_step"]["relative_l2"]["mean"]
        entry["horizons"] = {str(h): curve[h - 1] for h in recipe.horizons if h <= len(curve)}
    results |= {"benchmark": recipe.model_dump(mode="json"), "skipped": skipped}
    write_json_atomic(out, results)
    return results
