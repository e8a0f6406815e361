"""Optimizer groups and the learning rate of every step."""

import pytest
import torch
from torch import nn

from pdefm.train.optim import learning_rate, make_optimizer
from pdefm.train.recipe import TrainSection


def section(**values):
    given = {"max_steps": 110, "learning_rate": 2.0, "warmup_steps": 10} | values
    return TrainSection.model_validate(given)


def rates(**values):
    return [learning_rate(section(**values), step) for step in range(110)]


@pytest.mark.parametrize("kind", ["cosine", "constant"])
def test_warm_up_rises_linearly_to_the_peak(kind):
    expected = [0.2 * (step + 1) for step in range(10)]
    assert rates(lr_scheduler_type=kind)[:10] == pytest.approx(expected)


def test_cosine_falls_to_the_floor():
    found = rates(min_learning_rate_ratio=0.1)
    assert found[10] == pytest.approx(2.0)
    assert found[60] == pytest.approx(1.1)  # halfway between 2.0 and 0.2
    assert found[10:] == sorted(found[10:], reverse=True)
    assert learning_rate(section(min_learning_rate_ratio=0.1), 110) == pytest.approx(0.2)
    assert learning_rate(section(min_learning_rate_ratio=0.1), 999) == pytest.approx(0.2)


def test_constant_stays_at_the_peak():
    assert set(rates(lr_scheduler_type="constant")[9:]) == {2.0}


def test_one_cycle_rises_and_falls_smoothly():
    found = rates(lr_scheduler_type="one_cycle", min_learning_rate_ratio=0.0)
    assert found[4] == pytest.approx(1.0)  # half of the way up at half of the warm-up
    assert max(found) == found[9] == pytest.approx(2.0)
    assert found[:10] == sorted(found[:10])
    assert found[10:] == sorted(found[10:], reverse=True)


@pytest.mark.parametrize("kind", ["cosine", "constant", "one_cycle"])
def test_no_warm_up_starts_at_the_peak(kind):
    assert rates(warmup_steps=0, lr_scheduler_type=kind)[0] == 2.0


def test_a_warm_up_longer_than_the_run_only_rises():
    found = rates(warmup_steps=500)
    assert found == sorted(found)
    assert found[-1] < 2.0


def test_vectors_do_not_decay():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = make_optimizer(model, section(weight_decay=0.5, learning_rate=0.1))
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, old in zip(model.parameters(), before, strict=True):
        expected = old * (1 - 0.1 * 0.5) if old.ndim > 1 else old
        torch.testing.assert_close(parameter.detach(), expected)


def test_frozen_weights_are_left_out():
    model = nn.Linear(3, 4)
    model.weight.requires_grad_(False)
    groups = make_optimizer(model, section(adam_beta1=0.8)).param_groups
    assert [parameter for group in groups for parameter in group["params"]] == [model.bias]
    assert groups[0]["betas"] == (0.8, 0.95)


def test_wsd_stays_at_the_peak_and_falls_linearly_at_the_end():
    found = rates(lr_scheduler_type="wsd", decay_fraction=0.2, min_learning_rate_ratio=0.0)
    assert found[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert set(found[10:88]) == {2.0}
    assert found[88:] == pytest.approx([2.0 * (110 - step) / 22 for step in range(88, 110)])


def test_coupled_adam_puts_the_decay_into_the_gradient():
    weight = torch.tensor([[2.0, -3.0]])
    for optim, moves in (("adam", True), ("adamw", False)):
        model = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            model.weight.copy_(weight)
        options = section(optim=optim, weight_decay=0.5, learning_rate=0.1)
        optimizer = make_optimizer(model, options)
        (model.weight * 0).sum().backward()
        optimizer.step()
        # Adam's first step is the rate times the sign of the gradient, which is the decay's.
        coupled, decoupled = weight - 0.1 * weight.sign(), weight * (1 - 0.1 * 0.5)
        expected = coupled if moves else decoupled
        torch.testing.assert_close(model.weight.detach(), expected, rtol=1e-4, atol=1e-5)
