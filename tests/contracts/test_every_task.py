"""What every task of the table must do; a newcomer is tested by existing."""

import inspect
from pathlib import Path

import pytest
import torch

import pdefm.tasks
from pdefm.config import Section, section_from_dict
from pdefm.errors import RecipeError
from pdefm.tasks import TASKS
from pdefm.tasks.base import Task
from tests.tiny_dpot import adapted_model, make_task, task_batch

every_task = pytest.mark.parametrize("name", sorted(TASKS))


def holed_mask():
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, 2:5, 7:9] = False
    return mask


@every_task
def test_the_docstring_states_the_loss_and_a_source(name):
    kind = TASKS[name]
    text = inspect.getdoc(kind) or ""
    assert issubclass(kind, Task)
    assert kind.name == name
    assert "Loss" in text
    assert "Source" in text


@every_task
def test_every_option_has_a_default_and_a_description(name):
    options = TASKS[name].options_class
    assert issubclass(options, Section)
    assert all(field.description for field in options.model_fields.values())
    assert section_from_dict(options, options().model_dump(mode="json"), name) == options()
    with pytest.raises(RecipeError):
        section_from_dict(options, {"bogus": 1}, name)


@every_task
@pytest.mark.parametrize("mask", [None, holed_mask()], ids=["whole", "holed"])
def test_a_step_gives_a_finite_loss_and_a_gradient(name, mask):
    task, model = make_task(name), adapted_model(name)
    prepared = task.prepare(task_batch(name, mask=mask), torch.Generator().manual_seed(0))
    prediction = task.predict(model, prepared)
    assert prediction.shape[: prepared.target.ndim] == prepared.target.shape
    loss = task.loss(prediction, prepared)
    assert loss.shape == ()
    assert loss.isfinite()
    assert loss > 0
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.any() for g in gradients)


@every_task
def test_a_small_step_downhill_lowers_the_loss(name):
    task, model = make_task(name), adapted_model(name)
    prepared = task.prepare(task_batch(name))
    losses = []
    for _ in range(2):
        model.zero_grad()
        loss = task.loss(task.predict(model, prepared), prepared)
        loss.backward()
        losses.append(loss.item())
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data -= 1e-4 * parameter.grad
    assert losses[1] < losses[0]


@every_task
def test_metrics_are_finite_and_one_value_a_sample(name):
    task = make_task(name)
    prepared = task.prepare(task_batch(name, mask=holed_mask()))
    metrics = task.metrics(task.predict(adapted_model(name), prepared), prepared)
    assert metrics
    assert all(task.definitions[metric].endswith(".") for metric in metrics)
    for values in metrics.values():
        assert values.shape == (2,)
        assert values.isfinite().all()


@every_task
def test_without_a_generator_nothing_is_random(name):
    first, second = (make_task(name).prepare(task_batch(name)) for _ in range(2))
    assert torch.equal(first.inputs["history"], second.inputs["history"])
    assert torch.equal(first.target, second.target)


@every_task
def test_values_outside_the_mask_change_neither_inputs_nor_loss(name):
    task, model, mask = make_task(name), adapted_model(name), holed_mask()
    outside = ~mask[:, None, None]
    losses = []
    for filling in (0.0, float("nan")):
        batch = task_batch(name, mask=mask)
        hostile = task_batch(
            name,
            mask=mask,
            history=batch.history.masked_fill(outside, filling),
            target=batch.target.masked_fill(outside, filling),
        )
        prepared = task.prepare(hostile, torch.Generator().manual_seed(0))
        losses.append(task.loss(task.predict(model, prepared), prepared))
    assert losses[0].isfinite()
    assert torch.equal(losses[0], losses[1])


def test_every_file_of_the_folder_is_a_task_of_the_table():
    files = {path.stem for path in Path(pdefm.tasks.__file__).parent.glob("*.py")}
    listed = {target.partition(":")[0].rpartition(".")[2] for target in TASKS.targets.values()}
    assert files - {"__init__", "base"} - listed == set(), "a task that no table line names"
