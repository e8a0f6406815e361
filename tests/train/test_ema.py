"""Averaged weights: what is published, while training goes on from the live ones."""

import shutil

import torch
from torch import nn

from pdefm.models.loading import load_model
from pdefm.train.checkpoint import checkpoint_folder, load_state
from pdefm.train.ema import ExponentialAverage
from pdefm.train.pretrain import pretrain
from tests.tiny import tiny_recipe
from tests.train.runs import training_lines, weights


def test_the_average_follows_its_formula():
    model = nn.Linear(1, 1, bias=False)
    values = [1.0, 3.0, -2.0, 5.0]
    with torch.no_grad():
        model.weight.fill_(values[0])
    average = ExponentialAverage(model, decay=0.15)
    expected = values[0]
    for n, value in enumerate(values[1:]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(model)
        decay = min(0.15, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert abs(float(average.weights["weight"]) - expected) < 1e-6
    with average.applied(model):
        assert abs(float(model.weight.detach()) - expected) < 1e-6
    assert float(model.weight.detach()) == values[-1]


def test_what_is_published_is_the_average_and_the_run_goes_on_from_the_live_weights(
    tmp_path, tiny_run
):
    def recipe(**options):
        return tiny_recipe(tiny_run.sources, max_steps=8, save_steps=4, **options)

    pretrain(recipe(), tmp_path / "plain")
    pretrain(recipe(ema_decay=0.5), tmp_path / "averaged")
    live = load_state(checkpoint_folder(tmp_path / "averaged", 8))["average"]["weights"]
    plain, published = weights(tmp_path / "plain", 8), weights(tmp_path / "averaged", 8)
    assert all(torch.equal(live[name], plain[name]) for name in live)
    assert any(not torch.equal(published[name], plain[name]) for name in live)
    loaded, _ = load_model(checkpoint_folder(tmp_path / "averaged", 8) / "model")
    assert all(torch.equal(value, published[name]) for name, value in loaded.state_dict().items())


def test_a_resumed_run_has_the_same_average(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, max_steps=8, save_steps=4, ema_decay=0.9)
    pretrain(recipe, tmp_path / "run")
    expected, lines = weights(tmp_path / "run", 8), training_lines(tmp_path / "run")
    shutil.rmtree(checkpoint_folder(tmp_path / "run", 8))
    assert pretrain(recipe, tmp_path / "run")["resumed_from"] == 4
    found = weights(tmp_path / "run", 8)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    again = training_lines(tmp_path / "run")
    assert [line["loss_hex"] for line in again] == [line["loss_hex"] for line in lines]
