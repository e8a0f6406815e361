"""Files of a generated set, each solved and written whole, by one process or by several."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pdefm.data.trajectory import Source, Trajectory
from pdefm.files import atomic_path, file_sha256, write_json_atomic
from pdefm.pdes.sample import solve_samples
from pdefm.provenance import package_versions

if TYPE_CHECKING:
    from pdefm.pdes.base import PDE
    from pdefm.pdes.sample import Rejection

NOTES = ".generation"
"""Hidden folder of notes about finished shards, while the set is not complete."""
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Shard:
    """One file of a set.

    Args:
        out: Folder of the dataset.
        pde: Equation with its settings.
        plan: Everything that decides the numbers of the whole set.
        number: Counts the files of the set.
        device: Where the solver runs.
    """

    out: Path
    pde: "PDE"
    plan: dict[str, Any]
    number: int
    device: str = "cpu"

    @property
    def num_trajectories(self) -> int:
        """Trajectories in this file; only the last one may have fewer than the others."""
        size = self.plan["shard_size"]
        return min(size, self.plan["num_trajectories"] - self.number * size)

    @property
    def stem(self) -> str:
        """Name without suffix; the family's alone if the set is one file."""
        alone = self.plan["num_trajectories"] <= self.plan["shard_size"]
        return self.pde.name if alone else f"{self.pde.name}-{self.number:05d}"

    @property
    def file(self) -> str:
        """Path in the dataset's folder."""
        return f"data/{self.plan['split']}/{self.stem}.hdf5"

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return self.out / self.file

    @property
    def note_path(self) -> Path:
        """Where it is noted that the file is finished."""
        return self.out / NOTES / self.plan["split"] / f"{self.stem}.json"

    def finished_note(self) -> dict[str, Any] | None:
        """What was noted about the finished file; ``None`` if it is missing, damaged or other."""
        try:
            note = json.loads(self.note_path.read_text())
            same = note["plan"] == self.plan and note["sha256"] == file_sha256(self.path)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return note if same else None

    def write(self, progress: Callable[[int], None] | None = None) -> None:
        """Solve the samples, note the file's hash, and let the file appear under its name.

        In this order, so that a file without a note is never one of ours.

        Raises:
            NumericalError: The solver found no usable sample.
            EnvironmentFault: The file cannot be written.
        """
        from pdefm.data.formats.well_writer import write_well

        solved, rejections = solve_trajectories(
            self.pde,
            range(self.number * self.plan["shard_size"], self.plan["num_trajectories"])[
                : self.num_trajectories
            ],
            resolution=tuple(self.plan["resolution"]),
            num_frames=self.plan["num_frames"],
            seed=self.plan["seed"],
            first_index=self.plan["first_index"],
            device=self.device,
            progress=progress,
        )
        with atomic_path(self.path) as partial:
            write_well(partial, solved, dataset_name=self.pde.name)
            note = {
                "plan": self.plan,
                "sha256": file_sha256(partial),
                "rejections": [vars(rejection) for rejection in rejections],
                "versions": package_versions(),
            }
            write_json_atomic(self.note_path, note)


def solve_trajectories(
    pde: "PDE",
    indices: range,
    *,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    first_index: int,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> "tuple[list[Trajectory], tuple[Rejection, ...]]":
    """Samples ``first_index + i`` for each ``i`` in ``indices``, as trajectories.

    One thread on a CPU, so that sums are rounded alike in every process.

    Returns:
        The trajectories, and the draws that were replaced.

    Raises:
        NumericalError: The solver found no usable sample.
    """
    start = first_index + indices.start
    with one_thread():
        solution = solve_samples(
            pde,
            len(indices),
            resolution=resolution,
            num_frames=num_frames,
            seed=seed,
            device=device,
            first_index=start,
            # A GPU is filled only by many samples at a time; a CPU's cache holds only few.
            micro_batch=len(indices) if device.startswith("cuda") else None,
            progress=progress,
        )
    trajectories = []
    for place in range(len(indices)):
        constants = [values[place] for values in solution.constants.values()]
        trajectories.append(
            Trajectory(
                fields=solution.fields[place],
                names=solution.names,
                units=solution.units,
                grid=solution.grid,
                times=solution.times,
                boundary=solution.boundary,
                parameters={name: float(v[place]) for name, v in solution.parameters.items()},
                mask=None if solution.mask is None else solution.mask[place],
                constants=torch.stack(constants) if constants else None,
                constant_names=tuple(solution.constants),
                source=Source(pde.name, start + place),
            )
        )
    return trajectories, solution.rejections


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def worker_pool(num_workers: int) -> ProcessPoolExecutor:
    """Fresh processes that end with the process that started them, even if that is killed."""
    return ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_tie_to_parent
    )


def _tie_to_parent() -> None:
    def leave(*_: object) -> None:
        os._exit(EXIT_INTERRUPTED)

    def watch() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        leave()

    signal.signal(signal.SIGINT, leave)  # the parent says what happened
    threading.Thread(target=watch, daemon=True).start()


def _write(shard: Shard) -> None:
    shard.write()


def write_shards(
    shards: Sequence[Shard],
    *,
    num_workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Shard]:
    """Solve and write shards, in this process or in ``num_workers`` others.

    Args:
        shards: What is not finished yet.
        num_workers: Processes; the files are the same for any number.
        progress: Told how many samples have just been finished.

    Yields:
        Each shard when it is finished.

    Raises:
        PdefmError: Of the first shard that fails; those being solved are finished first.
    """
    if min(num_workers, len(shards)) <= 1:
        for shard in shards:
            shard.write(progress)
            yield shard
        return
    pool = worker_pool(min(num_workers, len(shards)))
    try:
        waiting = {pool.submit(_write, shard): shard for shard in shards}
        for future in as_completed(waiting):
            future.result()
            if progress is not None:
                progress(waiting[future].num_trajectories)
            yield waiting[future]
    finally:
        pool.shutdown(cancel_futures=True)
