"""What a baseline may be trained on, and that nothing of it is measured on."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pdefm.data.augmentation import NO_AUGMENTATION, Augmentation
from pdefm.data.collection import Subset, TrajectoryCollection
from pdefm.errors import DataError, RecipeError
from pdefm.evaluation.protocol import Contender


@dataclass(frozen=True)
class TrainingSet:
    """Training trajectories of a dataset beside those that are measured on.

    Args:
        name: Of the dataset.
        train: Training trajectories.
        held_out: What is measured on.
        augmentation: What training windows are moved by.

    Raises:
        DataError: The two have other fields, or a trajectory in common.
    """

    name: str
    train: TrajectoryCollection
    held_out: TrajectoryCollection
    augmentation: Augmentation = NO_AUGMENTATION

    def __post_init__(self) -> None:
        """Refuse what would make the comparison worthless."""
        known, asked = (part.read(0, 0, 1).names for part in (self.train, self.held_out))
        if known != asked:
            raise DataError(
                f"{self.name}: baselines need training data of the same fields",
                got=f"{', '.join(known)} for {', '.join(asked)}",
                do="Give other training data",
            )
        if self.train.num_typical is not None:
            return  # an endless source has samples of its own
        seen = {_fingerprint(self.train, i) for i in range(len(self.train))}
        for index in range(len(self.held_out)):
            if _fingerprint(self.held_out, index) in seen:
                source = self.held_out.read(index, 0, 1).source
                raise DataError(
                    f"{self.name}: baselines would be measured on what they are trained on",
                    got=f"{source} in both",
                    do="Evaluate a split that is held out, or give other training data",
                )


TrainBaselines: TypeAlias = Callable[[TrainingSet, Contender], Mapping[str, Contender]]
"""Trains every wanted baseline on a set, beside the model that is evaluated; by label."""


@dataclass(frozen=True)
class BaselineOrder:
    """Baselines that an evaluation trains on every dataset.

    Args:
        labels: What they are called.
        train: Trains them.
        num_trajectories: Training trajectories of each dataset; ``None`` is all that there are.
        data: Training data of each of the evaluated files; by default their own training part.
    """

    labels: tuple[str, ...]
    train: TrainBaselines
    num_trajectories: int | None = None
    data: tuple[str, ...] = ()

    def check_labels(self, taken: Iterable[str]) -> None:
        """Refuse a label that something else has.

        Raises:
            RecipeError: Names it.
        """
        if twice := sorted(set(self.labels) & set(taken)):
            raise RecipeError(
                "--compare and --baselines use one label", got=twice[0], do="Choose another one"
            )

    def of(
        self, sets: Mapping[str, TrainingSet], subject: Contender
    ) -> Callable[[str], Mapping[str, Contender]]:
        """What :func:`~pdefm.evaluation.evaluate.evaluate` asks for the baselines of a dataset.

        Args:
            sets: Dataset to what its baselines are trained on.
            subject: The model that is evaluated.
        """
        return lambda name: self.train(sets[name], subject)


def first_trajectories(collection: TrajectoryCollection, count: int | None) -> TrajectoryCollection:
    """At most so many; all of an endless source.

    Args:
        collection: Trajectories.
        count: How many; ``None`` is all.
    """
    if count is None or collection.num_typical is not None or count >= len(collection):
        return collection
    return Subset(collection, range(count))


def _fingerprint(collection: TrajectoryCollection, index: int) -> str:
    """Hash of the first and the last frame: trajectories may well start alike."""
    last = collection.num_frames(index) - 1
    digest = hashlib.sha256(f"{last}".encode())
    for frame in (0, last):
        read = collection.read(index, frame, frame + 1)
        digest.update(read.fields.contiguous().numpy().tobytes())
    return digest.hexdigest()
