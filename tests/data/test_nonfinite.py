"""NaN and infinite values: left out, masked, or an error, but never trained on."""

import pytest
import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.nonfinite import MaskedNonfinite, find_nonfinite, without_nonfinite
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError


def trajectory(bad=(), mask=None):
    fields = torch.ones(20, 1, 4, 4)
    for place in bad:
        fields[place] = float("nan")
    return Trajectory(fields, ("u",), Grid.regular((4, 4)), torch.arange(20.0), mask=mask)


def test_bad_trajectories_are_found_with_their_first_frame():
    collection = MemoryCollection(
        [trajectory(), trajectory([(18, 0, 1, 2), (17, 0, 0, 0)]), trajectory([(0, 0, 3, 3)])]
    )
    assert find_nonfinite(collection) == {1: 17, 2: 0}


def test_outside_of_the_domain_anything_may_be():
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[1, 2] = False
    assert find_nonfinite(MemoryCollection([trajectory([(3, 0, 1, 2)], mask)])) == {}
    assert find_nonfinite(MemoryCollection([trajectory([(3, 0, 1, 3)], mask)])) == {0: 3}


def test_what_is_left_keeps_its_order():
    collection = MemoryCollection([trajectory([(0, 0, 0, 0)]), trajectory(), trajectory()])
    left = without_nonfinite(collection, find_nonfinite(collection))
    assert left.indices == [1, 2]
    assert find_nonfinite(left) == {}
    with pytest.raises(DataError, match="every trajectory"):
        without_nonfinite(collection[:1], {0: 0})


def test_masked_points_are_outside_of_their_window_only():
    collection = MaskedNonfinite(MemoryCollection([trajectory([(5, 0, 1, 2)])]))
    before, around = collection.read(0, 0, 5), collection.read(0, 3, 8)
    assert before.mask is None
    assert around.mask is not None
    assert (~around.mask).nonzero().tolist() == [[1, 2]]
    assert around.fields[:, 0, 1, 2].tolist() == [0.0] * 5
    assert float(around.fields.sum()) == 5 * 15


def test_a_window_without_a_finite_point_is_refused():
    collection = MaskedNonfinite(MemoryCollection([trajectory([(5,)])]))
    with pytest.raises(DataError, match="no point is finite in frames 4 to 6"):
        collection.read(0, 4, 6)
