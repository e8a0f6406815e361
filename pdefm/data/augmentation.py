"""What training windows are moved by at random: the symmetries that a source claims to have."""

from dataclasses import dataclass

import numpy as np

from pdefm.data.shift import random_offsets, shift_trajectory
from pdefm.data.symmetries import (
    boost_trajectory,
    signed_permutations,
    tensor_components,
    turn_trajectory,
)
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import RecipeError

MOVING = ("momentum", "energy", "stream_function")
"""Fields that a moving observer sees changed by more than a constant."""


@dataclass(frozen=True)
class Augmentation:
    """Symmetries of an equation that training windows are moved by, at random.

    Args:
        shift: Whole points along the periodic axes, each window its own.
        rotation: Quarter turns, one a micro-batch.
        reflection: Reversed axes, one choice a micro-batch.
        boost: Largest motion of the observer, in grid points a frame; each window its own.
    """

    shift: bool = False
    rotation: bool = False
    reflection: bool = False
    boost: int = 0

    def check(self, example: Trajectory, where: str) -> None:
        """Refuse what the data cannot bear.

        Raises:
            RecipeError: Names the source and the option.
        """
        periodic = any(axis.periodic for axis in example.grid.axes)
        if (self.shift or self.boost) and not periodic:
            option = "random_shift" if self.shift else "random_boost"
            raise RecipeError(
                f"{where}: {option} needs a periodic axis",
                got=", ".join(sorted({side.value for pair in example.boundary for side in pair})),
                do=f"Leave {option} out",
            )
        if self.rotation or self.reflection:
            for names in (example.names, example.constant_names):
                tensor_components(names, example.grid.names)
        if self.boost:
            wanted = {f"velocity_{name}" for name in example.grid.names}
            moving = [n for n in example.names if n.startswith(MOVING)]
            fixed = example.mask is not None or example.constants is not None
            if not wanted <= set(example.names) or moving or fixed:
                raise RecipeError(
                    f"{where}: random_boost needs {', '.join(sorted(wanted))}, and neither momentum"
                    " and energy nor coefficients or a mask that stand still",
                    got=", ".join((*example.names, *example.constant_names)),
                    do="Leave random_boost out",
                )

    def apply(self, windows: list[Trajectory], rng: np.random.Generator) -> list[Trajectory]:
        """The windows of one micro-batch, moved."""
        if self.shift:
            windows = [shift_trajectory(w, random_offsets(rng, w.grid)) for w in windows]
        if self.boost:
            windows = [boost_trajectory(w, self._random_points(rng, w.grid)) for w in windows]
        if self.rotation or self.reflection:
            group = signed_permutations(
                windows[0].grid.num_dims, rotations=self.rotation, reflections=self.reflection
            )
            turn = group[int(rng.integers(len(group)))]
            windows = [turn_trajectory(window, turn) for window in windows]
        return windows

    def _random_points(self, rng: np.random.Generator, grid: Grid) -> list[int]:
        return [
            int(rng.integers(-self.boost, self.boost + 1)) if axis.periodic else 0
            for axis in grid.axes
        ]


NO_AUGMENTATION = Augmentation()
