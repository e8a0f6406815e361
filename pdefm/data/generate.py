"""Solve equations into files of The Well's specification, once, and go on after a kill."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdefm.data.cache import cache_folder, content_key
from pdefm.data.shard_folder import check_not_taken, complete, is_complete, prepare
from pdefm.data.shards import Shard, write_shards
from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.sample import SAMPLING_VERSION
from pdefm.registry import nearest_name_hint

if TYPE_CHECKING:
    from pdefm.pdes.base import PDE

FIRST_INDEX = {"train": 0, "valid": 1_000_000, "test": 2_000_000}
"""Where each split starts to count samples, so that no sample is in two splits."""
FIRST_ONLINE_INDEX = 3_000_000
"""Samples from here on are those of endless sources."""
SHARD_SIZE = 64
"""Trajectories a file; a multiple of the solver's micro-batch."""
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Order:
    """A set of trajectories that is wanted.

    Args:
        family: Name in the table of equations.
        out: Folder; other splits and families in it stay.
        num_trajectories: How many.
        resolution: Points per axis; one number stands for all axes.
        num_frames: Frames a trajectory, the initial state included; a steady family has one.
        seed: Sample ``i`` of a split depends on the seed and ``i`` only.
        split: ``train``, ``valid`` or ``test``; each holds different samples.
        device: Where the solver runs.
        settings: Arguments of the equation's class, such as ``dt``.
        shard_size: Trajectories a file.
    """

    family: str
    out: Path
    num_trajectories: int
    resolution: int | tuple[int, ...]
    num_frames: int
    seed: int = 0
    split: str = "train"
    device: str = "cpu"
    settings: Mapping[str, Any] = field(default_factory=dict)
    shard_size: int | None = None

    def make_pde(self) -> "PDE":
        """The equation with its settings.

        Raises:
            RecipeError: Unknown family or setting.
        """
        return make_pde(self.family, self.settings)

    def plan(self) -> dict[str, Any]:
        """Everything that decides the numbers, as plain JSON values.

        Raises:
            RecipeError: Unknown family, split or setting, or a number out of range.
        """
        pde = self.make_pde()
        if self.split not in FIRST_INDEX:
            raise RecipeError(
                "unknown split",
                got=f"'{self.split}'",
                do=nearest_name_hint(self.split, list(FIRST_INDEX)),
            )
        size = SHARD_SIZE if self.shard_size is None else self.shard_size
        most = FIRST_INDEX["valid"]
        for name, value in (("num_trajectories", self.num_trajectories), ("shard_size", size)):
            if not 1 <= value <= most:
                raise RecipeError(f"{name} must be 1 to {most}", got=value, do="Change the number")
        return {
            "configuration": pde.configuration(),
            "sampling_version": SAMPLING_VERSION,
            "num_trajectories": self.num_trajectories,
            "resolution": list(pde.grid(self.resolution).shape),
            "num_frames": self.num_frames,
            "seed": self.seed,
            "split": self.split,
            "first_index": FIRST_INDEX[self.split],
            "shard_size": size,
        }

    def shards(self) -> list[Shard]:
        """The files of the set.

        Raises:
            RecipeError: As ``plan``.
        """
        pde, plan = self.make_pde(), self.plan()
        count = -(-plan["num_trajectories"] // plan["shard_size"])
        return [Shard(self.out, pde, plan, number, self.device) for number in range(count)]


def make_pde(family: str, settings: Mapping[str, Any] | None) -> "PDE":
    """An equation with its settings.

    Raises:
        RecipeError: Unknown family or setting.
    """
    try:
        return PDES[family](**(settings or {}))
    except TypeError as error:
        raise RecipeError(
            f"settings of '{family}' do not fit", got=error, do="See `pdefm list pdes`"
        ) from error


def generate(
    family: str,
    *,
    num_trajectories: int,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    out: str | Path,
    split: str = "train",
    device: str = "cpu",
    overwrite: bool = False,
    settings: dict[str, Any] | None = None,
    shard_size: int | None = None,
    num_workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Solve one family into files below ``OUT/data/SPLIT`` and record how.

    The arguments are those of ``Order`` and of ``Generation``. The same call goes on where a
    killed one stopped.

    Returns:
        ``out``, which ``open_trajectories`` opens.

    Raises:
        RecipeError: Unknown family, split or setting, a number out of range, or other settings
            than those of the unfinished set that ``out`` holds.
        EnvironmentFault: The set exists, or cannot be written.
        NumericalError: The solver found no usable sample.
    """
    order = Order(
        family,
        Path(out),
        num_trajectories,
        resolution,
        num_frames,
        seed=seed,
        split=split,
        device=device,
        settings=settings or {},
        shard_size=shard_size,
    )
    Generation([order], overwrite=overwrite).run(num_workers=num_workers, progress=progress)
    return order.out


def generate_cached(
    family: str,
    *,
    num_trajectories: int,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    split: str = "train",
    device: str = "cpu",
    settings: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """As ``generate``, into the cache folder; work that is already there is not done again.

    The folder's name covers everything that decides the numbers, the solver's version included.

    Returns:
        ``CACHE/FAMILY-<16 hexadecimal digits>``.
    """
    order = Order(
        family,
        Path(),
        num_trajectories,
        resolution,
        num_frames,
        seed=seed,
        split=split,
        device=device,
        settings=settings or {},
    )
    plan = order.plan()
    out = cache_folder() / f"{family}-{content_key(plan)}"
    if is_complete([Shard(out, s.pde, plan, s.number) for s in order.shards()]):
        return out
    return generate(
        family,
        num_trajectories=num_trajectories,
        resolution=resolution,
        num_frames=num_frames,
        seed=seed,
        out=out,
        split=split,
        device=device,
        overwrite=True,
        settings=settings,
        progress=progress,
    )


class Generation:
    """Sets to be solved, less what an earlier run has finished.

    Args:
        orders: What is wanted, each in a folder of its own or of another split or family.
        overwrite: Replace complete sets, and unfinished ones of other settings.
        keep_finished: Leave out complete sets of the same settings rather than refuse.
        rank: Number of this process among those that share the files out among themselves.
        world_size: How many these are; all of them return when the sets are complete.

    Raises:
        RecipeError: A wrong order, or other settings than those that the folder was begun with.
        EnvironmentFault: A set, or a file of that name, exists.
        DataError: A damaged record.

    Attributes:
        total: Trajectories in all.
        done: Trajectories that need not be solved again.
    """

    def __init__(
        self,
        orders: Sequence[Order],
        *,
        overwrite: bool = False,
        keep_finished: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.rank, self.world_size = rank, world_size
        sets = [order.shards() for order in orders]
        self.total = sum(shard.num_trajectories for shards in sets for shard in shards)
        self.sets = []
        self.unfinished: list[Shard] = []
        for shards in sets:
            if keep_finished and not overwrite and is_complete(shards):
                continue
            if not overwrite:
                check_not_taken(shards)
            self.sets.append(shards)
        for shards in self.sets:
            self.unfinished += [s for s in shards if s.finished_note() is None]
        self.done = self.total - sum(shard.num_trajectories for shard in self.unfinished)

    def run(self, *, num_workers: int = 1, progress: Callable[[int], None] | None = None) -> None:
        """Solve what is unfinished; each set gets its manifest when its last file is there.

        Args:
            num_workers: Processes; the files are the same for any number.
            progress: Told how many samples have just been finished, by this rank.

        Raises:
            NumericalError: The solver found no usable sample.
            EnvironmentFault: A file cannot be written.
        """
        everything = [shard for shards in self.sets for shard in shards]
        own = everything[self.rank :: self.world_size]
        todo = [shard for shard in own if shard in self.unfinished]
        if self.rank == 0:
            for shards in self.sets:
                prepare(shards)
        for shard in write_shards(todo, num_workers=num_workers, progress=progress):
            self.unfinished.remove(shard)
            if self.world_size == 1:
                self._complete_set_of(shard)
        for shards in self.sets:
            self._meet(shards)

    def _complete_set_of(self, shard: Shard) -> None:
        shards = next(s for s in self.sets if shard in s)
        if not any(other in self.unfinished for other in shards):
            complete(shards)

    def _meet(self, shards: list[Shard]) -> None:
        """Rank 0 waits for the files of all ranks, the others for its record."""
        while not is_complete(shards):
            if self.rank == 0 and all(s.note_path.exists() and s.path.exists() for s in shards):
                complete(shards)
            else:
                assert self.world_size > 1, shards[0].out
                time.sleep(POLL_SECONDS)
