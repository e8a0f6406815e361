"""Sources of a recipe: files, an equation solved once into the cache, or one without end."""

from typing import Annotated, Any, Literal

from pydantic import Field as Limits
from pydantic import field_validator, model_validator

from pdefm.config import Section
from pdefm.data.augmentation import Augmentation
from pdefm.data.collection import Subset, TrajectoryCollection
from pdefm.data.generate import generate_cached
from pdefm.data.online import OnlineCollection
from pdefm.data.open import open_trajectories, present_splits
from pdefm.errors import DataError
from pdefm.progress import progress

Points = Annotated[int, Limits(ge=8)]


class GenerateSection(Section):
    """Trajectories that a solver makes; kept in the cache and made only once."""

    family: str
    """Name in the table of equations."""
    num_trajectories: int = Limits(default=32, ge=1)
    """Training trajectories."""
    num_validation: int = Limits(default=4, ge=1)
    """Validation trajectories, which are other samples."""
    resolution: Points | list[Points] = 64
    """Points per axis, or of each axis."""
    num_frames: int = Limits(default=21, ge=1)
    """Frames per trajectory, the initial state included; steady families have one."""
    seed: int = 0
    """Decides the samples."""
    settings: dict[str, Any] = Limits(default_factory=dict)
    """Arguments of the equation, such as ``parameter_ranges`` or ``dt``."""

    def open(self, split: str, device: str) -> TrajectoryCollection:
        """Solve (or find in the cache) one split."""
        count = self.num_trajectories if split == "train" else self.num_validation
        with progress(f"solve {self.family} ({split})", count, unit="trajectories") as advance:
            folder = generate_cached(
                self.family,
                num_trajectories=count,
                resolution=tuple(self.resolution)
                if isinstance(self.resolution, list)
                else self.resolution,
                num_frames=self.num_frames,
                seed=self.seed,
                split=split,
                device=device,
                settings=self.settings,
                progress=advance,
            )
        return open_trajectories(folder, "well", split=split, trust=True)


class OnlineSection(Section):
    """An equation that is solved while the model trains; no training trajectory comes again."""

    family: str
    """Name in the table of equations."""
    resolution: int = Limits(default=64, ge=8)
    """Points per axis."""
    num_frames: int = Limits(default=21, ge=2)
    """Frames per trajectory, the initial state included."""
    seed: int = Limits(default=0, ge=0)
    """Decides the samples."""
    buffer: int = Limits(default=64, ge=1)
    """Trajectories that are drawn from at a time; then the next ones take their place."""
    reuse: int = Limits(default=16, ge=1)
    """Windows that each trajectory serves. Raise it if ``data_wait_fraction`` in the metrics says
    that the training waits for the solver."""
    workers: int = Limits(default=0, ge=0)
    """Processes a rank that solve ahead; 0 solves in between the steps, as on the GPU."""
    batch: int = Limits(default=16, ge=1)
    """Trajectories that are solved together."""
    num_validation: int = Limits(default=4, ge=1)
    """Validation trajectories: other samples, solved once into the cache."""
    settings: dict[str, Any] = Limits(default_factory=dict)
    """Arguments of the equation, such as ``parameter_ranges`` or ``dt``."""

    def open(self, split: str, device: str) -> TrajectoryCollection:
        """The endless collection, or the fixed validation set."""
        same = {"resolution", "num_frames", "seed", "settings"}
        if split == "train":
            options = self.model_dump(include=same | {"buffer", "reuse", "workers", "batch"})
            return OnlineCollection(self.family, device=device, **options)
        fixed = GenerateSection(
            family=self.family, num_validation=self.num_validation, **self.model_dump(include=same)
        )
        return fixed.open(split, device)


