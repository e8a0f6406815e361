"""A whole pretraining run, and that nothing but the recipe decides its numbers."""

import json
import os
import random
import signal

import numpy as np
import pytest
import torch

from pdefm.data.batch import Batch
from pdefm.data.open import open_trajectories
from pdefm.errors import DataError, NumericalError, RecipeError
from pdefm.evaluation.rollout import rollout
from pdefm.models.loading import load_model
from pdefm.train.checkpoint import committed_checkpoints
from pdefm.train.pretrain import build_model, pretrain
from pdefm.train.validation import validation_errors
from tests.tiny import tiny_recipe, write_waves
from tests.train.runs import (
    StoppedError,
    equal,
    losses,
    start,
    stop_at,
    training_lines,
    validations,
    weights,
    write_recipe,
)

LINE_KEYS = {
    *("step", "loss", "loss_hex", "learning_rate", "grad_norm", "samples_seen"),
    *("samples_per_second", "data_wait_fraction", "shares", "source_losses"),
}


def test_the_loss_goes_down(tmp_path, tiny_run):
    pretrain(tiny_recipe(tiny_run.sources, max_steps=60, learning_rate=1e-2), tmp_path / "run")
    found = [line["loss"] for line in training_lines(tmp_path / "run")]
    first, last = np.mean(found[:6]), np.mean(found[-6:])
    assert last < 0.6 * first


def test_a_run_folder_holds_what_the_house_says(tiny_run):
    names = {path.name for path in tiny_run.folder.iterdir()}
    assert names == {"recipe.yaml", "environment.json", "metrics.jsonl", "checkpoints", "run.lock"}
    kept = committed_checkpoints(tiny_run.folder)
    assert [step for step, _ in kept] == [8, 12]
    files = {p.relative_to(kept[-1][1]).as_posix() for p in kept[-1][1].rglob("*") if p.is_file()}
    model = ("config.json", "model.safetensors", "processor_config.json")
    state = ("state.pt", "rng-00000.pt", "made_with.json")
    private, public = {f"state/{name}" for name in state}, {f"model/{name}" for name in model}
    assert files == {"manifest.json"} | private | public


def test_every_line_of_the_journal_has_its_keys(tiny_run):
    lines = training_lines(tiny_run.folder)
    assert [line["step"] for line in lines] == list(range(1, 13))
    for line in lines:
        assert set(line) == LINE_KEYS
        assert float.fromhex(line["loss_hex"]) == line["loss"]
        assert line["samples_seen"] == 4 * line["step"]
        assert line["samples_per_second"] > 0
        assert 0 <= line["data_wait_fraction"] <= 1
        assert sum(line["shares"].values()) == pytest.approx(1)
    assert lines[-1]["shares"]["sea"] == pytest.approx(2 / 3, abs=0.1)
    rates = [line["learning_rate"] for line in lines]
    assert rates[:2] == pytest.approx([1.5e-3, 3e-3])


def test_validations_come_as_often_as_told_and_at_the_end(tiny_run):
    found = validations(tiny_run.folder)
    assert [step for step, _ in found] == [6, 12]
    assert found[-1][1] == tiny_run.summary["validation"]
    assert set(found[-1][1]) == {"sea", "air"}


def test_fewer_lines_when_told(tmp_path, tiny_run):
    pretrain(tiny_recipe(tiny_run.sources, max_steps=7, logging_steps=3), tmp_path / "run")
    assert [line["step"] for line in training_lines(tmp_path / "run")] == [3, 6, 7]


def test_the_saved_model_has_the_error_that_was_reported(tiny_run):
    from pdefm.tasks.forecasting import ForecastingTask
    from pdefm.train.data import open_sources, validation_batches

    recipe = tiny_recipe(tiny_run.sources)
    model, processor = load_model(tiny_run.model)
    task = ForecastingTask(processor, recipe.task)
    batches = validation_batches(open_sources(recipe.data), recipe.data, task)
    found = validation_errors(model, task, batches)
    assert found == pytest.approx(tiny_run.summary["validation"], rel=1e-6)
    assert all(isinstance(batch, Batch) for group in batches.values() for batch in group)


