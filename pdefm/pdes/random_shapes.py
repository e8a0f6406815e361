"""Random discs and bumps for initial states and bottoms of boxes with open sides or walls."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.domain import Grid


def random_discs(
    grid: Grid,
    rng: np.random.Generator,
    *,
    count: int,
    radius: tuple[float, float] = (0.08, 0.22),
) -> Iterator[Float[Tensor, "*space"]]:
    """Covered part of each cell, for discs (balls) anywhere in the box, one after the other.

    The edge is sharp: a cell is cut in proportion to the distance of its centre from it.

    Args:
        grid: Points.
        rng: Source of places and sizes; the caller may draw between two discs.
        count: How many.
        radius: Smallest and largest, as parts of the first extent.

    Yields:
        From 0 to 1, float64.
    """
    width = min(axis.spacing for axis in grid.axes)
    for _ in range(count):
        size = rng.uniform(*radius) * grid.extent[0]
        yield (0.5 - (_distance(grid, rng) - size) / width).clamp(0, 1)


def random_bumps(
    grid: Grid,
    rng: np.random.Generator,
    *,
    count: int,
    radius: tuple[float, float] = (0.08, 0.2),
) -> Iterator[Float[Tensor, "*space"]]:
    """Gaussian bumps of height 1 anywhere in the box; arguments as for ``random_discs``."""
    for _ in range(count):
        size = rng.uniform(*radius) * grid.extent[0]
        yield torch.exp(-0.5 * (_distance(grid, rng) / size).square())


def _distance(grid: Grid, rng: np.random.Generator) -> Float[Tensor, "*space"]:
    """Of each point from a random centre, which is not at the rim of the box."""
    squared = torch.zeros(grid.shape, dtype=torch.float64)
    for i, axis in enumerate(grid.axes):
        centre = axis.origin + rng.uniform(0.15, 0.85) * axis.extent
        shape = [-1 if j == i else 1 for j in range(grid.num_dims)]
        offset = torch.from_numpy(axis.coordinates() - centre).reshape(shape)  # [1, .., n, .., 1]
        squared = squared + offset.square()
    return squared.sqrt()
