"""Shear layers: they grow, and where nothing disturbs them they stay."""

import torch

from pdefm.pdes.kelvin_helmholtz import KelvinHelmholtz
from tests.pdes.oracles import as_parameters, drawn_batch


def test_waves_on_the_layers_grow():
    pde = KelvinHelmholtz()
    initial, parameters, grid = drawn_batch(pde, 32, 2)
    times = torch.arange(13, dtype=torch.float64) * pde.dt
    states = pde.solve(initial, parameters, grid, times)
    waves = states[:, :, 0].std(2).mean(-1)  # along the stream
    assert (waves[:, 12] > 1.5 * waves[:, 4]).all()


def test_layers_that_nothing_disturbs_are_kept_exactly():
    pde = KelvinHelmholtz()
    initial, _, grid = drawn_batch(pde, 32, 1)
    initial[:, 3] = 0.0
    times = torch.tensor([0.0, 0.5], dtype=torch.float64)
    states = pde.solve(initial, as_parameters({"gamma": 1.4}), grid, times)
    change = (states[0, 1] - states[0, 0]).abs().amax((-2, -1))
    assert change[[1, 3]].max() < 1e-13
    assert states[0, 1].std(1).max() < 1e-13
