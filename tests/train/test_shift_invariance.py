"""When a processor remembers that training moved every sample along the periodic axes."""

from dataclasses import replace

import pytest
from torch import arange, ones

from pdefm.data.augmentation import Augmentation
from pdefm.data.collection import MemoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.domain import BoundaryCondition, Grid
from pdefm.train.data import OpenedSource, make_processor

SHIFTED, STILL = Augmentation(shift=True), Augmentation()
PERIODIC, WALL = BoundaryCondition.PERIODIC, BoundaryCondition.WALL


def source(name, augmentation, *sides):
    fields, times = ones(6, 1, 8, 8), 0.5 * arange(6.0)
    axes = zip(Grid.regular((8, 8)).axes, sides, strict=True)
    grid = Grid(tuple(replace(axis, periodic=side is PERIODIC) for axis, side in axes))
    trajectory = Trajectory(
        fields, ("height",), grid, times, boundary=tuple((side, side) for side in sides)
    )
    data = MemoryCollection([trajectory, trajectory])
    return OpenedSource(name, 1.0, data, data, augmentation)


@pytest.mark.parametrize(
    ("sources", "invariant"),
    [
        ([("sea", SHIFTED, PERIODIC, PERIODIC)], True),
        ([("sea", SHIFTED, PERIODIC, PERIODIC), ("lake", STILL, WALL, WALL)], True),
        ([("sea", SHIFTED, PERIODIC, PERIODIC), ("river", STILL, PERIODIC, WALL)], False),
        ([("sea", STILL, PERIODIC, PERIODIC), ("lake", STILL, WALL, WALL)], False),
    ],
)
def test_a_source_between_walls_does_not_count_against_it(sources, invariant):
    opened = [source(*each) for each in sources]
    processor = make_processor(opened, history=3, horizon=1, normalization="field")
    assert processor.shift_invariant is invariant
