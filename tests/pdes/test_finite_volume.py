"""The finite-volume method in every family: steps, batches, precision, shifts and boundaries."""

import pytest
import torch

from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.finite_volume import FiniteVolumePDE
from tests.pdes.oracles import (
    assert_alone_as_together,
    assert_single_precision_is_close,
    drawn_batch,
    largest_frame_error,
)

FAMILIES = sorted(name for name in PDES if issubclass(PDES[name], FiniteVolumePDE))
PERIODIC = [name for name in FAMILIES if PDES[name].boundary == "periodic"]
every_family = pytest.mark.parametrize("family", FAMILIES)


def run(family, resolution=16, num_samples=2, num_frames=4, dtype=torch.float64, **settings):
    pde = PDES[family](**settings)
    initial, parameters, grid = drawn_batch(pde, resolution, num_samples, dtype=dtype)
    times = torch.arange(num_frames, dtype=torch.float64) * pde.dt
    return pde, initial, parameters, grid, times


def test_the_table_has_all_eight_families():
    assert len(FAMILIES) == 8


@every_family
def test_a_result_does_not_depend_on_its_batch_partners(family):
    pde, initial, parameters, grid, times = run(family, 16, 4, dtype=torch.float32)
    initial[1, pde.vector_start :] += 2.0  # needs smaller steps than the others
    assert assert_alone_as_together(pde, initial, parameters, grid, times).faults == ("",) * 4


@every_family
def test_the_chosen_steps_are_accurate_compared_with_the_grid(family):
    """Shocks move by a small part of a cell between one step size and a far smaller one."""
    pde, initial, parameters, grid, times = run(family, 16)
    states = pde.solve(initial, parameters, grid, times)
    fine = PDES[family](num_substeps=60).solve(initial, parameters, grid, times)
    assert largest_frame_error(states, fine) < 1.5e-2


@every_family
def test_single_precision_stays_close_to_double(family):
    pde, initial, parameters, grid, times = run(family)
    assert_single_precision_is_close(pde, initial, parameters, grid, times)


@pytest.mark.parametrize("family", PERIODIC)
def test_a_shifted_start_gives_the_shifted_solution(family):
    pde, initial, parameters, grid, times = run(family, (16, 12))
    states = pde.solve(initial, parameters, grid, times)
    shift = {"shifts": (5, -3), "dims": (-2, -1)}
    moved = {k: v.roll(**shift) if v.ndim > 1 else v for k, v in parameters.items()}
    solved = pde.solve(initial.roll(**shift), moved, grid, times)
    torch.testing.assert_close(solved, states.roll(**shift), rtol=0, atol=1e-12)


@every_family
@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_start_gives_the_mirrored_solution(family, axis):
    pde, initial, parameters, grid, times = run(family, (16, 12))
    dim = axis - 2

    def mirror(state):
        image = state.flip(dim).clone()
        image.select(-3, pde.vector_start + axis).neg_()
        return image

    states = pde.solve(initial, parameters, grid, times)
    turned = {k: v.flip(dim) if v.ndim > 1 else v for k, v in parameters.items()}
    solved = pde.solve(mirror(initial), turned, grid, times)
    torch.testing.assert_close(solved, mirror(states), rtol=0, atol=1e-11)


@every_family
def test_the_tendency_is_the_slope_of_the_solution(family):
    pde, initial, parameters, grid, times = run(family, num_samples=1)
    later = pde.solve(initial, parameters, grid, times[:2])[:, 1]
    step = 1e-6 * pde.dt
    start = torch.tensor([0.0, step], dtype=torch.float64)
    slope = pde.solve(later, parameters, grid, start).diff(dim=1)[:, 0] / step
    tendency = pde.tendency(later, parameters, grid)
    assert (slope - tendency).abs().max() < 1e-3 * tendency.abs().max()


def test_a_sample_that_needs_too_many_steps_is_given_up_and_its_partner_is_not():
    pde, initial, parameters, grid, times = run("euler", 8, 2)
    initial[1, 1] *= 1e12
    solved = pde.integrate(initial, parameters, grid, times)
    assert solved.faults[0] == ""
    assert solved.faults[1].startswith("time step too small: frame 1")
    assert solved.states[0].isfinite().all()
    assert solved.states[1, 1:].isnan().all()


def test_a_negative_pressure_is_reported_not_repaired():
    pde, initial, parameters, grid, times = run("euler", 8, 2)
    initial[1, 1, 3, 3] = -1.0
    solved = pde.integrate(initial, parameters, grid, times)
    assert solved.faults == ("", "became non-finite or negative before frame 1")


def test_a_state_below_zero_at_a_frame_is_reported():
    pde, initial, parameters, grid, times = run("euler", 8, 1, num_substeps=1, dt=0.5)
    fault = pde.integrate(initial, parameters, grid, times).faults[0]
    assert "lost its positive density or pressure" in fault or "non-finite" in fault


def test_frames_at_uneven_times_lie_on_the_same_solution():
    pde, initial, parameters, grid, _ = run("euler", 16, 1)
    few = torch.tensor([0.0, 0.01, 0.04], dtype=torch.float64)
    direct = pde.solve(initial, parameters, grid, few[[0, 2]])[:, 1]
    staged = pde.solve(initial, parameters, grid, few)[:, 2]
    assert (direct - staged).abs().max() < 5e-3 * direct.abs().max()
    assert pde.solve(initial, parameters, grid, few[:1]).shape[1] == 1


def test_a_number_of_substeps_below_one_is_refused():
    with pytest.raises(RecipeError, match="num_substeps must be at least 1"):
        PDES["euler"](num_substeps=0)


def test_the_step_rule_is_part_of_the_configuration():
    assert PDES["euler"]().configuration()["courant_number"] == 0.8
    plain, fixed = PDES["euler"]().configuration(), PDES["euler"](num_substeps=3).configuration()
    assert plain["num_substeps"] is None
    assert fixed == plain | {"num_substeps": 3}
