"""What is said and picked before the first step, and when a run ends early."""

import pytest
import torch

from pdefm.errors import DataError, RecipeError
from pdefm.train.briefing import Measured, parse_budget, steps_within
from pdefm.train.finetune import finetune
from pdefm.train.journal import read_metrics
from pdefm.train.recipe import TrainSection
from pdefm.train.run_listing import list_runs
from tests.tiny import tiny_finetune, waves, write_waves
from tests.train.runs import StoppedError, equal, stop_at, training_lines, weights


@pytest.fixture
def lake(tmp_path):
    path = write_waves(tmp_path / "lake.npy", 4, 8, 1, 16, 16, seed=7)
    return {"name": "lake", "path": str(path), "axes": "N T C X Y", "names": ["height"], "dt": 0.5}


def test_a_budget_is_read_and_leaves_time_for_validation():
    assert [parse_budget(text) for text in ("90s", "10min", "1.5h")] == [90, 600, 5400]
    for text in ("10", "min", "-3s", "0s", "3 weeks"):
        with pytest.raises(RecipeError, match="--budget"):
            parse_budget(text)
    section = TrainSection(global_batch_size=16, micro_batch_size=16)
    picked = steps_within(100.0, Measured(0.5, 1.0, 0), section)
    assert picked["max_steps"] * 0.5 + 6 * 1.0 <= 100
    assert picked["max_steps"] > 100
    assert picked["global_batch_size"] == 16
    with pytest.raises(RecipeError, match="too short"):
        steps_within(1.0, Measured(0.5, 1.0, 0), section)


def test_a_short_budget_takes_smaller_batches_rather_than_few_steps():
    section = TrainSection(global_batch_size=16, micro_batch_size=8)
    picked = steps_within(100.0, Measured(4.0, 1.0, 0), section)
    assert (picked["global_batch_size"], picked["micro_batch_size"]) == (4, 2)
    assert picked["max_steps"] + 6 * 1.0 <= 100
    assert picked["max_steps"] > 60


def test_before_the_first_step_it_says_what_is_to_come_and_changes_nothing(
    lake, tiny_run, tmp_path
):
    recipe = tiny_finetune(tiny_run.model, lake)
    told = []
    finetune(recipe, tiny_run.model, tmp_path / "told", announce=told.append)
    finetune(recipe, tiny_run.model, tmp_path / "silent")
    text = "\n".join(told)
    for part in ("data lake: 3 trajectories", "trains: ", "memory: ", "time: ", "persistence"):
        assert part in text
    name = "adapter_model"
    assert equal(weights(tmp_path / "told", 8, name), weights(tmp_path / "silent", 8, name))


def test_an_error_in_the_data_stops_it_before_the_folder_is_made(lake, tiny_run, tmp_path):
    import numpy as np

    fields = waves(4, 8, 1, 16, 16)
    fields[1, 3] = np.nan
    np.save(lake["path"], fields)
    with pytest.raises(DataError):
        finetune(
            tiny_finetune(tiny_run.model, lake), tiny_run.model, tmp_path / "run", announce=print
        )
    assert not (tmp_path / "run").exists()


def test_a_budget_and_epochs_pick_the_steps_and_a_resume_keeps_them(
    lake, tiny_run, tmp_path, monkeypatch
):
    recipe = tiny_finetune(tiny_run.model, lake)
    go_on = stop_at(monkeypatch, 7)
    with pytest.raises(StoppedError):
        finetune(recipe, tiny_run.model, tmp_path / "run", epochs=3.0)
    go_on()
    torch.manual_seed(99)
    summary = finetune(recipe, tiny_run.model, tmp_path / "run", epochs=3.0)
    # Three trajectories of 8 frames hold 5 windows of 3 + 1 frames each; a step takes four.
    assert (summary["step"], summary["resumed_from"]) == (11, 4)
    summary = finetune(recipe, tiny_run.model, tmp_path / "short", budget_seconds=2.0)
    assert summary["step"] >= 5
    assert summary["seconds"] < 4


def test_it_stops_early_and_keeps_best_and_last(lake, tiny_run, tmp_path):
    train = {
        "max_steps": 40,
        "eval_steps": 2,
        "save_steps": 2,
        "learning_rate": 0.5,
        "warmup_steps": 0,
        "early_stopping_patience": 2,
        "eval_rollout_steps": 3,
    }
    recipe = tiny_finetune(tiny_run.model, lake, train=train)
    out = tmp_path / "run"
    summary = finetune(recipe, tiny_run.model, out)
    assert summary["step"] < 40
    assert summary["best_step"] == list_runs(out)[0].best
    assert summary["step"] == summary["best_step"] + 4
    assert (out / "checkpoints" / "best" / "model" / "adapter_model.safetensors").is_file()
    assert (out / "checkpoints" / f"step-{summary['step']:06d}").is_dir()
    assert any("validation_rollout" in line for line in read_metrics(out))
    again = finetune(recipe, tiny_run.model, out)
    assert again["step"] == summary["step"]
    assert len(training_lines(out)) == summary["step"]
