"""Weighted mixture of sources whose order is a pure function of the seed and the position.

A training step consists of ``num_slots`` micro-batches ("slots"), each from one source. Slot number
``g = step * num_slots + slot`` decides everything: its source by a low-discrepancy sequence, its
windows by walking that source's seeded permutations, epoch after epoch (of an endless source,
block after block). Ranks share the slots out among themselves, so the samples of a step do not
depend on the number of processes, and resuming needs one integer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from torch.utils.data import Dataset, Sampler

from pdefm.data.batch import Batch, collate
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.shift import random_offsets, shift_trajectory
from pdefm.data.windows import EndlessWindows, WindowIndex
from pdefm.errors import RecipeError

GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples spread most evenly over [0, 1)


@dataclass(frozen=True)
class MixtureSource:
    """One ingredient: trajectories, their windows, and how often they are drawn.

    ``random_shift`` moves every window by random whole points along the periodic axes.
    """

    name: str
    collection: TrajectoryCollection
    windows: WindowIndex | EndlessWindows
    weight: float = 1.0
    random_shift: bool = False


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
        weights = np.array([source.weight for source in sources], dtype=np.float64)
        self._edges = np.cumsum(weights / weights.sum())
        self._shift = np.random.default_rng([seed, 0]).random()
        self._counts = np.zeros((1, len(sources)), dtype=np.int64)
        self._permutations: dict[tuple[int, int], np.ndarray] = {}

    def source_of(self, slots: np.ndarray) -> np.ndarray:
        """Source index of every global slot number."""
        u = (self._shift + slots * GOLDEN_RATIO) % 1.0
        return np.minimum(np.searchsorted(self._edges, u, "right"), len(self.sources) - 1)

    def _drawn_before(self, slot: int, source: int) -> int:
        """How many slots before this one belonged to the same source."""
        known = len(self._counts) - 1
        if slot > known:  # grow in chunks, so that a walk costs O(1) a slot
            chunk = np.arange(known, max(slot, 2 * known, 1024))
            hits = self.source_of(chunk)[:, None] == np.arange(len(self.sources))
            self._counts = np.vstack([self._counts, self._counts[-1] + np.cumsum(hits, axis=0)])
        return int(self._counts[slot, source])

    def _permutation(self, source: int, epoch: int) -> np.ndarray:
        key = (source, epoch)
        if key not in self._permutations:
            stale = [k for k in self._permutations if k[0] == source and k[1] < epoch - 1]
            for old in stale:
                del self._permutations[old]
            rng = np.random.default_rng([self.seed, 1, source, epoch])
            self._permutations[key] = rng.permutation(len(self.sources[source].windows))
        return self._permutations[key]

    def address(self, step: int, slot: int) -> tuple[int, list[int]]:
        """Source index and window numbers of one micro-batch; reads no data."""
        number = step * self.num_slots + slot
        source = int(self.source_of(np.array([number]))[0])
        windows = self.sources[source].windows
        first = self._drawn_before(number, source) * self.micro_batch_size
        positions = range(first, first + self.micro_batch_size)
        if isinstance(windows, EndlessWindows):
            return source, [windows.number(self.seed, source, p) for p in positions]
        num_windows = len(windows)
        return source, [
            int(self._permutation(source, p // num_windows)[p % num_windows]) for p in positions
        ]

    def load(self, step: int, slot: int) -> Batch:
        """Read one micro-batch."""
        source_index, window_numbers = self.address(step, slot)
        source = self.sources[source_index]
        windows = [
            source.collection.read(*source.windows.locate(number)) for number in window_numbers
        ]
        if source.random_shift:
            rng = np.random.default_rng([self.seed, 2, step, slot])
            windows = [shift_trajectory(w, random_offsets(rng, w.grid)) for w in windows]
        return collate(windows, history=self.history, source=source.name)

    def shares(self, num_steps: int) -> dict[str, float]:
        """Exact share of every source in the first ``num_steps`` steps."""
        total = num_steps * self.num_slots
        return {
            source.name: self._drawn_before(total, i) / max(total, 1)
            for i, source in enumerate(self.sources)
        }


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
