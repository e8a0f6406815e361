"""Discs and bumps: inside the box, of the size asked for, the same at any resolution."""

import numpy as np
import pytest
import torch

from pdefm.domain import Grid
from pdefm.pdes.random_shapes import random_bumps, random_discs


def grid(num_points):
    return Grid.regular((num_points, num_points), (2.0, 2.0), periodic=False)


def test_discs_have_sizes_between_the_bounds():
    discs = list(random_discs(grid(128), np.random.default_rng(0), count=20, radius=(0.05, 0.1)))
    area = torch.stack(discs).sum((-2, -1)) * (2 / 128) ** 2
    radius = (area / torch.pi).sqrt()
    assert len(discs) == 20
    assert radius.min() > 0.098
    assert radius.max() < 0.202
    assert radius.max() - radius.min() > 0.05


def test_bumps_have_height_one_and_discs_are_zero_or_one_almost_everywhere():
    (bump,) = random_bumps(grid(128), np.random.default_rng(1), count=1)
    assert bump.max() == pytest.approx(1, abs=0.01)
    (disc,) = random_discs(grid(128), np.random.default_rng(1), count=1)
    assert ((disc == 0) | (disc == 1)).double().mean() > 0.95


@pytest.mark.parametrize("shapes", [random_bumps, random_discs])
def test_every_resolution_sees_the_same_shapes(shapes):
    fine, coarse = (
        torch.stack(list(shapes(grid(n), np.random.default_rng(2), count=3))) for n in (128, 32)
    )
    averaged = fine.unfold(1, 4, 4).unfold(2, 4, 4).mean((-2, -1))
    assert (averaged - coarse).abs().mean() < 5e-3
