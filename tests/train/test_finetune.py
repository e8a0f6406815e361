"""Adapters: trained on the tiny base, stored complete, loaded back, resumed."""

import json

import pytest
import torch

from pdefm.adapters import attach_adapter
from pdefm.errors import DataError, ModelError, RecipeError
from pdefm.files import file_sha256
from pdefm.hub.load import load_adapter
from pdefm.models.loading import load_model, weights_sha256
from pdefm.tasks.forecasting import ForecastingTask
from pdefm.train.data import open_sources, validation_batches
from pdefm.train.finetune import finetune
from pdefm.train.validation import validation_errors
from tests.tiny import tiny_finetune, write_waves
from tests.train.runs import StoppedError, equal, losses, stop_at, training_lines, weights


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A source with a field that the base knows and one that it does not."""
    path = write_waves(tmp_path_factory.mktemp("lake") / "lake.npy", 4, 8, 2, 16, 16, seed=7)
    names = ["height", "salinity"]
    return {"name": "lake", "path": str(path), "axes": "N T C X Y", "names": names, "dt": 0.5}


@pytest.fixture(scope="module")
def adapted(lake, tiny_run, tmp_path_factory):
    """A finished fine-tuning with LoRA: recipe, run folder and summary."""
    recipe = tiny_finetune(tiny_run.model, lake, add_fields={"salinity": "height"})
    out = tmp_path_factory.mktemp("adapted") / "run"
    return recipe, out, finetune(recipe, tiny_run.model, out)


def adapter_folder(run, step=8):
    return run / "checkpoints" / f"step-{step:06d}" / "model"


def test_the_adapter_folder_is_complete_and_names_its_base(adapted, tiny_run):
    recipe, out, _ = adapted
    folder = adapter_folder(out)
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "processor_config.json",
    }
    config = json.loads((folder / "adapter_config.json").read_text())
    base, _ = load_model(tiny_run.model)
    assert config["base"]["sha256"] == weights_sha256(base)
    assert (config["task"], config["tuner"]) == ("forecasting", "lora")
    assert config["added_fields"] == {"salinity": "height"}
    assert config["recipe"] == recipe.model_dump(mode="json")


def test_the_adapter_trains_less_than_the_model(adapted):
    _, _, summary = adapted
    assert 0 < summary["num_trainable"] < summary["num_parameters"]


@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_it_loads_back_with_the_error_that_was_reported(adapted, lake, tiny_run, tmp_path, tuner):
    recipe, out, summary = adapted
    if tuner == "full":
        recipe = recipe.model_copy(update={"tuner": "full", "tuner_options": {}})
        out = tmp_path / "full"
        summary = finetune(recipe, tiny_run.model, out)
    base, _ = load_model(tiny_run.model)
    model, processor = attach_adapter(base, adapter_folder(out))
    from pdefm.tasks.forecasting import ForecastingOptions

    task = ForecastingTask(processor, ForecastingOptions())
    batches = validation_batches(open_sources(recipe.data), recipe.data, task)
    assert validation_errors(model, task, batches) == pytest.approx(summary["validation"], rel=1e-6)


def test_the_loss_goes_down(adapted, lake, tiny_run, tmp_path):
    recipe = tiny_finetune(
        tiny_run.model,
        lake,
        add_fields={"salinity": None},
        train={"max_steps": 30, "learning_rate": 2e-2},
    )
    finetune(recipe, tiny_run.model, tmp_path / "run")
    found = [line["loss"] for line in training_lines(tmp_path / "run")]
    assert sum(found[-5:]) < 0.8 * sum(found[:5])


def test_the_base_stays_as_it_was(lake, tiny_run, tmp_path):
    before = {path.name: file_sha256(path) for path in tiny_run.model.iterdir()}
    recipe = tiny_finetune(
        tiny_run.model, lake, add_fields={"salinity": None}, tuner="full", tuner_options={}
    )
    finetune(recipe, tiny_run.model, tmp_path / "run")
    assert {path.name: file_sha256(path) for path in tiny_run.model.iterdir()} == before


def test_the_processor_knows_old_fields_and_new_statistics(adapted, lake, tiny_run):
    _, out, _ = adapted
    base, base_processor = load_model(tiny_run.model)
    adapted_model = load_adapter(base, str(out))
    fields = adapted_model.processor.fields
    assert set(fields) == {"height", "velocity_x", "velocity_y", "salinity"}
    assert fields["velocity_x"] == base_processor.fields["velocity_x"]
    assert fields["height"]["mean"] != base_processor.fields["height"]["mean"]


def test_an_interrupted_run_goes_on_bit_for_bit(adapted, tiny_run, tmp_path, monkeypatch):
    recipe, out, summary = adapted
    go_on = stop_at(monkeypatch, 7)
    with pytest.raises(StoppedError):
        finetune(recipe, tiny_run.model, tmp_path / "run")
    go_on()
    torch.manual_seed(99)
    again = finetune(recipe, tiny_run.model, tmp_path / "run")
    assert again["resumed_from"] == 4
    assert losses(tmp_path / "run") == losses(out)
    assert again["validation"] == summary["validation"]
    name = "adapter_model"
    assert equal(weights(tmp_path / "run", 8, name), weights(out, 8, name))


def test_an_unknown_field_is_an_error_that_shows_the_way(lake, tiny_run, tmp_path):
    with pytest.raises(ModelError, match="lake: the base does not know field 'salinity'") as found:
        finetune(tiny_finetune(tiny_run.model, lake), tiny_run.model, tmp_path / "run")
    assert "--add-field salinity (" in str(found.value)
    assert "--add-field salinity=height" in str(found.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"add_fields": {"salinity": "heigth"}}, ModelError, "heigth"),
        ({"tuner": "lara"}, RecipeError, "lora"),
        ({"task": "forecast"}, RecipeError, "forecasting"),
        ({"tuner_options": {"rank": 3}}, RecipeError, r"tuner_options.*rank"),
        ({"task_options": {"noise": 3}}, RecipeError, r"task_options.*noise"),
    ],
)
def test_a_wrong_choice_leaves_no_folder(lake, tiny_run, tmp_path, changes, kind, message):
    recipe = tiny_finetune(tiny_run.model, lake, **({"add_fields": {"salinity": None}} | changes))
    with pytest.raises(kind, match=message):
        finetune(recipe, tiny_run.model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_short_validation_data_leave_no_folder(tiny_run, tmp_path):
    path = write_waves(tmp_path / "short.npy", 3, 3, 1, 16, 16)
    source = {"name": "short", "path": str(path), "axes": "N T C X Y", "names": ["height"]}
    with pytest.raises(DataError, match=r"too few frames for history 3 \+ horizon 1"):
        finetune(tiny_finetune(tiny_run.model, source), tiny_run.model, tmp_path / "run")
    assert not (tmp_path / "run").exists()
