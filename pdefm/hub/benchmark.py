"""A benchmark: datasets, split, start frame, horizons and reduction in one recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field as Limits
from pydantic import PositiveInt

from pdefm.config import Section
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.source import SourceSection
from pdefm.errors import DataError, EnvironmentFault
from pdefm.evaluation.evaluate import Protocol, evaluate
from pdefm.evaluation.training_set import BaselineOrder, TrainingSet, first_trajectories
from pdefm.files import write_json_atomic
from pdefm.hub.evaluation import describe_model, load_contenders
from pdefm.models.processing_pde import PDEProcessor
from pdefm.pdes import PDES


class BenchmarkRecipe(Section):
    """What is measured, so that the same command gives the same numbers."""

    name: str
    """In the results."""
    seed: int = 0
    """Recorded; the samples have seeds of their own."""
    start_frame: int = Limits(default=0, ge=0)
    """First frame of the history."""
    num_steps: int | None = Limits(default=None, ge=1)
    """Frames to roll out; by default all that the data have."""
    horizons: list[PositiveInt] = Limits(default_factory=lambda: [1])
    """Steps whose errors are listed by themselves."""
    max_trajectories: int | None = Limits(default=None, ge=1)
    """Only the first so many of each dataset."""
    baseline_trajectories: int | None = Limits(default=None, ge=1)
    """Training trajectories of each dataset for baselines that are trained on it; by default those
    that the source has."""
    sources: list[SourceSection] = Limits(min_length=1)
    """Datasets; of each, the held-out split counts."""


def _fields(source: SourceSection) -> tuple[str, ...] | None:
    """Fields of a dataset that is solved, without solving it."""
    solved = source.generate or source.online
    return None if solved is None else PDES[solved.family](**solved.settings).channel_names


def _why_not(
    source: SourceSection, collection: TrajectoryCollection | None, processor: PDEProcessor, n: int
) -> str | None:
    """Why a model cannot be measured on a dataset."""
    names = _fields(source) if collection is None else collection.read(0, 0, 1).names
    if unknown := [name for name in names or () if name not in processor.fields]:
        return f"the model does not know field '{unknown[0]}'"
    if collection is not None and (found := collection.read(0, 0, 1).grid.num_dims) != n:
        return f"the model takes {n} space axes, the data have {found}"
    return None


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
        DataError: The model can take none of the datasets.
        PdefmError: As the parts say; nothing is written then.
    """
    if Path(out).exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")
    contenders = load_contenders(model, adapter, compare)
    if baselines is not None:
        baselines.check_labels(contenders)
    subject = contenders["model"]
    config: Any = subject.model.config
    datasets: dict[str, TrajectoryCollection] = {}
    skipped: dict[str, str] = {}
    for source in recipe.sources:
        reason = _why_not(source, None, subject.processor, config.num_dims)
        if reason is None:
            collection = source.open("valid")
            reason = _why_not(source, collection, subject.processor, config.num_dims)
            if reason is None:
                datasets[source.name] = collection
        if reason is not None:
            skipped[source.name] = reason
    if not datasets:
        name, reason = next(iter(skipped.items()))
        raise DataError(
            f"benchmark {recipe.name} has no dataset for this model",
            got=f"{name}: {reason}, and {len(skipped) - 1} more",
            do="Use another benchmark, or --data",
        )
    baselines_of = None
    if baselines is not None:
        count = baselines.num_trajectories or recipe.baseline_trajectories
        sets = {
            source.name: _training_set(source, datasets[source.name], count)
            for source in recipe.sources
            if source.name in datasets
        }
        baselines_of = baselines.of(sets, subject)
    protocol = Protocol(
        history=subject.processor.history,
        num_steps=recipe.num_steps,
        start_frame=recipe.start_frame,
        max_trajectories=recipe.max_trajectories,
    )
    described = describe_model(model, adapter)
    results = evaluate(
        datasets,
        contenders,
        protocol,
        model=described,
        seed=recipe.seed,
        baselines_of=baselines_of,
    )
    for entry in results["datasets"].values():
        curve = entry["per_step"]["relative_l2"]["mean"]
        entry["horizons"] = {str(h): curve[h - 1] for h in recipe.horizons if h <= len(curve)}
    results |= {"benchmark": recipe.model_dump(mode="json"), "skipped": skipped}
    write_json_atomic(out, results)
    return results
