"""The contract of an equation: names, ranges, grids and settings."""

import json

import numpy as np
import pytest
import torch

from pdefm.domain import BoundaryCondition, Field
from pdefm.errors import NumericalError, RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.base import PDE, Integration
from pdefm.pdes.sample import solve_samples


class Relaxation(PDE):
    """Decay between two walls, ``u_t = -rate u``: neither spectral nor periodic."""

    name = "relaxation"
    solver_version = 1
    fields = (Field("temperature", "K"), Field("flow", "m/s", tensor_order=1))
    parameter_ranges = {"rate": (0.5, 2.0), "scale": (1.0, 100.0)}  # noqa: RUF012
    log_uniform = frozenset({"scale"})
    extent = (2.0,)
    boundary = BoundaryCondition.WALL
    dt = 0.1

    def initial_state(self, parameters, grid, rng):
        x = torch.from_numpy(grid.axes[0].coordinates())
        return parameters["scale"] * torch.stack((x, x.square())) * (1 + rng.uniform())

    def integrate(self, initial, parameters, grid, times):
        decay = torch.exp(-parameters["rate"][:, None] * times).to(initial.dtype)
        states = initial[:, None] * decay[:, :, None, None]
        return Integration(states, ("",) * len(initial))

    def tendency(self, state, parameters, grid):
        return -parameters["rate"][:, None, None] * state


def test_a_solver_without_fourier_modes_between_walls_fits_the_contract():
    solution = solve_samples(Relaxation(), 3, resolution=16, num_frames=4, seed=0)
    assert solution.fields.shape == (3, 4, 2, 16)
    assert solution.names == ("temperature", "flow_x")
    assert solution.units == ("K", "m/s")
    assert not solution.grid.axes[0].periodic
    ratio = solution.fields[:, 1] / solution.fields[:, 0]
    expected = torch.exp(-0.1 * solution.parameters["rate"]).float()
    torch.testing.assert_close(ratio[:, 0, 5], expected)


def test_an_equation_without_a_tendency_is_not_an_equation():
    class Still(PDE):
        """Knows its solution and not what it solves."""

        initial_state, integrate = Relaxation.initial_state, Relaxation.integrate

    with pytest.raises(TypeError, match=r"abstract method '?tendency"):
        Still()


def test_the_residual_of_an_exact_solution_is_that_of_the_trapezoidal_rule():
    pde, grid = Relaxation(), Relaxation().grid(16)
    parameters = {"rate": torch.tensor([0.5, 2.0]), "scale": torch.ones(2)}
    times = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)
    frames = pde.solve(torch.ones(2, 2, 16, dtype=torch.float64), parameters, grid, times)
    residual = pde.residual(frames, parameters, grid, times)
    rate, dt = parameters["rate"][:, None].double(), times.diff()
    decay = torch.exp(-rate * dt)
    expected = ((decay - 1) / dt + rate * (1 + decay) / 2) * torch.exp(-rate * times[:-1])
    expected = expected[:, :, None, None].expand_as(residual)
    torch.testing.assert_close(residual, expected, rtol=1e-6, atol=1e-12)


def test_parameters_stay_in_their_ranges_and_log_uniform_ones_fill_every_decade():
    rng = np.random.default_rng(0)
    drawn = [Relaxation().sample_parameters(rng) for _ in range(2000)]
    rate = np.array([values["rate"] for values in drawn])
    scale = np.array([values["scale"] for values in drawn])
    assert 0.5 <= rate.min() < 0.51
    assert 1.99 < rate.max() <= 2.0
    assert scale.min() >= 1.0
    assert scale.max() <= 100.0
    assert (scale < 10).mean() == pytest.approx(0.5, abs=0.04)


def test_a_fixed_parameter_leaves_the_draws_of_the_others_alone():
    free = Relaxation().sample_parameters(np.random.default_rng(3))
    fixed = Relaxation(parameter_ranges={"rate": 1.5}).sample_parameters(np.random.default_rng(3))
    assert fixed == {"rate": 1.5, "scale": free["scale"]}


def test_overrides_do_not_touch_the_class():
    changed = PDES["burgers"](parameter_ranges={"viscosity": (1e-3, 1e-2)}, dt=0.5)
    assert changed.parameter_ranges["viscosity"] == (1e-3, 1e-2)
    assert changed.dt == 0.5
    assert PDES["burgers"]().parameter_ranges == {"viscosity": (5e-3, 2e-2)}
    assert PDES["burgers"]().dt == 0.05


def test_an_unknown_parameter_is_refused_with_the_nearest_name():
    with pytest.raises(RecipeError, match="Did you mean 'viscosity'"):
        PDES["burgers"](parameter_ranges={"viscosty": 1e-3})


@pytest.mark.parametrize("value", [(2.0, 1.0), (0.0, 1.0), (1.0, float("nan")), (1.0,)])
def test_an_impossible_range_is_refused(value):
    with pytest.raises(RecipeError, match="range of 'scale' needs two positive growing numbers"):
        Relaxation(parameter_ranges={"scale": value})


@pytest.mark.parametrize("dt", [0.0, -1.0, float("inf")])
def test_a_dt_that_is_not_positive_is_refused(dt):
    with pytest.raises(RecipeError, match="dt must be a positive number"):
        Relaxation(dt=dt)


@pytest.mark.parametrize("resolution", [(16, 16), 4])
def test_a_resolution_that_does_not_fit_is_refused(resolution):
    with pytest.raises(RecipeError, match="resolution needs 1 numbers of at least 8"):
        Relaxation().grid(resolution)


def test_the_configuration_is_json_and_tells_settings_apart():
    plain = Relaxation().configuration()
    assert json.loads(json.dumps(plain)) == plain
    assert Relaxation(dt=0.2).configuration() == plain | {"dt": 0.2}
    fixed = {"rate": [1.0, 1.0], "scale": [1.0, 100.0]}
    changed = Relaxation(parameter_ranges={"rate": 1.0}).configuration()
    assert changed == plain | {"parameter_ranges": fixed}


def test_solve_turns_a_failed_sample_into_an_error():
    class Failing(Relaxation):
        """Never succeeds, ``u_t = ?``."""

        def integrate(self, initial, parameters, grid, times):
            return Integration(initial[:, None], ("", "became non-finite in frame 1"))

    pde = Failing()
    parameters = {"rate": torch.ones(2), "scale": torch.ones(2)}
    with pytest.raises(NumericalError, match=r"relaxation: sample 1 of 2 became non-finite"):
        pde.solve(torch.zeros(2, 2, 16), parameters, pde.grid(16), torch.zeros(1))
