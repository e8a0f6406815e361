"""What every equation of the table must do; a newcomer is tested by existing."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch

import pdefm.pdes
from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition
from pdefm.pdes import PDES
from pdefm.pdes.base import INVARIANT_KINDS, PDE
from pdefm.pdes.sample import sample_generator, solve_samples
from pdefm.pdes.steady import SteadyPDE
from tests.pdes.oracles import drawn_batch

SHARED_FILES = {
    *("base", "sample", "initial_states", "random_coefficients", "random_shapes"),
    *("spectral", "etdrk", "wavenumbers", "vorticity", "phase_field"),
    *("finite_volume", "finite_volume_run", "padded_cells", "riemann", "diffusion"),
    *("cosine_modes", "staggered_cells", "stepped"),
    *("steady", "five_point", "krylov", "recycling"),
    *("incompressible", "staggered_fluxes"),
}
"""Files of the folder that are tools of the equations rather than equations."""

RESOLUTION = {1: 64, 2: 24, 3: 12}
CONSERVED_TOLERANCE = 1e-4
MONOTONE_TOLERANCE = 1e-6
BOUND = 10.0

MOVING = sorted(name for name in PDES if not issubclass(PDES[name], SteadyPDE))
every_pde = pytest.mark.parametrize("name", sorted(PDES))
every_moving_pde = pytest.mark.parametrize("name", MOVING)


def resolution(name):
    return RESOLUTION[PDES[name]().num_dims]


def num_frames(name):
    return 4 if name in MOVING else 1


def few_samples(name, **changes):
    arguments = {"num_samples": 3, "num_frames": num_frames(name), "seed": 0} | changes
    return solve_samples(PDES[name](), resolution=resolution(name), **arguments)


@cache
def three_samples(name):
    return few_samples(name)


@cache
def solved_in_double(name):
    """Some frames of two samples with what ``residual`` and ``invariants`` ask for."""
    pde = PDES[name]()
    initial, parameters, grid = drawn_batch(pde, resolution(name), 2)
    times = torch.arange(6 if name in MOVING else 1, dtype=torch.float64) * pde.dt
    return pde, pde.solve(initial, parameters, grid, times), parameters, grid, times


@every_pde
def test_samples_are_finite_and_of_the_promised_shape(name):
    pde, solution = PDES[name](), three_samples(name)
    space = (resolution(name),) * pde.num_dims
    assert solution.fields.shape == (3, num_frames(name), len(pde.channel_names), *space)
    assert solution.fields.dtype == torch.float32
    assert solution.fields.isfinite().all()
    assert solution.times.tolist() == pytest.approx([i * pde.dt for i in range(num_frames(name))])
    for constant in solution.constants.values():
        assert constant.shape == (3, *space)
        assert constant.isfinite().all()
    if solution.mask is not None:
        assert solution.mask.shape == (3, *space)
        assert solution.mask.dtype == torch.bool


@every_moving_pde
def test_persistence_is_wrong_after_a_frame_but_not_hopeless(name):
    fields = few_samples(name, num_samples=6).fields
    change = (fields[:, 1:] - fields[:, :-1]).flatten(2).norm(dim=-1)
    relative = change / fields[:, :-1].flatten(2).norm(dim=-1)
    assert 0.03 < relative.mean() < 0.5


@every_pde
def test_names_units_parameters_and_boundary_match_the_channels(name):
    pde, solution = PDES[name](), three_samples(name)
    assert issubclass(PDES[name], PDE)
    assert pde.name == name
    assert len(set(solution.names)) == len(solution.names) == solution.fields.shape[2]
    assert not set(solution.names) & set(solution.constants)
    assert len(solution.units) == len(solution.names)
    assert all(unit for unit in solution.units)
    assert solution.boundary == pde.sides
    assert len(pde.sides) == pde.num_dims
    for axis, sides in zip(solution.grid.axes, pde.sides, strict=True):
        assert [side is BoundaryCondition.PERIODIC for side in sides] == [axis.periodic] * 2
    assert set(pde.parameter_ranges) <= set(solution.parameters)
    assert pde.log_uniform <= set(pde.parameter_ranges)
    for key, (low, high) in pde.parameter_ranges.items():
        assert ((solution.parameters[key] >= low) & (solution.parameters[key] <= high)).all()


@every_pde
def test_a_seed_fixes_every_bit_whatever_else_is_in_the_batch(name):
    solution = three_samples(name)
    last = few_samples(name, num_samples=1, first_index=2)
    assert torch.equal(solution.fields[2:], last.fields)
    assert not torch.allclose(solution.fields[0], solution.fields[1])
    for key, constant in solution.constants.items():
        assert torch.equal(constant[2:], last.constants[key])


@every_moving_pde
def test_the_first_frame_is_the_initial_state(name):
    pde, solution = PDES[name](), three_samples(name)
    attempt = max((r.attempt + 1 for r in solution.rejections if r.index == 1), default=0)
    rng = sample_generator(name, 0, 1, attempt)
    scalars = pde.sample_parameters(rng)
    fields = pde.coefficients(scalars, solution.grid, rng)
    initial = pde.initial_state(scalars | fields, solution.grid, rng)
    assert initial.dtype == torch.float64
    assert torch.equal(solution.fields[1, 0], initial.float())
    for key, constant in solution.constants.items():
        assert torch.equal(constant[1], fields[key].float())


@every_pde
def test_invariants_do_what_is_said_of_them(name):
    pde, states, parameters, grid, _ = solved_in_double(name)
    values = pde.invariants(states, parameters, grid)
    assert set(values) == set(pde.invariant_kinds)
    for key, value in values.items():
        kind = pde.invariant_kinds[key]
        assert kind in INVARIANT_KINDS
        assert value.shape == states.shape[:2]
        # A quantity that cancels to zero is measured by the size of the fields.
        size = value.abs().amax(1, keepdim=True) + states.abs().flatten(1).mean(1)[:, None]
        change = value - value[:, :1] if kind == "conserved" else value.diff(dim=1)
        if kind == "conserved":
            assert (change.abs() <= CONSERVED_TOLERANCE * size).all(), key
        elif kind == "decays":
            assert (change <= MONOTONE_TOLERANCE * size).all(), key
        elif kind == "grows":
            assert (change >= -MONOTONE_TOLERANCE * size).all(), key
        else:
            assert (value.abs() <= BOUND * value[:, :1].abs()).all(), key


@every_pde
def test_the_residual_has_a_gradient_with_respect_to_every_frame(name):
    pde, states, parameters, grid, times = solved_in_double(name)
    states = states[:, :3].clone().requires_grad_()
    residual = pde.residual(states, parameters, grid, times[:3])
    frames = 2 if name in MOVING else 1
    assert residual.shape == (2, frames, *states.shape[2:])
    assert residual.isfinite().all()
    (gradient,) = torch.autograd.grad((residual + 1).square().sum(), states)
    assert gradient.isfinite().all()
    assert (gradient.flatten(2).abs().amax(2) > 0).all()


@every_moving_pde
def test_the_residual_of_a_solution_falls_with_the_time_between_frames(name):
    pde, states, parameters, grid, _ = solved_in_double(name)
    sizes = []
    for fraction in (32, 64):
        times = torch.tensor([0.0, pde.dt / fraction], dtype=torch.float64)
        # Not from frame 0: what a coarse grid cannot hold of it is gone after it.
        frames = pde.solve(states[:, 2], parameters, grid, times)
        sizes.append(float(pde.residual(frames, parameters, grid, times).square().mean().sqrt()))
    assert sizes[1] < sizes[0] / 1.5


@pytest.mark.parametrize("name", sorted(set(PDES) - set(MOVING)))
def test_the_residual_of_a_steady_solution_is_zero_and_that_of_another_field_is_not(name):
    pde, states, parameters, grid, times = solved_in_double(name)
    solution = pde.residual(states, parameters, grid, times)
    other = pde.residual(1.1 * states, parameters, grid, times)
    assert solution.abs().max() < 1e-6 * other.abs().max()


@every_pde
def test_settings_are_json_and_fixing_every_parameter_works(name):
    pde = PDES[name]()
    fixed = {key: low for key, (low, _) in pde.parameter_ranges.items()}
    same = PDES[name](parameter_ranges=fixed)
    assert {key: low for key, (low, _) in same.parameter_ranges.items()} == fixed
    configuration = pde.configuration()
    assert json.loads(json.dumps(configuration)) == configuration
    assert configuration["solver_version"] >= 1


@every_pde
def test_the_docstring_states_an_equation_and_a_source(name):
    text = PDES[name].__doc__ or ""
    assert "=" in text
    assert "Source" in text


def test_every_file_of_the_folder_is_an_equation_of_the_table_or_a_known_tool():
    files = {path.stem for path in Path(pdefm.pdes.__file__).parent.glob("*.py")} - {"__init__"}
    listed = {target.partition(":")[0].rpartition(".")[2] for target in PDES.targets.values()}
    assert files - SHARED_FILES - listed == set(), "an equation that no table line names"


TOY = '''
import torch
from pdefm.domain import Field
from pdefm.pdes.base import as_column
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.spectral import SpectralPDE


class ToyHeat(SpectralPDE):
    """Heat equation, ``u_t = diffusivity u_xx``. Source: Fourier (1822)."""

    name = "toy_heat"
    solver_version = 1
    fields = (Field("temperature", "K"),)
    parameter_ranges = {"diffusivity": (0.01, 0.02)}
    extent = (1.0,)
    dt = 0.1

    def initial_state(self, parameters, grid, rng):
        return random_periodic_field(grid, rng, peak_mode=1.0)[None]

    def linear_operator(self, wavenumbers, parameters):
        return as_column(parameters["diffusivity"], 2) * wavenumbers.laplacian

    def nonlinear(self, wavenumbers, parameters):
        return torch.zeros_like

    def time_step_limit(self, state, parameters, grid):
        return torch.full((len(state),), float("inf"))
'''


def test_an_equation_of_another_package_takes_one_file_and_one_line(tmp_path, monkeypatch):
    package = tmp_path / "package"
    information = package / "toy-1.0.dist-info"
    information.mkdir(parents=True)
    (package / "toy_heat.py").write_text(TOY)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[pdefm.pde]\ntoy_heat = toy_heat:ToyHeat\n")
    monkeypatch.syspath_prepend(package)
    monkeypatch.delitem(vars(PDES), "targets", raising=False)
    try:
        out = generate(
            "toy_heat", num_trajectories=2, resolution=32, num_frames=3, seed=0, out=tmp_path / "d"
        )
    finally:
        vars(PDES).pop("targets", None)
    trajectory = open_trajectories(out)[1]
    assert trajectory.names == ("temperature",)
    assert trajectory.units == ("K",)
    assert trajectory.fields.shape == (3, 1, 32)
    assert set(trajectory.parameters) == {"diffusivity"}
