"""From the data section of a recipe to a mixture, validation batches and a processor."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch

from pdefm.data.augmentation import NO_AUGMENTATION, Augmentation
from pdefm.data.batch import Batch, collate
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.mixture import Mixture, MixtureSource, Windows, read_window
from pdefm.data.nonfinite import MaskedNonfinite, find_nonfinite, without_nonfinite
from pdefm.data.online import OnlineCollection
from pdefm.data.source import SourceSection
from pdefm.data.statistics import field_statistics
from pdefm.data.trajectory import Trajectory, periodic_axes
from pdefm.data.windows import WindowIndex
from pdefm.errors import DataError, RecipeError
from pdefm.models.processing_pde import PDEProcessor
from pdefm.progress import progress
from pdefm.registry import nearest_name_hint
from pdefm.tasks.base import Task
from pdefm.train.recipe import DataSection, TrainingRecipe

VALIDATION_BATCH = 16
CONDITION_SAMPLES = 256  # trajectories of a source that are asked for their parameters


@dataclass(frozen=True)
class OpenedSource:
    """A source of the recipe with its two splits.

    Args:
        name: In logs and results.
        weight: Relative to the other sources.
        train: Training trajectories.
        valid: Held-out trajectories.
        augmentation: What training windows are moved by.
        time_strides: Distances between the frames of a training window.
        dropped: What was left out because it was not finite, for the log.
    """

    name: str
    weight: float
    train: TrajectoryCollection
    valid: TrajectoryCollection
    augmentation: Augmentation = NO_AUGMENTATION
    time_strides: tuple[int, ...] = (1,)
    dropped: tuple[str, ...] = ()

    @property
    def first(self) -> Trajectory:
        """Two frames, for names, units, grid and boundary."""
        return head(self.train, 0)

    def heads(self) -> list[Trajectory]:
        """Two frames of one trajectory of each group of alike ones."""
        return [head(self.train, group[0]) for group in self.train.groups()]


def head(collection: TrajectoryCollection, index: int) -> Trajectory:
    """The first two frames, or the only one."""
    return collection.read(index, 0, min(2, collection.num_frames(index)))


def open_sources(section: DataSection, device: str = "cpu") -> list[OpenedSource]:
    """Open (or solve) every source.

    Raises:
        DataError: Missing, unreadable or too few data.
        RecipeError: An augmentation that the data cannot bear.
    """
    return [_opened(source, device) for source in section.sources]


def _opened(section: SourceSection, device: str) -> OpenedSource:
    splits = {split: section.open(split, device) for split in ("train", "valid")}
    dropped: list[str] = []
    if section.online is None and section.nonfinite != "error":
        for split, collection in splits.items():
            if section.nonfinite == "mask":
                splits[split] = MaskedNonfinite(collection)
                continue
            with progress(f"look for NaN in {section.name} ({split})", len(collection)) as advance:
                found = find_nonfinite(collection, advance)
            splits[split] = without_nonfinite(collection, found)
            dropped += [
                f"{collection.read(i, k, k + 1).source} frame {k}" for i, k in found.items()
            ]
    opened = OpenedSource(
        section.name,
        section.weight,
        splits["train"],
        splits["valid"],
        section.augmentation,
        tuple(section.time_strides),
        tuple(dropped),
    )
    opened.augmentation.check(opened.first, section.name)
    return opened


def check_grids(
    sources: Sequence[OpenedSource], patch_size: int, num_dims: int | None = None
) -> int:
    """Refuse grids that the patches do not tile; returns the number of space axes.

    Args:
        sources: All must have equally many space axes.
        patch_size: Of the model.
        num_dims: Space axes of the model; ``None`` takes those of the first source.

    Raises:
        DataError: Names the source and its grid.
    """
    shapes = [(source, first.grid.shape) for source in sources for first in source.heads()]
    for source, shape in shapes:
        num_dims = len(shape) if num_dims is None else num_dims
        if len(shape) != num_dims:
            raise DataError(
                f"{source.name}: this model takes fields on {num_dims} space axes",
                got=f"{len(shape)} axes {shape}",
                do="Use such data, all sources with equally many axes",
            )
        if any(size % patch_size for size in shape):
            raise DataError(
                f"{source.name}: resolution must be divisible by the patch size {patch_size}",
                got=" x ".join(map(str, shape)),
                do=f"Crop or resample to multiples of {patch_size}, or change model.patch_size",
            )
    assert num_dims is not None
    return num_dims


def evenly(total: int, count: int) -> list[int]:
    """At most ``count`` of ``range(total)``, evenly spread from the first to the last."""
    count = min(count, total)
    return [round(i * (total - 1) / max(count - 1, 1)) for i in range(count)]


def source_windows(
    name: str,
    collection: TrajectoryCollection,
    history: int,
    horizon: int,
    stride: int = 1,
    time_strides: Sequence[int] = (1,),
) -> tuple[Windows, ...]:
    """The windows of each group of alike trajectories; groups that are too short are left out."""
    if isinstance(collection, OnlineCollection):
        return (collection.windows(history, horizon, stride, name, time_strides),)
    groups = [
        (group, [collection.num_frames(i) for i in group])
        for group in collection.groups()
        if len(group)
    ]
    long_enough = [pair for pair in groups if max(pair[1]) >= history + horizon]
    return tuple(
        WindowIndex(
            lengths,
            history=history,
            horizon=horizon,
            stride=stride,
            time_strides=time_strides,
            indices=group,
            source=name,
        )
        for group, lengths in long_enough or groups
    )


def make_mixture(
    sources: Sequence[OpenedSource],
    recipe: TrainingRecipe,
    task: Task,
    *,
    num_slots: int,
) -> Mixture:
    """The training mixture; ``num_slots`` micro-batches make a step.

    Args:
        sources: Opened ones.
        recipe: Batch sizes and seed.
        task: Says how long windows are.
        num_slots: Micro-batches a step, over all processes.

    Raises:
        DataError: Too few frames for history + horizon.
    """
    history, horizon = task.num_history_frames, task.num_target_frames
    return Mixture(
        [
            MixtureSource(
                s.name,
                s.train,
                source_windows(
                    s.name, s.train, history, horizon, recipe.data.window_stride, s.time_strides
                ),
                s.weight,
                s.augmentation,
            )
            for s in sources
        ],
        history=history,
        micro_batch_size=recipe.train.micro_batch_size,
        num_slots=num_slots,
        seed=recipe.seed,
    )


def validation_batches(
    sources: Sequence[OpenedSource],
    section: DataSection,
    task: Task,
    num_predictions: int = 1,
) -> dict[str, list[Batch]]:
    """The same evenly spread windows of every source, whatever the seed.

    Args:
        sources: Opened.
        section: Says how many windows.
        task: Says how long they are.
        num_predictions: Predictions in a row that the targets are long enough for.

    Raises:
        DataError: A source whose trajectories are too short.
    """
    history, horizon = task.num_history_frames, task.num_validation_frames(num_predictions)
    batches: dict[str, list[Batch]] = {}
    for source in sources:
        pools = source_windows(source.name, source.valid, history, horizon)
        share = max(1, section.validation_windows // len(pools))
        batches[source.name] = [
            collate(windows[i : i + VALIDATION_BATCH], history=history, source=source.name)
            for pool in pools
            for windows in [
                [read_window(source.valid, pool.locate(i)) for i in evenly(len(pool), share)]
            ]
            for i in range(0, len(windows), VALIDATION_BATCH)
        ]
    return batches


def condition_statistics(
    sources: Sequence[OpenedSource], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """How each condition is normalised: by its mean and deviation over the sources.

    A scalar that is positive everywhere and spans more than a factor of ten is taken by its
    logarithm, the time step always.

    Raises:
        RecipeError: A parameter that no training trajectory has.
    """
    heads = [
        head(source.train, i)
        for source in sources
        for i in evenly(source.train.num_typical or len(source.train), CONDITION_SAMPLES)
    ]
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if name == "boundary":
            found[name] = {}
            continue
        values = [head.dt if name == "dt" else head.parameters.get(name) for head in heads]
        given = np.array([value for value in values if value is not None])
        if not len(given):
            known = sorted({key for head in heads for key in head.parameters})
            raise RecipeError(
                f"model.conditions: no training trajectory has a parameter '{name}'",
                do=nearest_name_hint(name, ["dt", "boundary", *known]),
            )
        log = bool(name == "dt" or (given.min() > 0 and given.max() > 10 * given.min()))
        shown = np.log(given) if log else given
        spread = float(shown.std())
        mean = float(shown.mean())
        usable = spread > 1e-6 * max(abs(mean), 1e-30)
        found[name] = {"log": log, "mean": mean, "std": spread if usable else 1.0}
    return found


def make_processor(
    sources: Sequence[OpenedSource],
    *,
    history: int,
    horizon: int,
    normalization: str,
    conditions: Sequence[str] = (),
    min_history: int | None = None,
) -> PDEProcessor:
    """Statistics over the training data; sources that share a field count equally.

    Of an endless source, the first block counts.

    Raises:
        DataError: Values that are not finite.
        RecipeError: One field in two units, or a condition that no trajectory has.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    units: dict[str, str] = {}
    for source in sources:
        first = source.first
        for name, unit in zip(first.names, first.units, strict=True):
            if units.setdefault(name, unit) != unit:
                raise RecipeError(
                    f"data.sources: field '{name}' comes in two units",
                    got=f"'{units[name]}' and '{unit}' (in {source.name})",
                    do="Give different physical quantities different names",
                )
        for name, statistics in field_statistics(source.train, source.train.num_typical).items():
            found.setdefault(name, []).append(statistics)
    fields: dict[str, dict[str, Any]] = {}
    for name, pairs in found.items():
        mean = sum(m for m, _ in pairs) / len(pairs)
        square = sum(m * m + s * s for m, s in pairs) / len(pairs)
        std = sqrt(max(square - mean * mean, 0.0))
        fields[name] = {"unit": units[name], "mean": mean, "std": std}
    steps = [source.first.dt for source in sources]
    return PDEProcessor(
        fields=fields,
        history=history,
        horizon=horizon,
        normalization=normalization,
        boundaries=sorted(
            {str(side) for s in sources for pair in s.first.boundary for side in pair}
        ),
        dt=[min(steps), max(steps)],
        shift_invariant=all(
            source.augmentation.shift or not _movable(source) for source in sources
        ),
        resolutions=[
            list(shape) for shape in sorted({h.grid.shape for s in sources for h in s.heads()})
        ],
        conditions=condition_statistics(sources, conditions),
        min_history=min_history,
    )


def _movable(source: OpenedSource) -> bool:
    """True if some axis is periodic; between walls a rollout moves nothing either."""
    return any(periodic_axes(source.first.boundary))


def noise_generator(seed: int, step: int, slot: int) -> torch.Generator:
    """Randomness of one micro-batch: the same on every device, rank and resume."""
    state = int(np.random.SeedSequence([seed, 2, step, slot]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state % 2**63)
