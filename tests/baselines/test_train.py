"""Baselines learn, with the same bits for the same steps, and end in time."""

import pytest
import torch

from pdefm.baselines import BASELINES
from pdefm.baselines.base import count_weights, library_module
from pdefm.baselines.train import BATCH_SIZE, BaselineTrainer, Budget, make_demands
from pdefm.data.collection import MemoryCollection
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.evaluation.evaluate import evaluate
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.evaluation.training_set import TrainingSet
from pdefm.train.data import OpenedSource
from tests.tiny import waves
from tests.tiny_dpot import tiny_model, tiny_processor

HISTORY = 3


def fading(count, seed, size=(16, 16), **changes):
    """Waves around 0 that lose a fifth of their height from frame to frame: easy to learn."""
    times = torch.arange(8) * 0.5
    height = 0.8 ** torch.arange(8.0).view(-1, 1, 1, 1)
    return MemoryCollection(
        [
            Trajectory(height * (first - 2), ("height",), Grid.regular(size), times, **changes)
            for first in torch.from_numpy(waves(count, 1, 1, *size, seed=seed))
        ]
    )


@pytest.fixture(scope="module")
def data():
    return TrainingSet("sea", fading(8, 0), fading(3, 1))


@pytest.fixture(scope="module")
def subject():
    model = tiny_model(field_names=["height", "salt"], hidden_size=32)
    return Contender(model, tiny_processor(("height", "salt")))


def numbers(data, subject, found):
    results = evaluate(
        {"sea": data.held_out},
        {"model": subject},
        Protocol(history=HISTORY, num_steps=4),
        model={},
        baselines_of=lambda name: found,
    )
    return results["datasets"]["sea"]["baselines"]


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_it_learns(data, subject, name):
    trainer = BaselineTrainer([name], Budget(steps=40), seed=5, learning_rate=1e-2)
    found = trainer(data, subject)
    measured = numbers(data, subject, found)
    error, still = (
        measured[label]["per_step"]["relative_l2"]["mean"][0] for label in (name, "persistence")
    )
    assert error < 0.85 * still


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_the_same_steps_give_the_same_bits(data, subject, name):
    one, same, other = (
        list(BaselineTrainer([name], Budget(steps=3), seed)(data, subject)[name].model.parameters())
        for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_time_budget_is_kept_and_what_was_done_is_recorded(data, subject):
    found = BaselineTrainer(["scratch"], Budget(seconds=0.5))(data, subject)["scratch"]
    entry = numbers(data, subject, {"scratch": found})["scratch"]
    training = entry["training"]
    assert 0.5 <= training["seconds"] < 5
    assert training["steps"] > 1
    assert training["samples"] == training["steps"] * BATCH_SIZE
    assert training["num_trajectories"] == 8
    assert training["num_weights"] == count_weights(found.model)
    assert training["library"] == "pdefm"
    assert entry["relative_l2"] > 0


def test_its_units_come_from_the_training_data(data, subject):
    found = BaselineTrainer(["scratch"], Budget(steps=1))(data, subject)["scratch"]
    values = torch.stack([trajectory.fields for trajectory in data.train])
    assert list(found.processor.fields) == ["height"]
    assert found.processor.fields["height"]["std"] == pytest.approx(
        float(values.std(correction=0)), rel=1e-4
    )
    assert found.processor.fields["height"]["mean"] == pytest.approx(float(values.mean()), abs=1e-5)
    assert found.processor.history == subject.processor.history


def test_scratch_is_the_subject_without_the_fields_and_conditions_that_the_data_lack():
    conditions = {
        name: {"log": False, "mean": 0.0, "std": 1.0} for name in ("dt", "viscosity", "gravity")
    }
    model = tiny_model(
        field_names=["height", "salt"], conditions=list(conditions), position_size=None
    )
    subject = Contender(model, tiny_processor(("height", "salt"), conditions=conditions))
    data = TrainingSet("sea", *(fading(2, s, parameters={"viscosity": 0.1}) for s in (0, 1)))
    found = BaselineTrainer(["scratch"], Budget(steps=1))(data, subject)["scratch"]
    config = found.model.network.config
    assert config.field_names == ["height"]
    assert config.conditions == ["dt", "viscosity"]
    assert config.hidden_size == model.config.hidden_size


def test_of_several_grids_the_smallest_counts_and_a_mask_is_seen(subject):
    mask = torch.ones(20, 12, dtype=torch.bool)
    mask[3:5, 3:5] = False
    train = MemoryCollection([*fading(1, 0), *fading(1, 0, (20, 12))])
    source = OpenedSource("sea", 1.0, train, fading(1, 1, (20, 12), mask=mask))
    demands, _ = make_demands(BASELINES["fno"](), source, subject)
    assert demands.grid == (16, 12)
    assert demands.periodic == (True, True)
    assert demands.has_mask
    assert demands.channels_in == HISTORY + 1


def test_the_seed_of_the_caller_goes_on(data, subject):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    BaselineTrainer(["scratch"], Budget(steps=2))(data, subject)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["fnoo"], "Did you mean 'fno'"),
        (["unet", "unet"], "different names"),
        ([""], "unknown baseline"),
    ],
)
def test_wrong_names_are_refused(names, message):
    with pytest.raises(RecipeError, match=message):
        BaselineTrainer(names, Budget(steps=1))


def test_a_budget_is_one_of_time_and_steps():
    for both in ({}, {"seconds": 1.0, "steps": 1}):
        with pytest.raises(RecipeError, match="Give one of"):
            Budget(**both)


def test_a_missing_library_is_named_with_what_installs_it():
    with pytest.raises(EnvironmentFault, match=r"needs left-pad.*pip install 'pdefm\[benchmark\]'"):
        library_module("left-pad", "left_pad.right")
