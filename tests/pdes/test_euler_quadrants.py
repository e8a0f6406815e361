"""Four quadrants: constant within each, the same picture at any resolution, open sides."""

import numpy as np
import torch

from pdefm.pdes.euler_quadrants import EulerQuadrants
from tests.pdes.oracles import drawn_batch


def test_there_are_four_states_and_cut_cells_hold_their_mean():
    pde = EulerQuadrants()
    initial, _, _ = drawn_batch(pde, 64, 1)
    corners = initial[0][:, [0, 0, -1, -1], [0, -1, 0, -1]]
    constant = (initial[0][:, None] == corners[:, :, None, None]).all(0).any(0)
    assert constant.double().mean() > 0.93
    assert len(torch.unique(corners[0])) == 4


def test_every_resolution_sees_the_same_quadrants():
    pde = EulerQuadrants()
    states = [
        pde.initial_state({"gamma": 1.4}, pde.grid(n), np.random.default_rng(0)) for n in (16, 64)
    ]
    coarse = states[1].unfold(1, 4, 4).unfold(2, 4, 4).mean((-2, -1))
    torch.testing.assert_close(coarse, states[0], rtol=0, atol=1e-12)


def test_far_from_the_corner_the_quadrants_do_not_know_of_the_other_axis():
    pde = EulerQuadrants()
    initial, parameters, grid = drawn_batch(pde, 48, 1)
    times = torch.tensor([0.0, 0.04], dtype=torch.float64)
    state = pde.solve(initial, parameters, grid, times)[0, 1]
    # Waves travel less than the third of the box between the corner and the sides.
    assert (state[:, :, 0] - state[:, :, 1]).abs().max() < 1e-6
    assert (state[:, 0] - state[:, 1]).abs().max() < 1e-6
