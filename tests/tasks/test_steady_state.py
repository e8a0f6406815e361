"""From coefficients to a solution, without a past."""

from dataclasses import replace

import pytest
import torch

from pdefm.data.trajectory import Trajectory, uniform_boundary
from pdefm.domain import Axis, BoundaryCondition, Grid
from pdefm.errors import DataError, ModelError, RecipeError
from pdefm.tasks.steady_state import SteadyStateOptions, SteadyStateTask, coordinates
from tests.tiny_dpot import NAMES, task_batch, task_names, tiny_model, tiny_processor

FIELDS = task_names("steady_state")


def task(**options):
    return SteadyStateTask(tiny_processor(FIELDS), SteadyStateOptions(**options))


def batch():
    return task_batch("steady_state")


def trajectory(**changes):
    content = {
        "fields": torch.ones(1, 1, 8, 8),
        "names": ("pressure",),
        "grid": Grid((Axis("x", 8, 1.0, periodic=False), Axis("y", 8, 1.0, periodic=False))),
        "times": torch.zeros(1),
        "constants": torch.ones(1, 8, 8),
        "constant_names": ("permeability",),
    }
    return Trajectory(**(content | changes))


def test_the_inputs_are_one_frame_of_coefficients_beside_an_empty_solution():
    prepared = task().prepare(batch())
    history = prepared.inputs["history"]
    assert prepared.inputs["field_names"] == FIELDS
    assert history.shape == (2, 1, 3, 16, 16)
    assert not history[:, :, :2].any()
    assert torch.allclose(history[:, 0, 2], (batch().constants[:, 0] - 1.0) / 3.0)


def test_the_solution_does_not_reach_the_inputs():
    other = replace(batch(), target=batch().target + 5.0)
    first, second = (task().prepare(b).inputs["history"] for b in (batch(), other))
    assert torch.equal(first, second)


def test_the_coefficient_decides_the_prediction():
    model, steady = tiny_model(field_names=list(FIELDS)), task()
    other = replace(batch(), constants=batch().constants.flip(2))
    first, second = (steady.predict(model, steady.prepare(b)) for b in (batch(), other))
    assert first.shape == batch().target.shape
    assert not torch.allclose(first, second)


def test_walls_are_shown_by_coordinates_and_periodic_axes_are_not():
    wall, around = BoundaryCondition.WALL, BoundaryCondition.PERIODIC
    like = torch.zeros(2, 1, 1, 4, 8)
    found = coordinates(like, ((around, around), (wall, wall)))
    assert list(found) == ["coordinate_y"]
    assert found["coordinate_y"].shape == (2, 4, 8)
    assert found["coordinate_y"][0, 0, 0] == 1 / 16
    assert not coordinates(like, uniform_boundary(around, 2))


def test_scalars_become_level_fields_and_logarithms_are_taken():
    given = replace(batch(), parameters={"source": torch.tensor([1.0, 2.0])})
    extra = task(inputs=["source", "permeability"], logarithms=["permeability"]).extra_fields(given)
    assert list(extra) == ["source", "permeability"]
    assert torch.equal(extra["source"][1], torch.full((16, 16), 2.0))
    assert torch.allclose(extra["permeability"], given.constants[:, 0].log())


def test_a_logarithm_of_a_coefficient_that_is_not_positive_is_refused():
    given = replace(batch(), constants=batch().constants - 0.5)
    with pytest.raises(RecipeError, match="positive everywhere"):
        task(logarithms=["permeability"]).extra_fields(given)


def test_data_without_coefficients_are_refused_before_training():
    with pytest.raises(DataError, match="needs coefficient fields"):
        task().check(trajectory(constants=None, constant_names=()))


def test_an_unknown_input_is_named_with_the_nearest():
    with pytest.raises(DataError, match="permeability"):
        task(inputs=["permeabilty"]).check(trajectory())


def test_the_solution_cannot_be_an_input():
    with pytest.raises(DataError, match="both the solution and an input"):
        task().check(trajectory(names=("permeability",)))


def test_the_problem_s_fields_come_from_a_known_one_and_the_base_s_go():
    plan = task().field_plan(("vorticity",), ["pressure", "permeability"], {"pressure": None})
    assert plan.added == {"pressure": None, "permeability": "vorticity"}
    assert plan.dropped == ["vorticity"]
    with pytest.raises(ModelError, match="no field to add"):
        task().field_plan(NAMES, NAMES, {"ghost": None})
