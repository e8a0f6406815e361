"""From noisy observations to what an equation is made of."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from pdefm.data.trajectory import Trajectory
from pdefm.domain import Axis, Grid
from pdefm.errors import DataError, RecipeError
from pdefm.tasks.inverse import InverseOptions, InverseTask
from tests.tiny_dpot import TARGETS, adapted_model, make_task, task_batch, tiny_processor

FIELDS = ("density", "pressure", "permeability", "observed")


def scalar(**options):
    return make_task("inverse", **options)


def field_task(**options):
    return InverseTask(
        tiny_processor(FIELDS), InverseOptions(coefficient="permeability", **options)
    )


def field_batch():
    steady = task_batch("steady_state")
    return replace(
        task_batch("inverse"), constants=steady.constants, constant_names=steady.constant_names
    )


def trajectory(**changes):
    content = {
        "fields": torch.ones(2, 1, 8, 8),
        "names": ("density",),
        "grid": Grid((Axis("x", 8, 1.0), Axis("y", 8, 1.0))),
        "times": torch.arange(2.0),
        "parameters": {"viscosity": 1.0},
    }
    return Trajectory(**(content | changes))


def rms(values):
    return values.square().mean((1, 3, 4), keepdim=True).sqrt()


def test_the_noise_of_an_evaluation_has_the_given_size_and_comes_again():
    batch = task_batch("inverse")
    noisy, observed = scalar(noise_fraction=0.3).observe(batch)
    again, _ = scalar(noise_fraction=0.3).observe(batch)
    assert observed is None
    assert torch.equal(noisy, again)
    sizes = rms(noisy - batch.history) / rms(batch.history)
    assert torch.allclose(sizes, torch.tensor(0.3), atol=0.02)


def test_training_samples_have_noise_levels_of_their_own_up_to_the_given_one():
    batch = task_batch("inverse")
    noisy, _ = scalar(noise_fraction=0.3).observe(batch, torch.Generator().manual_seed(1))
    first, second = (rms(noisy - batch.history) / rms(batch.history))[:, 0, 0, 0, 0]
    assert abs(first - second) > 0.02
    assert max(first, second) < 0.32


def test_no_noise_leaves_the_frames_as_they_are():
    batch = task_batch("inverse")
    assert torch.equal(scalar(noise_fraction=0.0).observe(batch)[0], batch.history)


def test_what_is_not_observed_does_not_reach_the_model():
    task = InverseTask(
        tiny_processor((*FIELDS[:2], "observed"), targets=TARGETS),
        InverseOptions(parameters=["viscosity"], observed_fraction=0.3, noise_fraction=0.0),
    )
    batch = task_batch("inverse")
    _, observed = task.observe(batch)
    assert abs(observed.float().mean() - 0.3) < 0.05
    other = replace(batch, history=torch.where(observed, batch.history, 7.0))
    first, second = (task.prepare(b).inputs["history"] for b in (batch, other))
    assert torch.equal(first, second)
    assert torch.equal(first[:, :1, -1:].bool(), observed)


def test_the_sought_parameter_does_not_reach_a_model_that_is_conditioned_on_it():
    conditions = {"viscosity": TARGETS["viscosity"], "gravity": TARGETS["viscosity"]}
    found = {"viscosity": torch.tensor([1.0, 2.0]), "gravity": torch.tensor([9.0, 8.0])}
    batch = replace(task_batch("inverse"), parameters=found)
    for known, told in ((), None), (("gravity",), {"gravity"}):
        options = InverseOptions(parameters=["viscosity"], known_parameters=list(known))
        task = InverseTask(tiny_processor(conditions=conditions, targets=TARGETS), options)
        given = task.prepare(batch).inputs.get("parameters")
        assert (None if given is None else set(given)) == told


def test_quantiles_are_in_order_and_in_units():
    task = scalar()
    prepared = task.prepare(task_batch("inverse"))
    prediction = task.predict(adapted_model("inverse"), prepared)
    median, low, high = prediction.unbind(2)
    assert prediction.shape == (2, 1, 3)
    assert (low < median).all()
    assert (median < high).all()
    assert (low > 0).all(), "the parameter is positive"


def test_the_loss_is_least_at_the_true_quantiles():
    """Of a standard normal: median 0, 5 % at -1.645."""
    targets = {"viscosity": {"log": False, "mean": 0.0, "std": 1.0}}
    task = InverseTask(tiny_processor(targets=targets), InverseOptions(parameters=["viscosity"]))
    truth = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    batch = replace(task_batch("inverse"), parameters={"viscosity": torch.zeros(2)})
    prepared = replace(task.prepare(batch), target=truth)

    def loss(median, low, high):
        quantiles = torch.tensor([median, low, high]).expand(len(truth), 1, 3)
        return task.loss(quantiles, prepared)

    best = loss(0.0, -1.645, 1.645)
    for worse in ((0.2, -1.645, 1.645), (0.0, -1.3, 1.645), (0.0, -1.645, 2.0)):
        assert loss(*worse) > best
    coverage = task.metrics(torch.tensor([0.0, -1.645, 1.645]).expand(len(truth), 1, 3), prepared)[
        "coverage"
    ]
    assert abs(coverage.mean() - 0.9) < 0.01


def test_a_coefficient_is_a_field_that_is_empty_in_the_input():
    task = field_task()
    prepared = task.prepare(field_batch())
    assert prepared.inputs["field_names"] == FIELDS[:3]
    assert not prepared.inputs["history"][:, :, 2].any()
    assert torch.equal(prepared.target[:, 0], field_batch().constants)


def test_a_batch_without_the_answer_is_taken_as_it_was_observed():
    task = scalar(noise_fraction=0.3)
    batch = replace(task_batch("inverse"), parameters={})
    prepared = task.prepare(batch)
    clean = scalar(noise_fraction=0.0).prepare(task_batch("inverse"))
    assert torch.equal(prepared.inputs["history"], clean.inputs["history"])
    assert prepared.target.shape == clean.target.shape
    assert prepared.target.isnan().all()
    found = task.predict(adapted_model("inverse"), prepared)
    assert found.shape == (2, 1, 3)
    assert found.isfinite().all()
    field = field_task(observed_fraction=0.3).prepare(task_batch("inverse"))
    assert field.target.shape == (2, 1, 1, 16, 16)
    assert field.inputs["history"][:, :, -1].eq(1).all(), "every point is observed"
    with pytest.raises(DataError, match="no parameter 'viscosity'"):
        task.prepare(batch, torch.Generator().manual_seed(0))


def test_a_logarithm_is_undone_in_the_prediction():
    mean = field_task(logarithm=True).baselines(field_task(logarithm=True).prepare(field_batch()))
    assert torch.allclose(mean["mean"], torch.tensor(1.0).exp().expand_as(mean["mean"]))
    negative = replace(field_batch(), constants=field_batch().constants - 0.5)
    with pytest.raises(RecipeError, match="positive everywhere"):
        field_task(logarithm=True).prepare(negative)


def test_data_that_do_not_know_the_answer_are_refused_with_the_nearest_name():
    with pytest.raises(DataError, match="viscosity"):
        scalar(parameters=["viscosty"]).check(trajectory())
    with pytest.raises(DataError, match="no coefficient field"):
        field_task().check(trajectory())
    with pytest.raises(RecipeError, match=r"task_options\.parameters or"):
        InverseTask(tiny_processor(), InverseOptions()).check(trajectory())
    with pytest.raises(RecipeError, match="takes up to 3 frames"):
        scalar(num_frames=4).check(trajectory())


@pytest.mark.parametrize(
    "options",
    [
        {"parameters": ["a"], "coefficient": "b"},
        {"parameters": ["a", "a"]},
        {"parameters": ["a"], "known_parameters": ["a"]},
    ],
)
def test_contradicting_options_are_refused(options):
    with pytest.raises(ValidationError):
        InverseOptions(**options)
