"""Trajectories that are solved while a model trains: endless, and decided by integers alone."""

import os
import pickle
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.generate import FIRST_ONLINE_INDEX, make_pde
from pdefm.data.shards import solve_trajectories, worker_pool
from pdefm.data.trajectory import Trajectory
from pdefm.data.windows import ENDLESS, EndlessWindows
from pdefm.errors import EnvironmentFault, RecipeError

if TYPE_CHECKING:
    from pdefm.pdes.base import PDE


class OnlineCollection(TrajectoryCollection):
    """A family as an endless collection: trajectory ``i`` is a function of the seed and ``i``.

    Blocks of ``buffer`` trajectories are solved when they are first read; the last two that were
    read are kept. With workers, other processes solve the next block while this one is being used.
    What is read never depends on either, nor on time: a reader that is faster than the solver
    waits.

    Args:
        family: Name in the table of equations.
        resolution: Points per axis.
        num_frames: Frames a trajectory, the initial state included.
        seed: Decides the samples; no file of the same seed holds one of them.
        buffer: Trajectories in a block; two blocks are kept at most, and one is solved ahead.
        reuse: Windows that each trajectory serves in training.
        workers: Processes that solve ahead; with 0 the block is solved when it is first read.
        batch: Trajectories that are solved together.
        device: Where the solver runs.
        settings: Arguments of the equation's class, such as ``dt``.

    Raises:
        RecipeError: Unknown family or setting, or a steady family.
    """

    format = "online"

    def __init__(
        self,
        family: str,
        *,
        resolution: int | tuple[int, ...],
        num_frames: int,
        seed: int = 0,
        buffer: int = 64,
        reuse: int = 16,
        workers: int = 0,
        batch: int = 16,
        device: str = "cpu",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.pde = make_pde(family, settings)
        if self.pde.steady:
            raise RecipeError(
                "online: a steady family has no windows in time", got=family, do="Use generate"
            )
        self.name, self.path = family, Path(f"online {family}")
        self.resolution = self.pde.grid(resolution).shape
        self.frames_each, self.seed, self.device = num_frames, seed, device
        self.buffer, self.reuse = buffer, reuse
        self.workers, self.batch = workers, min(batch, buffer)
        self.num_typical = buffer
        self._blocks: dict[int, list[Trajectory]] = {}
        self._solver: _Ahead | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_blocks": {}, "_solver": None}

    def __len__(self) -> int:
        return ENDLESS

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories."""
        self.check_index(index)
        return self.frames_each

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, which is solved if it is in no block at hand."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        number, place = divmod(index, self.buffer)
        return self._block(number)[place].frames(start, stop)

    def trajectory(self, seed: int, index: int) -> Trajectory:
        """One trajectory solved by itself: what ``read`` gives for the collection's own seed."""
        return _solve(self.pde, range(index, index + 1), self._arguments() | {"seed": seed})[0]

    def windows(
        self,
        history: int,
        horizon: int,
        stride: int,
        source: str,
        time_strides: Sequence[int] = (1,),
    ) -> EndlessWindows:
        """All windows, in an order without end."""
        return EndlessWindows(
            self.frames_each,
            history=history,
            horizon=horizon,
            buffer=self.buffer,
            reuse=self.reuse,
            stride=stride,
            time_strides=time_strides,
            source=source,
        )

    def _arguments(self) -> dict[str, Any]:
        return {
            "resolution": self.resolution,
            "num_frames": self.frames_each,
            "seed": self.seed,
            "first_index": FIRST_ONLINE_INDEX,
            "device": self.device,
        }

    def _batches(self, number: int) -> list[range]:
        first, last = number * self.buffer, (number + 1) * self.buffer
        return [range(i, min(i + self.batch, last)) for i in range(first, last, self.batch)]

    def _block(self, number: int) -> list[Trajectory]:
        solver = self._own_solver()
        block = self._blocks.pop(number, None)
        if block is None:
            while len(self._blocks) > 1:
                del self._blocks[next(iter(self._blocks))]
            batches = self._batches(number)
            parts = solver.take(batches) if solver else map(self._solve_here, batches)
            block = [trajectory for part in parts for trajectory in part]
        self._blocks[number] = block  # the last one used comes last
        if solver is not None and number == max(self._blocks):
            solver.keep_busy(self._batches(number + 1))
        return block

    def _solve_here(self, indices: range) -> list[Trajectory]:
        return _solve(self.pde, indices, self._arguments())

    def _own_solver(self) -> "_Ahead | None":
        # A process that reads ahead for the trainer is itself in the background, and may have no
        # children; after a fork the parent's processes are not ours.
        if not self.workers or current_process().daemon:
            return None
        if self._solver is None or self._solver.owner != os.getpid():
            self._solver = _Ahead(self.pde, self._arguments(), self.workers)
        return self._solver


class _Ahead:
    """Processes that solve batches before they are asked for, never more at a time than fit.

    At most ``workers`` batches are under way, so that leaving never waits for a whole block.
    """

    def __init__(self, pde: "PDE", arguments: dict[str, Any], workers: int) -> None:
        self.owner = os.getpid()
        self.pde, self.arguments, self.workers = pde, arguments, workers
        self.pool: ProcessPoolExecutor = worker_pool(workers)
        self.futures: dict[range, Future[bytes]] = {}
        weakref.finalize(self, self.pool.shutdown, wait=False, cancel_futures=True)

    def keep_busy(self, batches: Sequence[range]) -> None:
        """Start the next of these, as far as processes are free."""
        busy = sum(not future.done() for future in self.futures.values())
        waiting = [batch for batch in batches if batch not in self.futures]
        for batch in waiting[: max(0, self.workers - busy)]:
            self.futures[batch] = self.pool.submit(_solve_packed, self.pde, batch, self.arguments)

    def take(self, batches: Sequence[range]) -> Iterator[list[Trajectory]]:
        """Batches in order, each waited for if it is not ready; others are forgotten.

        Raises:
            EnvironmentFault: The system ended a process.
        """
        for stale in self.futures.keys() - set(batches):
            self.futures.pop(stale).cancel()
        for position, batch in enumerate(batches):
            self.keep_busy(batches[position:])
            if batch not in self.futures:  # a process is still busy with what was forgotten
                self.futures[batch] = self.pool.submit(
                    _solve_packed, self.pde, batch, self.arguments
                )
            try:
                yield pickle.loads(self.futures.pop(batch).result())
            except BrokenProcessPool as error:
                raise EnvironmentFault(
                    f"a process that solves {self.pde.name} ended",
                    got=error,
                    do="Free memory, or set online.workers: 0",
                ) from error


def _solve(pde: "PDE", indices: range, arguments: dict[str, Any]) -> list[Trajectory]:
    return solve_trajectories(pde, indices, **arguments)[0]


def _solve_packed(pde: "PDE", indices: range, arguments: dict[str, Any]) -> bytes:
    # As bytes: tensors would be passed as open files, of which a process may have few.
    return pickle.dumps(_solve(pde, indices, arguments), protocol=pickle.HIGHEST_PROTOCOL)
