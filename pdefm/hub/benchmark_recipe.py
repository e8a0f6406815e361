"""What a recipe of a benchmark says."""

from pathlib import Path
from typing import Literal

from pydantic import Field as Limits
from pydantic import PositiveInt, field_validator

from pdefm.config import Section
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.source import SourceSection
from pdefm.errors import RecipeError
from pdefm.evaluation.measures import chosen_measures
from pdefm.evaluation.protocol import Protocol
from pdefm.models.processing_pde import PDEProcessor


class BenchmarkSource(SourceSection):
    """A dataset of a benchmark."""

    split: Literal["valid", "test", "all"] = "valid"
    """What is measured on: the trajectories that trainings hold out, the split ``test`` (of an
    equation, samples that no training sees or chooses by), or all that lies at ``path``, which then
    is what no training sees."""
    num_steps: int | None = Limits(default=None, ge=1)
    """Frames to roll out; by default the benchmark's."""
    max_trajectories: int | None = Limits(default=None, ge=1)
    """Only the first so many; by default the benchmark's."""
    num_fields: int | None = Limits(default=None, ge=1)
    """Only the first so many fields count; for data whose last channel is a stored mask."""

    def located(self, root: str | None) -> "BenchmarkSource":
        """The same with its path below ``root``; a full path and a place elsewhere stay."""
        if root is None or self.path is None or ":/" in self.path:
            return self
        return self.model_copy(update={"path": str(Path(root).expanduser() / self.path)})

    def missing(self) -> bool:
        """Whether there is nothing at its path."""
        here = self.path is not None and ":/" not in self.path
        return here and not Path(str(self.path)).expanduser().exists()

    def open_unseen(self) -> TrajectoryCollection:
        """What is measured on.

        Raises:
            DataError: Missing or unreadable data.
        """
        if self.path is None:
            return self.open("test" if self.split == "test" else "valid")
        if self.split == "valid":
            return self.open("valid")
        return self.open_path(None if self.split == "all" else self.split)


class BenchmarkRecipe(Section):
    """What is measured, so that the same command gives the same numbers."""

    name: str
    """In the results."""
    about: str = ""
    """What it asks, for a card: a sentence or two."""
    seed: int = 0
    """Of the perturbations of an ensemble; the samples have seeds of their own."""
    root: str | None = None
    """Folder that relative paths of the sources start from; by default the working directory."""
    history: int | None = Limits(default=None, ge=1)
    """Frames given; a model that takes fewer sees the last of them, so that all predict the same
    frames. By default as many as the model takes."""
    start_frame: int = Limits(default=0, ge=0)
    """First frame of the history."""
    num_steps: int | None = Limits(default=None, ge=1)
    """Frames to roll out; by default all that the data have."""
    horizons: list[PositiveInt] = Limits(default_factory=lambda: [1])
    """Steps whose errors are listed by themselves."""
    max_trajectories: int | None = Limits(default=None, ge=1)
    """Only the first so many of each dataset."""
    resolution: int | None = Limits(default=None, ge=8)
    """Interpolate data of two space axes to so many points an axis before any model sees them, as
    DPOT does to 128; by default each model is rolled out on the data's own grid."""
    metrics: list[str] | None = None
    """Names in the table of measures, ``relative_l2`` always among them; by default all but those
    of a protocol of their own, such as ``dpot_128_l2re``."""
    ensemble: int = Limits(default=1, ge=1)
    """Members of every forecast, from perturbed histories; errors are those of their mean."""
    noise: float | None = Limits(default=None, gt=0)
    """Their perturbation over the RMS of each field; by default that of each model's training."""
    positional: bool = False
    """Models without named fields, as the published DPOT, take the data's in their order."""
    baseline_trajectories: int | None = Limits(default=None, ge=1)
    """Training trajectories of each dataset for baselines that are trained on it; by default those
    that the source has."""
    sources: list[BenchmarkSource] = Limits(min_length=1)
    """Datasets; of each, what no training sees counts."""

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: list[str] | None) -> list[str] | None:
        try:
            chosen_measures(value)
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return value

    def protocol(self, processor: PDEProcessor) -> Protocol:
        """What is measured of a model on every dataset."""
        return Protocol(
            history=self.history or processor.history,
            num_steps=self.num_steps,
            start_frame=self.start_frame,
            max_trajectories=self.max_trajectories,
            metrics=None if self.metrics is None else tuple(self.metrics),
            ensemble=self.ensemble,
            noise=self.noise,
            positional=self.positional,
        )
