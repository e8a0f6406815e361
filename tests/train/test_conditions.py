"""What a recipe conditions its model on is read from the data and used in training and rollout."""

import pytest
import torch

from pdefm.config import section_from_dict
from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.errors import RecipeError
from pdefm.evaluation.rollout import rollout
from pdefm.models.loading import load_model
from pdefm.train.checkpoint import latest_checkpoint
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import PretrainRecipe
from tests.tiny import tiny_values


@pytest.fixture
def waves(tmp_path):
    generate(
        "burgers", num_trajectories=4, resolution=16, num_frames=7, seed=0, out=tmp_path / "burgers"
    )
    return tmp_path / "burgers"


def train(waves, out, conditions):
    values = tiny_values([{"name": "burgers", "path": str(waves)}], max_steps=4, save_steps=4)
    values["model"]["conditions"] = conditions
    values["train"]["learning_rate"] = 0.03
    return pretrain(section_from_dict(PretrainRecipe, values), out)


def test_a_model_learns_to_listen_to_the_viscosity_of_the_data(waves, tmp_path):
    train(waves, tmp_path / "run", ["dt", "boundary", "viscosity"])
    found = latest_checkpoint(tmp_path / "run")
    assert found is not None
    model, processor = load_model(found[1] / "model")
    assert processor.conditions.keys() == {"dt", "boundary", "viscosity"}
    trajectory = open_trajectories(waves)[0]
    inputs = processor(trajectory.frames(0, 3))
    assert inputs["parameters"].keys() == {"viscosity"}
    assert inputs["parameters"]["viscosity"].abs() < 5  # normalised
    with torch.no_grad():
        told = model(**inputs).prediction
        untold = model(**{k: v for k, v in inputs.items() if k != "parameters"}).prediction
    assert not torch.equal(told, untold)
    expected = rollout(model, processor, trajectory.frames(0, 3), 1).fields[0]
    scale = processor.scale(inputs["history"], inputs["field_names"])
    torch.testing.assert_close(scale.denormalize(told)[0, 0], expected)


def test_a_parameter_that_no_trajectory_has_is_refused(waves, tmp_path):
    with pytest.raises(RecipeError, match="no training trajectory has a parameter 'viscosty'"):
        train(waves, tmp_path / "run", ["viscosty"])
