"""What every tuner of the table must do, under every task; a newcomer is tested by existing."""

import inspect
import json
from pathlib import Path

import pytest
import torch

import pdefm.tuners
from pdefm.adapters import tuner_loss
from pdefm.config import Section, section_from_dict
from pdefm.errors import ModelError, RecipeError
from pdefm.tuners import TUNERS
from pdefm.tuners.base import Tuner, trainable_share
from tests.tiny_dpot import frames, make_task, randomize, task_batch, tiny_model

every_tuner = pytest.mark.parametrize("name", sorted(TUNERS))


def build(name):
    return TUNERS[name](TUNERS[name].options_class())


def trained(name, seed=1):
    """A model whose trainable weights were moved."""
    model = build(name).apply(tiny_model()).eval()
    randomize(model, seed, trainable_only=True)
    return model


@every_tuner
def test_it_is_documented_and_so_is_every_option(name):
    kind = TUNERS[name]
    assert issubclass(kind, Tuner)
    assert issubclass(kind.options_class, Section)
    assert kind.name == name
    module = inspect.getmodule(kind)
    assert len(inspect.getdoc(kind) or "") > 10
    assert len(inspect.getdoc(module) or "") > 40
    options = kind.options_class
    assert all(field.description for field in options.model_fields.values())
    assert section_from_dict(options, options().model_dump(mode="json"), name) == options()
    with pytest.raises(RecipeError):
        section_from_dict(options, {"bogus": 1}, name)


@every_tuner
def test_applying_it_changes_no_bit_of_the_output(name):
    model = build(name).apply(tiny_model()).eval()
    assert torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)


@every_tuner
def test_something_trains_and_it_changes_the_output(name):
    model = trained(name)
    trainable, total = trainable_share(model)
    assert 0 < trainable <= total
    assert not torch.equal(model(frames()).prediction, tiny_model()(frames()).prediction)


@every_tuner
def test_the_state_comes_back_onto_a_fresh_base(name):
    model = trained(name)
    state = {key: tensor.clone() for key, tensor in build(name).state(model).items()}
    fresh = trained(name, seed=2)
    assert not torch.equal(fresh(frames()).prediction, model(frames()).prediction)
    build(name).load_state(fresh, state)
    assert torch.equal(fresh(frames()).prediction, model(frames()).prediction)


@every_tuner
def test_the_state_holds_every_trainable_weight(name):
    model = trained(name)
    stored = sum(tensor.numel() for tensor in build(name).state(model).values())
    assert stored >= trainable_share(model)[0]


@every_tuner
def test_what_it_minimises_is_a_finite_scalar_that_is_zero_for_the_truth(name):
    task = make_task("forecasting")
    prepared = task.prepare(task_batch("forecasting"))
    wrong = prepared.target + 1.0
    minimised = tuner_loss(name, {})
    assert minimised(task, prepared.target, prepared) < 1e-6
    loss = minimised(task, wrong.requires_grad_(), prepared)
    assert loss.shape == ()
    assert 0 < loss < torch.inf
    loss.backward()
    assert wrong.grad.isfinite().all()


@every_tuner
@pytest.mark.parametrize("damage", ["missing", "extra", "shape"])
def test_a_state_that_does_not_fit_is_refused_in_one_line(name, damage):
    model = trained(name)
    state = dict(build(name).state(model))
    first = sorted(state)[0]
    if damage == "missing":
        del state[first]
    elif damage == "extra":
        state["bogus"] = torch.zeros(1)
    else:
        state[first] = torch.zeros(3, 5, 7, 11)
    with pytest.raises(ModelError) as caught:
        build(name).load_state(model, state)
    assert "\n" not in str(caught.value)


@every_tuner
def test_its_keys_in_the_adapter_config_are_json(name):
    config = build(name).config(trained(name))
    assert json.loads(json.dumps(config)) == config


def test_every_file_of_the_folder_is_a_tuner_of_the_table():
    files = {path.stem for path in Path(pdefm.tuners.__file__).parent.glob("*.py")}
    listed = {target.partition(":")[0].rpartition(".")[2] for target in TUNERS.targets.values()}
    assert files - {"__init__", "base"} - listed == set(), "a tuner that no table line names"
