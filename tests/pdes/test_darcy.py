"""Darcy: manufactured and exact solutions, the maximum principle, conservation, symmetries."""

from math import pi

import numpy as np
import pytest
import torch

from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.darcy import Darcy, DarcyHighContrast, DarcyTwoPhase
from pdefm.pdes.diffusion import couplings
from pdefm.pdes.five_point import FivePointSystem
from tests.pdes.steady_problems import cell_centres, darcy_system, orders, solved

TORSION = 0.0351443
"""Mean of the solution of ``-Lap u = 1`` on the unit square: a quarter of its torsion constant."""


def rough_permeability(num_points=24, seed=0):
    return np.exp(2 * np.random.default_rng(seed).standard_normal((num_points, num_points)))


def test_a_smooth_manufactured_solution_is_met_with_second_order():
    errors = []
    for n in (32, 64, 128):
        x, y = cell_centres(n)
        a = 2 + np.sin(2 * pi * x) * np.cos(pi * y)
        u = np.sin(pi * x) * np.sin(2 * pi * y)
        a_x = 2 * pi * np.cos(2 * pi * x) * np.cos(pi * y)
        a_y = -pi * np.sin(2 * pi * x) * np.sin(pi * y)
        u_x = pi * np.cos(pi * x) * np.sin(2 * pi * y)
        u_y = 2 * pi * np.sin(pi * x) * np.cos(2 * pi * y)
        system = darcy_system(a, 5 * pi**2 * a * u - a_x * u_x - a_y * u_y)
        errors.append(np.abs(system.solve() - u).max())
    assert errors[0] < 5e-3
    assert np.all(np.abs(orders(errors) - 2) < 0.1)


def test_layers_across_the_flow_are_solved_exactly():
    """``a`` = 1 and 10 in series between ``u`` = 0 and 1, with closed walls along the flow."""
    n = 16
    x, _ = cell_centres(n)
    a = np.where(x < 0.5, 1.0, 10.0)
    across_x, across_y, diagonal = couplings(a, (1 / n, 1 / n))
    right = np.zeros((n, n))
    diagonal[[0, -1]] += 2 * a[[0, -1]] * n**2
    right[-1] = 2 * a[-1] * n**2
    solution = FivePointSystem(diagonal, across_x, across_y, right).solve()
    np.testing.assert_allclose(
        solution, np.where(x < 0.5, 20 * x / 11, (9 + 2 * x) / 11), atol=1e-13
    )


def test_a_source_that_is_nowhere_negative_gives_a_positive_pressure_everywhere():
    source = np.zeros((24, 24))
    source[3, 20] = 1.0
    solution = darcy_system(rough_permeability(), source).solve()
    assert solution.min() > 0
    assert np.unravel_index(solution.argmax(), solution.shape) == (3, 20)


def test_all_that_is_fed_in_flows_out_through_the_walls():
    a, n = rough_permeability(), 24
    source = np.random.default_rng(1).standard_normal((n, n))
    u = darcy_system(a, source).solve()
    edges = (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])
    outflow = sum((2 * n * a[edge] * u[edge]).sum() / n for edge in edges)
    assert outflow == pytest.approx(source.sum() / n**2, rel=1e-9)


def test_the_operator_is_symmetric_and_positive():
    system = darcy_system(rough_permeability())
    first, second = np.random.default_rng(2).standard_normal((2, 24, 24))
    assert np.vdot(first, system.apply(second)) == pytest.approx(
        np.vdot(second, system.apply(first)), rel=1e-10
    )
    assert np.vdot(first, system.apply(first)) > 0


@pytest.mark.parametrize(
    "turn", [np.transpose, np.flipud, np.fliplr], ids=["transposed", "upside down", "mirrored"]
)
def test_a_turned_medium_gives_the_turned_solution(turn):
    a = rough_permeability()
    turned = darcy_system(np.ascontiguousarray(turn(a))).solve()
    np.testing.assert_allclose(turned, turn(darcy_system(a).solve()), rtol=0, atol=1e-13)


def test_the_even_medium_has_the_torsion_function_of_a_square():
    assert darcy_system(np.ones((64, 64))).solve().mean() == pytest.approx(TORSION, rel=1e-3)


def test_two_phases_lie_between_the_even_media_and_look_like_the_known_data():
    """Mean pressure falls as the permeability grows; the known set's pressures are about 1e-2."""
    solution, parameters = solved(DarcyTwoPhase(), 4, resolution=64)
    assert set(parameters["permeability"].unique().tolist()) == {3.0, 12.0}
    mean = solution.fields.mean((1, 2, 3, 4))
    assert ((mean > TORSION / 12) & (mean < TORSION / 3)).all()
    assert 5e-3 < solution.fields.max() < 0.0737 / 3
    share = (parameters["permeability"] == 12).double().mean((1, 2))
    assert ((share > 0.1) & (share < 0.9)).all()
    assert parameters["contrast"].tolist() == [4.0] * 4


def test_the_high_contrast_family_covers_five_decades_and_keeps_its_blocks_on_finer_grids():
    wild, calm = (DarcyHighContrast(parameter_ranges={"variance": v}) for v in (2.0, 0.1))
    assert solved(wild, 8, resolution=64)[1]["contrast"].max() > 2e4
    assert solved(calm, 8, resolution=64)[1]["contrast"].max() < 30
    _, coarse = solved(wild, 1, resolution=64)
    _, fine = solved(wild, 1, resolution=128)
    assert torch.equal(fine["permeability"][:, ::2, 1::2], coarse["permeability"])
    assert torch.equal(fine["source"][:, 1::2, ::2], coarse["source"])
    assert torch.equal(fine["contrast"], coarse["contrast"])
    assert fine["roughness"].item() == pytest.approx(coarse["roughness"].item(), rel=1e-9)


def test_a_log_normal_sample_converges_with_the_grid():
    solution = [solved(Darcy(), 1, resolution=n)[0].fields[0, 0, 0] for n in (32, 64, 128)]
    pooled = [torch.nn.functional.avg_pool2d(u[None], len(u) // 32)[0] for u in solution]
    first, second = ((u - pooled[-1]).abs().max() for u in pooled[:2])
    assert second < 0.02 * pooled[-1].max()
    assert second < first / 2


def test_an_unknown_covariance_is_refused():
    with pytest.raises(RecipeError, match="Did you mean 'gaussian'"):
        PDES["darcy_high_contrast"](covariance="gausian")