def test_a_killed_run_goes_on_bit_for_bit_in_a_new_process(tmp_path, tiny_run):
    step = random.randint(2, 12)
    saving = 4 * ((step + 3) // 4)  # dies while this checkpoint is being written
    recipe = write_recipe(tmp_path / "recipe.yaml", tiny_recipe(tiny_run.sources))
    out = tmp_path / f"killed-in-{step}-and-{saving}"
    for kill in ((step, "train"), (saving, "save")):
        done = start("-m", "tests.train.killed_worker", recipe, out, *kill)
        assert done.returncode == -signal.SIGKILL, (out, done.stderr)
    report = start("-m", "pdefm", "pretrain", recipe, "--out", out, "--json")
    assert report.returncode == 0, report.stderr
    summary = json.loads(report.stdout)
    assert summary["resumed_from"] == (saving - 4), out
    assert losses(out) == losses(tiny_run.folder), out
    assert validations(out) == validations(tiny_run.folder)
    assert equal(weights(out, 12), weights(tiny_run.folder, 12))
    assert summary["validation"] == tiny_run.summary["validation"]


def test_a_finished_run_is_not_trained_again(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, max_steps=4, save_steps=2)
    first = pretrain(recipe, tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    again = pretrain(recipe, tmp_path / "run")
    assert (again["step"], again["resumed_from"]) == (4, 4)
    assert again["validation"] == pytest.approx(first["validation"])
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_overwrite_starts_anew(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, max_steps=2)
    pretrain(recipe, tmp_path / "run")
    again = pretrain(recipe, tmp_path / "run", overwrite=True)
    assert again["resumed_from"] == 0
    assert len(losses(tmp_path / "run")) == 2


def test_a_damaged_newest_checkpoint_costs_only_its_steps(tmp_path, tiny_run, monkeypatch, capsys):
    go_on = stop_at(monkeypatch, 11)
    with pytest.raises(StoppedError):
        pretrain(tiny_recipe(tiny_run.sources), tmp_path / "run")
    damaged = tmp_path / "run/checkpoints/step-000008/model/model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    go_on()
    summary = pretrain(tiny_recipe(tiny_run.sources), tmp_path / "run")
    assert summary["resumed_from"] == 4
    assert "skipped checkpoint step-000008" in capsys.readouterr().err
    assert losses(tmp_path / "run") == losses(tiny_run.folder)
    assert equal(weights(tmp_path / "run", 12), weights(tiny_run.folder, 12))


def test_workers_that_read_ahead_change_nothing(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources)
    ahead = recipe.data.model_copy(update={"num_workers": 2})
    pretrain(recipe.model_copy(update={"data": ahead}), tmp_path / "run")
    assert losses(tmp_path / "run") == losses(tiny_run.folder)


def test_another_seed_gives_other_numbers(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, max_steps=1).model_copy(update={"seed": 4})
    pretrain(recipe, tmp_path / "run")
    assert losses(tmp_path / "run")[0] != losses(tiny_run.folder)[0]


def quiet(recipe):
    """The same without noise on the histories."""
    task = recipe.task.model_copy(update={"noise_fraction": 0.0})
    return recipe.model_copy(update={"task": task})


def test_accumulation_changes_neither_loss_nor_gradient(tmp_path, tiny_run):
    for size in (4, 1):
        recipe = tiny_recipe(tiny_run.sources[:1], max_steps=3, micro_batch_size=size)
        pretrain(quiet(recipe), tmp_path / str(size))
    whole, parts = (training_lines(tmp_path / size) for size in ("4", "1"))
    assert [a["loss"] for a in whole] == pytest.approx([b["loss"] for b in parts], rel=1e-4)
    # Only the first: Adam then makes much of the rounding of tiny gradients.
    assert whole[0]["grad_norm"] == pytest.approx(parts[0]["grad_norm"], rel=1e-4)


def test_training_sees_noise_and_validation_does_not(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, max_steps=1, learning_rate=1e-30)
    for name, one in (("noisy", recipe), ("quiet", quiet(recipe))):
        pretrain(one, tmp_path / name)
    assert losses(tmp_path / "noisy") != losses(tmp_path / "quiet")
    assert validations(tmp_path / "noisy") == validations(tmp_path / "quiet")


def test_a_run_that_leaves_the_finite_numbers_says_so(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(NumericalError, match="not finite at step") as found:
        pretrain(recipe, tmp_path / "run")
    assert found.value.exit_status == 6
    assert all(np.isfinite(line["loss"]) for line in training_lines(tmp_path / "run"))


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path, tiny_run):
    recipe = tiny_recipe(tiny_run.sources, global_batch_size=5)
    with pytest.raises(RecipeError, match=r"got 5 for 2 x 1\. Use a multiple of 2"):
        pretrain(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"), ("ACCELERATE_MIXED_PRECISION", "fp16")],
)
def test_a_launcher_that_contradicts_the_recipe_is_refused(
    tmp_path, tiny_run, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    with pytest.raises(RecipeError, match=f"contradicts.*{value}"):
        pretrain(tiny_recipe(tiny_run.sources), tmp_path / "run")


def test_three_axes_and_two_units_of_a_field_are_refused(tmp_path, tiny_run):
    sea, air = tiny_run.sources
    with pytest.raises(RecipeError, match="'velocity_x' comes in two units: got 'm/s' and 'km/h'"):
        build(sea | {"names": ["velocity_x"], "units": ["km/h"], "name": "x"}, air)
    cube = write_cube(tmp_path)
    with pytest.raises(DataError, match="on 3 space axes: got 2 axes"):
        build(air, cube)
    np.save(tmp_path / "line.npy", np.ones((2, 5, 4), np.float32))
    with pytest.raises(DataError, match="on 1 space axes: got 2 axes"):
        build(air, {"name": "line", "path": str(tmp_path / "line.npy"), "axes": "N T X"})


def write_cube(folder):
    """Decaying waves on a small cube, as a source of a recipe."""
    t = np.arange(6).reshape(1, -1, 1, 1, 1)
    x, y, z = np.meshgrid(*[np.arange(8) / 8] * 3, indexing="ij")
    phase = np.arange(4).reshape(-1, 1, 1, 1, 1)
    waves = np.sin(2 * np.pi * (x + y - z) + phase + 0.3 * t) * np.exp(-0.1 * t)
    np.save(folder / "cube.npy", waves.astype(np.float32))
    return {"name": "cube", "path": str(folder / "cube.npy"), "axes": "N T X Y Z", "names": ["h"]}


def test_three_dimensional_data_train_and_roll_out(tmp_path):
    source = write_cube(tmp_path)
    recipe = tiny_recipe([source], max_steps=60, learning_rate=1e-2)
    summary = pretrain(recipe, tmp_path / "run")
    found = [line["loss"] for line in training_lines(tmp_path / "run")]
    assert found[-1] < 0.9 * found[0]
    model, processor = load_model(tmp_path / "run" / "checkpoints" / "step-000060" / "model")
    assert model.config.num_dims == 3
    start = open_trajectories(source["path"], axes="N T X Y Z", names="h")[0].frames(0, 3)
    assert rollout(model, processor, start, 2).fields.shape == (2, 1, 8, 8, 8)
    assert summary["step"] == 60


def build(*sources):
    from pdefm.train.data import open_sources

    recipe = tiny_recipe(list(reversed(sources)))
    return build_model(recipe, open_sources(recipe.data))


def test_statistics_are_those_of_the_training_data(tmp_path):
    path = write_waves(tmp_path / "sea.npy", 4, 6, 1, 8, 8)
    _, processor = build({"name": "sea", "path": str(path), "axes": "N T C X Y", "names": ["h"]})
    seen = torch.from_numpy(np.load(path)[:3]).double()
    assert processor.fields["h"]["mean"] == pytest.approx(float(seen.mean()), rel=1e-6)
    assert processor.fields["h"]["std"] == pytest.approx(float(seen.std(correction=0)), rel=1e-6)


def test_tensorboard_gets_the_numbers(tmp_path, tiny_run):
    pretrain(tiny_recipe(tiny_run.sources, max_steps=2, report_to="tensorboard"), tmp_path / "run")
    events = [p for p in (tmp_path / "run").rglob("events.out.tfevents*") if os.path.getsize(p)]
    assert events
