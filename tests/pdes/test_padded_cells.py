"""Ghost cells, the way in and out of padded rows, and limited reconstruction."""

import numpy as np
import pytest
import torch

from pdefm.domain import BoundaryCondition, Grid
from pdefm.pdes.padded_cells import PaddedCells, fluxes_to_tendency, limited_faces

SHAPES = [(8,), (8, 9), (8, 9, 10)]
MODES = {BoundaryCondition.PERIODIC: "wrap", BoundaryCondition.OPEN: "edge"}


def numbered(shape, channels=3):
    return torch.rand(channels, 2, *shape, dtype=torch.float64) + 0.5


@pytest.mark.parametrize("boundary", list(BoundaryCondition))
@pytest.mark.parametrize("shape", SHAPES)
def test_ghost_cells_of_scalars_are_what_numpy_pads(shape, boundary):
    values = numbered(shape)
    cells = PaddedCells(Grid.regular(shape, periodic=False), boundary)
    padded = cells.pad(values).unflatten(-1, cells.shape).numpy()
    widths = [(0, 0), (0, 0), *[(2, 2)] * len(shape)]
    mode = MODES.get(boundary, "symmetric")
    assert (padded == np.pad(values.numpy(), widths, mode=mode)).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_wall_turns_the_normal_component_of_the_vector_around(axis):
    values = numbered((8, 9))
    cells = PaddedCells(Grid.regular((8, 9), periodic=False), BoundaryCondition.WALL)
    box = cells.pad(values, vector_start=1).unflatten(-1, cells.shape)
    inside = box.select(2 + axis, 2)[:, :, 2:-2]
    ghost = box.select(2 + axis, 1)[:, :, 2:-2]
    for channel, sign in ((0, 1), (1 + axis, -1), (2 - axis, 1)):
        assert torch.equal(ghost[channel], sign * inside[channel])


@pytest.mark.parametrize("shape", SHAPES)
def test_what_goes_in_comes_out(shape):
    values = numbered(shape)
    cells = PaddedCells(Grid.regular(shape), BoundaryCondition.PERIODIC)
    assert torch.equal(cells.unpad(cells.inner(cells.pad(values))), values)


def test_a_linear_field_is_reconstructed_exactly():
    cells = torch.arange(12, dtype=torch.float64)[None, None] * 0.5
    below, above = limited_faces(cells, 1)
    exact = 0.5 * (torch.arange(9, dtype=torch.float64) + 1.5)
    torch.testing.assert_close(below[0, 0], exact)
    torch.testing.assert_close(above[0, 0], exact)


def test_face_values_never_leave_the_range_of_the_neighbouring_cells():
    cells = torch.randn(2, 3, 200, dtype=torch.float64).cumsum(-1)
    below, above = limited_faces(cells, 1)
    for faces, centre in ((below, cells[..., 1:-2]), (above, cells[..., 2:-1])):
        shift = 1 if faces is below else 2
        around = torch.stack([cells[..., shift + i : shift + i + 197] for i in (-1, 0, 1)])
        assert torch.equal(around[1], centre)
        assert (faces <= around.amax(0) + 1e-12).all()
        assert (faces >= around.amin(0) - 1e-12).all()


def test_the_reconstruction_mirrors_with_the_field():
    cells = torch.randn(1, 1, 50, dtype=torch.float64)
    below, above = limited_faces(cells, 1)
    mirrored_below, mirrored_above = limited_faces(cells.flip(-1), 1)
    torch.testing.assert_close(mirrored_below.flip(-1), above, rtol=0, atol=1e-14)
    torch.testing.assert_close(mirrored_above.flip(-1), below, rtol=0, atol=1e-14)


def test_the_gradient_of_a_constant_field_is_that_of_faces_without_slopes():
    cells = torch.ones(1, 1, 20, requires_grad=True)
    below, above = limited_faces(cells, 1)
    (1e6 * below.sum() - 2e6 * above.sum()).backward()
    expected = torch.tensor([0.0, 1e6, *[-1e6] * 16, -2e6, 0.0])
    assert torch.equal(cells.grad[0, 0], expected)


def test_what_leaves_a_cell_enters_its_neighbour():
    fluxes = torch.randn(2, 3, 20, dtype=torch.float64)
    change = fluxes_to_tendency(fluxes, fluxes, 1, 0.25)
    total = (fluxes[..., 0] - fluxes[..., -1]) / 0.25
    torch.testing.assert_close(change.sum(-1), total)
