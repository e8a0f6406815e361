"""Translations on periodic axes: a symmetry of every equation without fixed places."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid

# Inverse powers of the root of x^3 = x + 1: their multiples spread evenly over the square
# (and close to it over the cube), as the golden ratio's do over the line.
RATIOS = (0.7548776662466927, 0.5698402909980532, 0.4301597090019468)


def random_offsets(rng: np.random.Generator, grid: Grid) -> tuple[int, ...]:
    """Whole grid points per axis, evenly drawn; 0 on axes that are not periodic."""
    return tuple(int(rng.integers(a.num_points)) if a.periodic else 0 for a in grid.axes)


def jitter_offsets(
    step: int, shape: tuple[int, ...], periodic: tuple[bool, ...]
) -> tuple[int, ...]:
    """Offsets that differ from step to step and cover the grid evenly, without randomness."""
    return tuple(
        int(step * ratio % 1.0 * size) if moves else 0
        for ratio, size, moves in zip(RATIOS, shape, periodic, strict=False)
    )


def roll(values: Shaped[Tensor, "..."], offsets: tuple[int, ...]) -> Shaped[Tensor, "..."]:
    """Move the last axes by so many points; what leaves on one side enters on the other."""
    if not any(offsets):
        return values
    return torch.roll(values, offsets, dims=tuple(range(-len(offsets), 0)))


def shift_trajectory(trajectory: Trajectory, offsets: tuple[int, ...]) -> Trajectory:
    """Fields, mask and constants moved together."""
    return replace(
        trajectory,
        fields=roll(trajectory.fields, offsets),
        mask=None if trajectory.mask is None else roll(trajectory.mask, offsets),
        constants=None if trajectory.constants is None else roll(trajectory.constants, offsets),
    )
