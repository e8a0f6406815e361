"""What the processes of a run tell each other, apart from gradients.

Without a process group everything is as for a group of one. All functions are collective.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed

from pdefm.errors import EnvironmentFault, PdefmError

Value = TypeVar("Value")
# What the exchanges of gloo and NCCL say when the other side has died or hangs.
LOST_CONTACT = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")


def rank() -> int:
    """Number of this process."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_ranks() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def from_main(value: Value) -> Value:
    """The main process's value, on every process."""
    if num_ranks() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def of_all(value: Value) -> list[Value]:
    """Every process's value, on every process."""
    if num_ranks() == 1:
        return [value]
    values: list[Any] = [None] * num_ranks()
    distributed.all_gather_object(values, value)
    return values


def largest(number: int, device: torch.device) -> int:
    """Largest of the processes' numbers; cheap enough for every step."""
    if num_ranks() == 1:
        return number
    shared = torch.tensor(number, dtype=torch.int64, device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


@contextmanager
def together(task: str) -> Iterator[None]:
    """If one process fails in the block, all leave it with an error, after all are through.

    Args:
        task: What the block does, for the processes that did not fail.

    Raises:
        PdefmError: On processes that did not fail, of the kind that another one failed with.
    """
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        own = error
    failures = of_all(None if own is None else (_kind(own), str(own)))
    if own is not None:
        raise own
    for number, failure in enumerate(failures):
        if failure is not None:
            kind, text = failure
            raise kind(f"process {number} failed to {task}: {text}")


@contextmanager
def explained_loss() -> Iterator[None]:
    """Say in a user's words that another process has died or hangs; also a decorator.

    Raises:
        EnvironmentFault: An exchange failed.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).partition("\n")[0]
        if not any(word in text for word in LOST_CONTACT):
            raise
        raise EnvironmentFault(
            "another process of this run is gone",
            got=text[:200],
            do="Its own output says why. The same command goes on from the last checkpoint",
        ) from error


def _kind(error: Exception) -> type[PdefmError]:
    return type(error) if isinstance(error, PdefmError) else EnvironmentFault
