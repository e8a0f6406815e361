"""Reads a mixture of two files as one launch would, and prints what it read; for the order test."""

import hashlib
import json
import sys
from pathlib import Path

from torch.utils.data import DataLoader

from pdefm.data.augmentation import Augmentation
from pdefm.data.batch import Batch
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.mixture import Mixture, MixtureDataset, MixtureSource, StepSampler
from pdefm.data.open import open_trajectories
from pdefm.data.windows import WindowIndex


def make_mixture(folder: Path) -> Mixture:
    def source(name: str, weight: float) -> MixtureSource:
        collection: TrajectoryCollection = open_trajectories(folder / name)
        lengths = [[collection.num_frames(i) for i in group] for group in collection.groups()]
        pools = tuple(
            WindowIndex(frames, history=2, horizon=1, indices=group, time_strides=(1, 2))
            for frames, group in zip(lengths, collection.groups(), strict=True)
        )
        turned = Augmentation(shift=True, rotation=True)
        return MixtureSource(name, collection, pools, weight, turned)

    sources = [source("one", 2.0), source("two", 1.0)]
    return Mixture(sources, history=2, micro_batch_size=3, num_slots=4, seed=11)


def digest(batch: Batch) -> str:
    content = batch.source.encode() + batch.history.numpy().tobytes()
    return hashlib.sha256(content + batch.target.numpy().tobytes()).hexdigest()[:16]


def main() -> None:
    folder, world_size, num_workers, start, stop = Path(sys.argv[1]), *map(int, sys.argv[2:])
    mixture = make_mixture(folder)
    read: dict[tuple[int, int], str] = {}
    for rank in range(world_size):
        dataset = MixtureDataset(mixture, rank=rank, world_size=world_size)
        sampler = StepSampler(dataset, start, stop)
        loader = DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=num_workers)
        for item, batch in zip(sampler, loader, strict=True):
            step, turn = divmod(item, dataset.slots_per_rank)
            read[step, rank + turn * world_size] = digest(batch)
    epochs = min(
        mixture._turns.counts_before(start * 4)[i] * 3 // len(pool.windows)
        for i, pool in enumerate(mixture._pools)
    )
    ordered = [read[step, slot] for step in range(start, stop) for slot in range(4)]
    sys.stdout.write(json.dumps({"epochs_before": int(epochs), "read": ordered}))


if __name__ == "__main__":
    main()
