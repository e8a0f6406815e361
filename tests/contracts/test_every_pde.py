"""What every equation of the table must do; a newcomer is tested by existing."""

import json
from pathlib import Path

import pytest
import torch

import pdefm.pdes
from pdefm.domain import BoundaryCondition
from pdefm.pdes import PDES
from pdefm.pdes.base import PDE
from pdefm.pdes.sample import solve_samples

SHARED_FILES = {"base", "etdrk", "initial_states", "sample", "spectral", "wavenumbers"}
"""Files of the folder that are tools of the equations rather than equations."""

RESOLUTION = {1: 64, 2: 24, 3: 12}

every_pde = pytest.mark.parametrize("name", sorted(PDES))


def few_samples(name, **changes):
    pde = PDES[name]()
    return solve_samples(
        pde, **{"num_samples": 2, "num_frames": 4, "seed": 0} | changes,
        resolution=RESOLUTION[pde.num_dims],
    )  # fmt: skip


@every_pde
def test_samples_are_finite_of_the_promised_shape_and_move(name):
    pde, solution = PDES[name](), few_samples(name)
    space = (RESOLUTION[pde.num_dims],) * pde.num_dims
    assert solution.fields.shape == (2, 4, len(pde.channel_names), *space)
    assert solution.fields.dtype == torch.float32
    assert solution.fields.isfinite().all()
    assert solution.times.tolist() == pytest.approx([i * pde.dt for i in range(4)])


@every_pde
def test_persistence_is_wrong_after_a_frame_but_not_hopeless(name):
    fields = few_samples(name, num_samples=6).fields
    change = (fields[:, 1:] - fields[:, :-1]).flatten(2).norm(dim=-1)
    relative = change / fields[:, :-1].flatten(2).norm(dim=-1)
    assert 0.03 < relative.mean() < 0.5


@every_pde
def test_names_units_parameters_and_boundary_match_the_channels(name):
    pde, solution = PDES[name](), few_samples(name)
    assert issubclass(PDES[name], PDE)
    assert pde.name == name
    assert len(set(solution.names)) == len(solution.names) == solution.fields.shape[2]
    assert len(solution.units) == len(solution.names)
    assert all(unit for unit in solution.units)
    assert isinstance(pde.boundary, BoundaryCondition)
    assert solution.grid.axes[0].periodic == (pde.boundary is BoundaryCondition.PERIODIC)
    assert set(solution.parameters) == set(pde.parameter_ranges)
    assert pde.log_uniform <= set(pde.parameter_ranges)
    for key, (low, high) in pde.parameter_ranges.items():
        assert ((solution.parameters[key] >= low) & (solution.parameters[key] <= high)).all()


@every_pde
def test_a_seed_fixes_every_bit_and_an_index_stands_for_itself(name):
    solution = few_samples(name, num_samples=3)
    assert torch.equal(solution.fields, few_samples(name, num_samples=3).fields)
    last = few_samples(name, num_samples=1, first_index=2)
    assert torch.equal(solution.fields[2:], last.fields)
    assert not torch.allclose(solution.fields[0], solution.fields[1])


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
