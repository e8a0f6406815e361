"""Every task with every tuner: what an adapter promises, whatever it is made of."""

import copy

import pytest
import torch

from pdefm.adapted import AdaptedModel
from pdefm.adapters import save_adapter
from pdefm.tasks import TASKS
from pdefm.tuners import TUNERS
from tests.tiny_dpot import (
    adapted_model,
    make_task,
    randomize,
    task_adapter,
    task_batch,
    task_names,
    tiny_model,
)

every_pair = pytest.mark.parametrize(
    ("task", "tuner"), [(task, tuner) for task in sorted(TASKS) for tuner in sorted(TUNERS)]
)


def base_model(task):
    return tiny_model(field_names=list(task_names(task)))


def train(model, task, first, last, optimizer):
    """Steps whose noise depends on nothing but their number."""
    model.train()
    for step in range(first, last):
        optimizer.zero_grad()
        prepared = task.prepare(task_batch(task.name), torch.Generator().manual_seed(step))
        task.loss(task.predict(model, prepared), prepared).backward()
        optimizer.step()
    model.eval()


def make_optimizer(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)


def started(task, tuner):
    """As a training starts: nothing has moved yet but what the seed draws."""
    torch.manual_seed(0)
    return task_adapter(task, tuner).attach(base_model(task), make_task(task).processor)


def answer(model, task):
    with torch.no_grad():
        return task.predict(model, task.prepare(task_batch(task.name)))


def state(model, name, tuner):
    return {k: v.clone() for k, v in task_adapter(name, tuner).state(model).items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@every_pair
def test_every_trainable_weight_receives_a_gradient_and_no_other(task, tuner):
    made, model = make_task(task), adapted_model(task, tuner).train()
    prepared = made.prepare(task_batch(task), torch.Generator().manual_seed(0))
    made.loss(made.predict(model, prepared), prepared).backward()
    trainable = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
    assert trainable
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.any(), key
        else:
            assert parameter.grad is None, key


@every_pair
def test_a_saved_adapter_answers_the_same_and_leaves_the_base_as_it_was(task, tuner, tmp_path):
    made, model = make_task(task), started(task, tuner)
    train(model, made, 0, 3, make_optimizer(model))
    save_adapter(tmp_path, task_adapter(task, tuner), model, made.processor)
    base = base_model(task)
    before = copy.deepcopy(base.state_dict())
    adapted = AdaptedModel(base)
    adapted.load(tmp_path, "mine")
    assert torch.equal(answer(adapted, made), answer(model, made))
    adapted.delete_adapter("mine")
    assert equal(before, base.state_dict())


@every_pair
def test_training_twice_gives_the_same_bits(task, tuner):
    states = []
    for _ in range(2):
        model = started(task, tuner)
        train(model, make_task(task), 0, 2, make_optimizer(model))
        states.append(state(model, task, tuner))
    assert equal(*states)


@every_pair
def test_a_resumed_training_ends_as_one_that_ran_through(task, tuner):
    made = make_task(task)
    whole = started(task, tuner)
    optimizer = make_optimizer(whole)
    train(whole, made, 0, 2, optimizer)
    stored, moments = state(whole, task, tuner), copy.deepcopy(optimizer.state_dict())
    train(whole, made, 2, 4, optimizer)
    resumed = started(task, tuner)
    randomize(resumed, 9, trainable_only=True)
    task_adapter(task, tuner).load_state(resumed, stored)
    optimizer = make_optimizer(resumed)
    optimizer.load_state_dict(moments)
    train(resumed, made, 2, 4, optimizer)
    assert equal(state(whole, task, tuner), state(resumed, task, tuner))