class SourceSection(Section):
    """One source of a mixture: give one of ``path``, ``generate`` and ``online``."""

    name: str
    """Name in logs and results."""
    weight: float = Limits(default=1.0, gt=0)
    """Share of the micro-batches, relative to the other sources."""
    generate: GenerateSection | None = None
    """Solve an equation once."""
    online: OnlineSection | None = None
    """Solve an equation while the model trains."""
    path: str | None = None
    """File or folder."""
    format: str = "auto"
    """Name in the table of formats."""
    trust: bool = False
    """Open files of your own without looking into them first."""
    axes: str | None = None
    """Meaning of the array's axes, such as ``N T C X Y``."""
    names: list[str] | None = None
    """Field name of each channel."""
    units: list[str] | None = None
    """Unit of each channel."""
    dt: float | None = Limits(default=None, gt=0)
    """Time between frames."""
    extent: list[float] | None = None
    """Length of each space axis."""
    boundary: str | None = None
    """``periodic``, ``wall`` or ``open``."""
    variables: dict[str, str] | None = None
    """Field name to where the file keeps it, as ``u: velocity/x``."""
    random_shift: bool = False
    """Move every training window by random whole points along the periodic axes: many more
    samples, where the equation and its forcing are the same everywhere."""
    random_rotation: bool = False
    """Turn training windows by quarter turns, where no direction is special."""
    random_reflection: bool = False
    """Mirror training windows, where no side is special."""
    random_boost: int = Limits(default=0, ge=0)
    """Show training windows to an observer who moves up to so many grid points a frame, where the
    equation is Galilei-invariant and has a velocity."""
    time_strides: list[int] = Limits(default_factory=lambda: [1], min_length=1)
    """Distances between the frames of a training window, such as 1, 2 and 4; the model had better
    be told the time step then (``model.conditions: [dt]``)."""
    nonfinite: Literal["error", "drop", "mask"] = "error"
    """What happens to NaN and infinite values: training stops before it starts, the trajectory is
    left out (and listed), or the points are masked."""
    validation_fraction: float = Limits(default=0.1, gt=0, lt=1)
    """Trajectories at the end that are held out where the data have no ``valid`` split."""

    @field_validator("time_strides")
    @classmethod
    def _positive_strides(cls, value: list[int]) -> list[int]:
        if min(value) < 1 or len(set(value)) != len(value):
            raise ValueError("give different whole numbers from 1 on")
        return value

    @property
    def augmentation(self) -> Augmentation:
        """What training windows are moved by."""
        return Augmentation(
            shift=self.random_shift,
            rotation=self.random_rotation,
            reflection=self.random_reflection,
            boost=self.random_boost,
        )

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceSection":
        if sum(origin is not None for origin in (self.path, self.generate, self.online)) != 1:
            raise ValueError("give one of path, generate and online")
        return self

    def open(self, split: str, device: str = "cpu") -> TrajectoryCollection:
        """Trajectories of ``train`` or ``valid``.

        Raises:
            DataError: Missing or unreadable data, or too few trajectories to hold any out.
        """
        if self.generate is not None:
            return self.generate.open(split, device)
        if self.online is not None:
            return self.online.open(split, device)
        assert self.path is not None
        present = present_splits(self.path, trust=self.trust)
        if {"train", "valid"} <= set(present):
            return self.open_path(split)
        # What is held out comes from the training data; a test split is never trained on.
        whole = self.open_path("train" if present else None)
        return hold_out(whole, split, self.validation_fraction)

    def open_path(self, split: str | None) -> TrajectoryCollection:
        """Trajectories at ``path`` as they lie there: of one split, or all of them.

        Raises:
            DataError: Missing or unreadable data, or no such split.
        """
        assert self.path is not None
        description = {
            key: value
            for key in ("axes", "names", "units", "dt", "extent", "boundary", "variables")
            if (value := getattr(self, key)) is not None
        }
        return open_trajectories(
            self.path, self.format, split=split, trust=self.trust, **description
        )


def hold_out(collection: TrajectoryCollection, split: str, fraction: float) -> TrajectoryCollection:
    """First trajectories for training, the last ``fraction`` (at least one) for validation.

    Raises:
        DataError: Fewer than two trajectories.
    """
    total = len(collection)
    if total < 2:
        raise DataError(
            f"{collection.name}: at least two trajectories are needed, one of them held out",
            got=total,
            do="Add trajectories, or cut the long one into several files",
        )
    held = min(max(1, round(total * fraction)), total - 1)
    chosen = range(total - held) if split == "train" else range(total - held, total)
    return Subset(collection, list(chosen))
