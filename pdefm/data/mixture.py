"""Weighted mixture of sources whose order is a pure function of the seed and the position.

A training step consists of ``num_slots`` micro-batches ("slots"), each from one source. Slot number
``g = step * num_slots + slot`` decides everything: its source by a low-discrepancy sequence, its
windows by walking that source's permutations, which the seed and the source's name decide, epoch
after epoch (of an endless source, block after block). Ranks share the slots out among themselves,
so the samples of a step do not depend on the number of processes, and resuming needs one integer.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import numpy as np
from torch.utils.data import Dataset, Sampler

from pdefm.data.augmentation import NO_AUGMENTATION, Augmentation
from pdefm.data.batch import Batch, collate
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.data.turns import Turns
from pdefm.data.windows import EndlessWindows, Window, WindowIndex
from pdefm.errors import RecipeError

Windows: TypeAlias = WindowIndex | EndlessWindows


@dataclass(frozen=True)
class MixtureSource:
    """One ingredient: trajectories, their windows, and how often they are drawn.

    Args:
        name: In logs, in batches, and (with the seed) what decides the order of its windows.
        collection: Trajectories.
        windows: Those of each group of alike trajectories; a micro-batch is drawn from one group,
            a group as often as it has windows.
        weight: Relative to the other sources.
        augmentation: What its windows are moved by at random.
    """

    name: str
    collection: TrajectoryCollection
    windows: tuple[Windows, ...]
    weight: float = 1.0
    augmentation: Augmentation = NO_AUGMENTATION

    @property
    def num_windows(self) -> int:
        """Windows of all groups."""
        return sum(len(windows) for windows in self.windows)


@dataclass(frozen=True)
class _Pool:
    """Windows that may share a micro-batch."""

    source: int
    windows: Windows
    key: tuple[int, int]
    """What its order depends on, beside the seed: its source's name and its place there."""


class Mixture:
    """Micro-batches of several sources in a reproducible order.

    Args:
        sources: Ingredients; weights need not sum to one.
        history: Frames in.
        micro_batch_size: Samples a slot, all of one source.
        num_slots: Micro-batches an optimizer step, over all ranks.
        seed: Decides the order.

    Raises:
        RecipeError: No source, a weight that is not positive and finite, or a name used twice.
    """

    def __init__(
        self,
        sources: Sequence[MixtureSource],
        *,
        history: int,
        micro_batch_size: int,
        num_slots: int = 1,
        seed: int = 0,
    ) -> None:
        names = [source.name for source in sources]
        if not sources or len(set(names)) != len(names):
            raise RecipeError(
                "data.sources needs at least one source, each with a name of its own",
                got=names,
                do="Rename or add sources",
            )
        if bad := [s for s in sources if not 0 < s.weight < inf]:
            raise RecipeError(
                f"data.sources: weight of '{bad[0].name}' must be positive and finite",
                got=bad[0].weight,
                do="Change it, or drop the source",
            )
        self.sources = list(sources)
        self.history = history
        self.micro_batch_size = micro_batch_size
        self.num_slots = num_slots
        self.seed = seed
        self._pools = [
            _Pool(i, windows, (_number_of(source.name), place))
            for i, source in enumerate(self.sources)
            for place, windows in enumerate(source.windows)
        ]
        weights = [
            self.sources[pool.source].weight
            * (len(pool.windows) / self.sources[pool.source].num_windows)
            for pool in self._pools
        ]
        self._turns = Turns(weights, np.random.default_rng([seed, 0]).random())
        self._permutations: dict[tuple[int, int], np.ndarray] = {}

    def _permutation(self, pool: int, epoch: int) -> np.ndarray:
        key = (pool, epoch)
        if key not in self._permutations:
            stale = [k for k in self._permutations if k[0] == pool and k[1] < epoch - 1]
            for old in stale:
                del self._permutations[old]
            rng = np.random.default_rng([self.seed, 1, *self._pools[pool].key, epoch])
            self._permutations[key] = rng.permutation(len(self._pools[pool].windows))
        return self._permutations[key]

    def address(self, step: int, slot: int) -> tuple[int, list[Window]]:
        """Source index and windows of one micro-batch; reads no data."""
        number, drawn = self._turns.locate(step * self.num_slots + slot)
        pool = self._pools[number]
        windows = pool.windows
        first = drawn * self.micro_batch_size
        positions = range(first, first + self.micro_batch_size)
        if isinstance(windows, EndlessWindows):
            places = [windows.number(self.seed, pool.key[0], p) for p in positions]
        else:
            size = len(windows)
            places = [int(self._permutation(number, p // size)[p % size]) for p in positions]
        return pool.source, [windows.locate(place) for place in places]

    def load(self, step: int, slot: int) -> Batch:
        """Read one micro-batch."""
        source_index, places = self.address(step, slot)
        source = self.sources[source_index]
        windows = [read_window(source.collection, place) for place in places]
        rng = np.random.default_rng([self.seed, 2, step, slot])
        windows = source.augmentation.apply(windows, rng)
        return collate(windows, history=self.history, source=source.name)

    def shares(self, num_steps: int) -> dict[str, float]:
        """Exact share of every source in the first ``num_steps`` steps."""
        total = num_steps * self.num_slots
        counts = self._turns.counts_before(total)
        drawn = {source.name: 0 for source in self.sources}
        for pool, count in zip(self._pools, counts, strict=True):
            drawn[self.sources[pool.source].name] += int(count)
        return {name: count / max(total, 1) for name, count in drawn.items()}


def read_window(collection: TrajectoryCollection, place: Window) -> Trajectory:
    """The frames of one window; nothing else of the trajectory is read."""
    trajectory = collection.read(place.trajectory, place.start, place.stop)
    if place.time_stride == 1:
        return trajectory
    return trajectory.frames(0, trajectory.num_frames, place.time_stride)


def _number_of(name: str) -> int:
    """A number of a source's name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


class MixtureDataset(Dataset[Batch]):
    """The slots of one rank as a map-style dataset, for a DataLoader with ``batch_size=None``.

    Item ``n`` is this rank's n-th micro-batch counted from step 0.
    """

    def __init__(self, mixture: Mixture, *, rank: int = 0, world_size: int = 1) -> None:
        assert mixture.num_slots % world_size == 0
        self.mixture, self.rank, self.world_size = mixture, rank, world_size
        self.slots_per_rank = mixture.num_slots // world_size

    def __getitem__(self, item: int) -> Batch:
        step, turn = divmod(item, self.slots_per_rank)
        return self.mixture.load(step, self.rank + turn * self.world_size)

    def __len__(self) -> int:
        return 2**62  # endless; the sampler says where to stop


class StepSampler(Sampler[int]):
    """Items of the steps ``[start_step, stop_step)``, in order."""

    def __init__(self, dataset: MixtureDataset, start_step: int, stop_step: int) -> None:
        self.items = range(start_step * dataset.slots_per_rank, stop_step * dataset.slots_per_rank)

    def __iter__(self) -> Iterator[int]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
