"""Sorting and recycling: the same solutions as alone, and fewer iterations where it can."""

import numpy as np
import pytest
import torch

from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.recycling import features, similarity_order, solve_alone, solve_recycled
from pdefm.pdes.sample import solve_samples
from tests.pdes.steady_problems import darcy_system

RECYCLABLE = ["darcy", "darcy_two_phase", "darcy_high_contrast"]


def similar_systems(num_systems=8):
    """One rough coefficient, a little changed from system to system, in a shuffled order."""
    rng = np.random.default_rng(0)
    base, change = rng.standard_normal((2, 24, 24))
    places = rng.permutation(num_systems) / num_systems
    return places, [
        darcy_system(np.exp(1.5 * base + 0.05 * place * change), rng.standard_normal((24, 24)))
        for place in places
    ]


def test_the_tour_visits_every_point_once_and_follows_a_line():
    line = np.random.default_rng(0).permutation(20)
    order = similarity_order(line[:, None] * np.array([1.0, 0.5]))
    assert sorted(order) == list(range(20))
    assert np.abs(np.diff(line[order])).max() == 1


def test_systems_are_sorted_by_their_coefficients():
    places, systems = similar_systems()
    order = similarity_order(np.stack([features(system) for system in systems]))
    steps = np.diff(places[order])
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("settings", [{}, {"sort": False}, {"warm": False}, {"num_recycled": 0}])
def test_every_way_gives_the_direct_solution_in_the_order_asked_for(settings):
    _, systems = similar_systems(4)
    for system, run in zip(systems, solve_recycled(systems, **settings), strict=True):
        exact = system.solve()
        assert system.relative_residual(run.solution) < 1e-11
        assert np.abs(run.solution - exact).max() < 1e-10 * np.abs(exact).max()


def test_recycling_saves_a_quarter_of_the_iterations_of_similar_systems():
    _, systems = similar_systems()
    plain = [run.num_iterations for run in solve_recycled(systems, num_recycled=0)]
    recycled = [run.num_iterations for run in solve_recycled(systems, num_recycled=16)]
    assert sum(recycled) < 0.75 * sum(plain)


def test_a_warm_start_at_the_same_system_costs_nothing():
    _, systems = similar_systems(1)
    runs = solve_recycled([*systems, *systems], num_recycled=0)
    assert runs[1].num_iterations <= 1


def test_what_does_not_converge_is_factorised():
    _, systems = similar_systems(1)
    run = solve_alone(systems[0], tolerance=1e-17)
    assert run.factorised
    assert systems[0].relative_residual(run.solution) < 1e-13


@pytest.mark.parametrize("family", RECYCLABLE)
def test_all_solvers_of_a_family_agree_to_single_precision(family):
    """Not to the last bit: that is why recycling is an option."""
    arguments = {"resolution": 32, "num_frames": 1, "seed": 3}
    direct = solve_samples(PDES[family](solver="direct"), 6, **arguments).fields
    for solver in ("iterative", "recycled"):
        other = solve_samples(PDES[family](solver=solver), 6, **arguments).fields
        torch.testing.assert_close(other, direct, rtol=2e-7, atol=2e-8 * float(direct.abs().max()))


def test_the_solver_is_part_of_the_configuration():
    pde = PDES["darcy"]
    plain, other = (pde(solver=solver).configuration() for solver in ("direct", "recycled"))
    assert other == plain | {"solver": "recycled"}
    assert plain["solver"] == "direct"


@pytest.mark.parametrize(("family", "solver"), [("darcy", "magic"), ("helmholtz", "recycled")])
def test_a_solver_that_does_not_fit_is_refused(family, solver):
    with pytest.raises(RecipeError, match=r"unknown solver.*Known: direct"):
        PDES[family](solver=solver)
