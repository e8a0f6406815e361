"""Cosine transform: an orthonormal basis, diagonal Laplacian, and the cut."""

from math import pi

import pytest
import torch

from pdefm.domain import Grid
from pdefm.pdes.cosine_modes import CosineModes, cosine_basis
from tests.pdes.oracles import points


@pytest.mark.parametrize("open_above", [False, True])
def test_the_basis_is_orthonormal(open_above):
    basis = cosine_basis(12, open_above=open_above)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(12, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(24,), (24, 18), (12, 9, 15)])
def test_a_cosine_is_an_eigenfunction_in_any_dimension(shape):
    grid = Grid.regular(shape, tuple(1.0 + i for i in range(len(shape))), periodic=False)
    modes = CosineModes(grid, torch.float64, torch.device("cpu"))
    field, rate = torch.ones(1, 1, *shape, dtype=torch.float64), 0.0
    for i, x in enumerate(points(grid)):
        wave = (i + 2) * pi / (1.0 + i)
        field, rate = field * torch.cos(wave * x), rate - wave**2
    field_hat = modes.to_spectral(field)
    torch.testing.assert_close(modes.to_physical(field_hat), field)
    torch.testing.assert_close(modes.to_physical(field_hat * modes.laplacian), rate * field)


def test_modes_beyond_two_thirds_are_cut():
    grid = Grid.regular((24,), periodic=False)
    modes = CosineModes(grid, torch.float64, torch.device("cpu"))
    (x,) = points(grid)
    for mode, kept in ((15, True), (16, False)):
        wave = torch.cos(mode * pi * x)[None, None]
        again = modes.to_physical(modes.to_spectral(wave))
        torch.testing.assert_close(again, wave if kept else torch.zeros_like(wave))
