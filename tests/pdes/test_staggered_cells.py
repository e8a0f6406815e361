"""MAC grid: exact projection, centres and faces, and transport of known orders."""

import pytest
import torch

from pdefm.domain import Grid
from pdefm.pdes.staggered_cells import Sides, StaggeredCells
from pdefm.pdes.staggered_fluxes import momentum_flux, tracer_flux

SIDES = [Sides(), Sides(slip=True), Sides(lid=0.7), Sides(slip=True, inflow=0.8)]


def layout(sides, dtype=torch.float64):
    grid = Grid.regular((12, 10), (1.5, 1.0), periodic=False)
    return StaggeredCells(grid, sides.inflow is not None, dtype, torch.device("cpu"))


def random_rows(cells, sides):
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(3, 3, *cells.inside, generator=generator).to(cells.dtype)
    rows = cells.from_cells(state, sides)
    cells.fill_ghosts(rows, sides)
    return rows


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_projection_removes_the_divergence_and_is_idempotent(sides, dtype, tolerance):
    cells = layout(sides, dtype)
    rows = random_rows(cells, sides)
    before = cells.divergence(rows).abs().max()
    cells.project(rows)
    assert cells.divergence(rows).abs().max() < tolerance * before
    again = rows.clone()
    cells.project(again)
    torch.testing.assert_close(again, rows, rtol=0, atol=tolerance * float(rows.abs().max()))


@pytest.mark.parametrize("sides", SIDES)
def test_projection_leaves_the_normal_velocity_at_walls_and_the_inlet(sides):
    cells = layout(sides)
    rows = random_rows(cells, sides)
    cells.project(rows)
    u, v = cells.faces_x(rows[0]), cells.faces_y(rows[1])
    torch.testing.assert_close(u[:, 0], torch.full_like(u[:, 0], sides.inflow or 0.0))
    assert v[..., 0].abs().max() == v[..., -1].abs().max() == 0
    if sides.inflow is None:
        assert u[:, -1].abs().max() == 0
    else:
        flux = u.sum(-1)
        torch.testing.assert_close(flux, flux[:, :1].expand_as(flux))


@pytest.mark.parametrize("sides", SIDES)
def test_faces_come_back_from_the_centres(sides):
    cells = layout(sides)
    rows = random_rows(cells, sides)
    cells.project(rows)
    again = cells.from_cells(cells.to_cells(rows), sides)
    torch.testing.assert_close(cells.faces_x(again[0]), cells.faces_x(rows[0]))
    torch.testing.assert_close(cells.faces_y(again[1]), cells.faces_y(rows[1]))
    torch.testing.assert_close(cells.centres(again[2]), cells.centres(rows[2]))


def test_a_stream_function_gives_faces_without_divergence():
    cells = layout(Sides())
    stream = torch.zeros(1, 13, 11, dtype=torch.float64)
    stream[:, 1:-1, 1:-1] = torch.randn(11, 9, generator=torch.Generator().manual_seed(1)).double()
    rows = cells.from_cells(cells.from_stream_function(stream), Sides())
    assert cells.divergence(rows).abs().max() < 1e-11


def test_momentum_flux_is_exact_for_parabolas_in_both_directions():
    edges = torch.arange(21, dtype=torch.float64) / 10 - 0.3
    averages = (edges**3).diff()[None, None] / 3 * 10
    faces = edges[2:19]
    still = torch.zeros(1, 1, dtype=torch.float64)
    for speed in (0.7, -0.7):
        twice = torch.full((1, 1, 17), 2 * speed, dtype=torch.float64)
        flux = momentum_flux(averages, twice, 2, 1, still)
        torch.testing.assert_close(flux[0, 0], speed * faces**2)


def test_tracer_flux_is_exact_for_lines_and_never_overshoots_a_jump():
    still = torch.zeros(1, 1, dtype=torch.float64)
    centres = torch.arange(20, dtype=torch.float64)
    for speed in (0.7, -0.7):
        velocity = torch.full((1, 17), speed, dtype=torch.float64)
        flux = tracer_flux(centres[None, None], velocity, 2, 1, still)
        torch.testing.assert_close(flux[0, 0], speed * (centres[2:19] - 0.5))
        step = tracer_flux((centres > 9).double()[None, None], velocity, 2, 1, still) / speed
        assert step.min() >= 0
        assert step.max() <= 1
