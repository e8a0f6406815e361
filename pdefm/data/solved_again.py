"""From a trajectory in a generated file back to the equation and the sample that it is."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.generate import make_pde
from pdefm.data.shard_folder import RECORD, read_record
from pdefm.errors import PdefmError
from pdefm.pdes.sample import solve_samples

if TYPE_CHECKING:
    from pdefm.pdes.base import PDE
    from pdefm.pdes.sample import Solution


@dataclass(frozen=True)
class SolvedSample:
    """One trajectory that a solver of pdefm has made.

    Args:
        pde: Equation with its settings.
        seed: Of the set.
        index: Of the sample.
        resolution: Points per axis.
        num_frames: Frames that were saved.
    """

    pde: "PDE"
    seed: int
    index: int
    resolution: tuple[int, ...]
    num_frames: int

    def solve(self, num_frames: int | None = None) -> "Solution":
        """The same sample again, with as many threads as PyTorch has now.

        Args:
            num_frames: The initial state and those that follow; default as in the file.

        Raises:
            NumericalError: The solver found no usable sample.
        """
        return solve_samples(
            self.pde,
            1,
            resolution=self.resolution,
            num_frames=num_frames or self.num_frames,
            seed=self.seed,
            first_index=self.index,
        )


def find_sample(collection: TrajectoryCollection, index: int) -> SolvedSample | None:
    """What ``generation.json`` beside the data says of a trajectory.

    Returns:
        ``None`` if there is no record, or this version of pdefm solves the equation otherwise.
    """
    file, local = collection.origin(index)
    try:
        folder = next((f for f in file.path.resolve().parents if (f / RECORD).is_file()), None)
        if folder is None:
            return None
        entry = read_record(folder)[file.path.resolve().relative_to(folder).as_posix()]
        pde = _same_pde(entry["configuration"])
        if pde is None:
            return None
        return SolvedSample(
            pde,
            seed=entry["seed"],
            index=entry["first_index"] + entry["shard"] * entry["shard_size"] + local,
            resolution=tuple(entry["resolution"]),
            num_frames=entry["num_frames"],
        )
    except (PdefmError, KeyError, TypeError, OSError):  # a record of another version, or by hand
        return None


def _same_pde(configuration: Mapping[str, Any]) -> "PDE | None":
    """The equation, if it still has this configuration."""
    name = configuration["name"]
    usual = make_pde(name, None)
    accepted = inspect.signature(type(usual)).parameters
    settings = {
        key: value
        for key, value in configuration.items()
        if key in accepted and value != usual.configuration().get(key)
    }
    pde = make_pde(name, settings)
    return pde if pde.configuration() == configuration else None
