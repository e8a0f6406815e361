"""Validation by rollouts, and the checkpoint that they like best."""

import shutil

import pytest
import torch

from pdefm.errors import DataError
from pdefm.models.loading import load_model
from pdefm.tasks.forecasting import ForecastingOptions, ForecastingTask
from pdefm.train.assemble import _num_predictions
from pdefm.train.best import best_step
from pdefm.train.data import open_sources, validation_batches
from pdefm.train.journal import read_metrics
from pdefm.train.pretrain import pretrain
from pdefm.train.run_listing import list_runs
from pdefm.train.validation import validation_errors
from tests.tiny import tiny_recipe, write_waves
from tests.tiny_dpot import make_task
from tests.train.runs import equal, losses, weights

OPTIONS = {
    "max_steps": 8,
    "save_steps": 2,
    "eval_steps": 2,
    "save_total_limit": 9,
    "learning_rate": 0.05,
}


def line(step, one, rollout=None):
    found = {"step": step, "validation": {"a": one, "b": one}}
    return found if rollout is None else found | {"validation_rollout": {"a": rollout}}


def test_the_best_step_is_the_lowest_finite_error_of_those_that_are_saved():
    lines = [line(2, 0.5), line(3, 0.1), line(4, 0.3), line(6, 0.3), line(8, float("nan"))]
    assert best_step(lines, 2, 9) == (4, 0.3)
    assert best_step([*lines, line(9, 0.2)], 2, 9) == (9, 0.2)
    assert best_step([line(2, 0.1, 3.0), line(4, 0.9, 2.0)], 2, 4) == (4, 2.0)
    assert best_step([{"step": 1, "loss": 1.0}], 1, 1) is None


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory, tiny_run):
    out = tmp_path_factory.mktemp("best") / "run"
    pretrain(tiny_recipe(tiny_run.sources, eval_rollout_steps=3, **OPTIONS), out)
    return out


def test_rollouts_change_nothing_in_training(tmp_path, tiny_run, rolled_out):
    pretrain(tiny_recipe(tiny_run.sources, **OPTIONS), tmp_path / "plain")
    assert losses(rolled_out) == losses(tmp_path / "plain")
    assert equal(weights(rolled_out, 8), weights(tmp_path / "plain", 8))


def test_the_rollout_error_is_that_of_predictions_fed_back(tiny_run, rolled_out):
    recipe = tiny_recipe(tiny_run.sources)
    model, processor = load_model(rolled_out / "checkpoints/step-000008/model")
    task = ForecastingTask(processor, ForecastingOptions())
    sources = open_sources(recipe.data)
    batches = validation_batches(sources, recipe.data, task, 3)
    batch = batches["sea"][0]
    scale = processor.scale(batch.history, batch.names, batch.mask)
    history, frames = scale.normalize(batch.history), []
    inputs = task.prepare(batch).inputs
    with torch.no_grad():
        for _ in range(3):
            frames.append(model(**(inputs | {"history": history})).prediction)
            history = torch.cat([history, frames[-1]], 1)[:, 1:]
    found = scale.denormalize(torch.cat(frames, 1))
    error = (found - batch.target).flatten(3).norm(dim=-1) / batch.target.flatten(3).norm(dim=-1)
    assert batch.target.shape[1] == 3
    expected = validation_errors(model, task, {"sea": [batch]})["sea"]
    assert float(error.mean()) == pytest.approx(expected, rel=1e-5)
    written = read_metrics(rolled_out)[-1]["validation_rollout"]
    assert validation_errors(model, task, batches) == pytest.approx(written, rel=1e-5)


def test_the_best_checkpoint_is_kept_apart_and_listed(tmp_path, tiny_run, rolled_out):
    lines = [x for x in read_metrics(rolled_out) if "validation" in x]
    scores = {x["step"]: sum(x["validation_rollout"].values()) / 2 for x in lines}
    best = min(scores, key=lambda step: scores[step])
    state = torch.load(rolled_out / "checkpoints/best/state/state.pt", weights_only=True)
    assert state["step"] == best
    run = list_runs(rolled_out)[0]
    assert (run.best, run.best_error) == (best, scores[best])
    copy = tmp_path / "copy"
    shutil.copytree(rolled_out, copy)
    shutil.rmtree(copy / "checkpoints/best")
    pretrain(tiny_recipe(tiny_run.sources, eval_rollout_steps=3, **OPTIONS), copy)
    assert (copy / "checkpoints/best/manifest.json").read_bytes() == (
        rolled_out / "checkpoints/best/manifest.json"
    ).read_bytes()


@pytest.mark.parametrize(("num_frames", "num_predictions"), [(4, 0), (6, 3), (30, 8)])
def test_automatic_rollouts_are_as_long_as_the_data_allow(tmp_path, num_frames, num_predictions):
    """The task sees three frames of history."""
    task = make_task("forecasting")
    path = write_waves(tmp_path / "waves.npy", 3, num_frames, 1, 16, 16, seed=1)
    source = {"name": "waves", "path": str(path), "axes": "N T C X Y", "names": ["height"]}
    recipe = tiny_recipe([source | {"dt": 0.5}], eval_rollout_steps="auto")
    assert _num_predictions(recipe, task, open_sources(recipe.data)) == num_predictions
    inverse = make_task("inverse")
    assert _num_predictions(recipe, inverse, open_sources(recipe.data)) == 0


def test_trajectories_that_are_too_short_for_the_rollouts_are_named(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, eval_rollout_steps=50)
    with pytest.raises(DataError, match=r"sea|air"):
        pretrain(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
