import json
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.files import verify_manifest
from pdefm.hub.card import render_card
from pdefm.hub.folder import ModelFolder, find_model_folder
from pdefm.hub.listing import list_models
from pdefm.hub.publish import publish
from pdefm.hub.resolve import models_folder, resolve
from pdefm.hub.training_record import dataset_rows, training_record, without_paths
from pdefm.models.loading import tensors_sha256
from tests.evaluation.report_inputs import results
from tests.hub.folders import make_adapter, make_model, make_run, write_json


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))


def test_a_run_becomes_a_folder_with_the_contract_and_nothing_else(tmp_path):
    run = make_run(tmp_path / "run")
    weights = load_file(find_model_folder(run).path / "model.safetensors")
    measured = results(adapter=False, sha256=tensors_sha256(weights))
    write_json(run / "results.json", measured)
    published = publish(run, out=tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "processor_config.json",
        "results.json",
        "training.json",
    }
    assert names == set(published.files)
    verify_manifest(tmp_path / "out")
    assert resolve(tmp_path / "out") == tmp_path / "out"
    assert "0.0246" in (tmp_path / "out" / "README.md").read_text()


def test_numbers_of_other_weights_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    write_json(run / "results.json", results(adapter=False, sha256="cd" * 32))
    with pytest.raises(ModelError, match="measured on other weights"):
        publish(run, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_weights_can_be_read_by_others(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "model.safetensors").chmod(0o600)
    publish(model, out=tmp_path / "out")
    (tmp_path / "ordinary").write_text("")
    weights = (tmp_path / "out" / "model.safetensors").stat()
    assert stat.S_IMODE(weights.st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_an_existing_folder_is_replaced_only_when_told(tmp_path):
    model = make_model(tmp_path / "model")
    publish(model, out=tmp_path / "out")
    with pytest.raises(EnvironmentFault, match="--overwrite"):
        publish(model, out=tmp_path / "out")
    publish(make_adapter(tmp_path / "adapter"), out=tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "config.json").exists()


def test_exactly_one_target_is_needed(tmp_path):
    model = make_model(tmp_path / "model")
    with pytest.raises(ModelError, match="exactly one target"):
        publish(model)
    with pytest.raises(ModelError, match="exactly one target"):
        publish(model, out=tmp_path / "out", repo="me/model")
    with pytest.raises(ModelError, match="not a local name"):
        publish(model, name="../elsewhere")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_published(tmp_path, bad):
    model = make_model(tmp_path / "model")
    save_file({"good": torch.ones(2), "bad": torch.tensor([1.0, bad])}, model / "model.safetensors")
    with pytest.raises(ModelError, match="tensor 'bad' is not finite"):
        publish(model, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_broken_files_are_not_published(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "model.safetensors").write_bytes(b"not a header")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        publish(model, out=tmp_path / "out")
    (model / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"cannot read .*config.json"):
        publish(model, out=tmp_path / "out")


def test_all_shards_are_needed_and_published(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "model.safetensors").unlink()
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    weight_map = {"a": shards[0], "b": shards[1]}
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    save_file({"a": torch.ones(3)}, model / shards[0])
    with pytest.raises(ModelError, match=f"Missing: {shards[1]}"):
        publish(model, out=tmp_path / "out")
    save_file({"b": torch.ones(4)}, model / shards[1])
    published = publish(model, name="sharded")
    assert set(shards) <= set(published.files)
    assert [entry.num_parameters for entry in list_models() if entry.name == "sharded"] == [7]


def test_a_card_written_by_hand_is_kept_and_a_rendered_one_is_renewed(tmp_path):
    model = make_model(tmp_path / "model")
    (model / "README.md").write_text("# By hand\n")
    publish(model, out=tmp_path / "first")
    assert (tmp_path / "first" / "README.md").read_text() == "# By hand\n"
    (model / "README.md").unlink()
    publish(model, out=tmp_path / "second")
    publish(tmp_path / "second", out=tmp_path / "third")
    assert "# third" in (tmp_path / "third" / "README.md").read_text()


def test_published_models_and_adapters_are_listed(tmp_path):
    publish(make_model(tmp_path / "model"), name="waves")
    publish(make_adapter(tmp_path / "adapter"), name="waves-lora")
    (models_folder() / "unfinished").mkdir()
    write_json(models_folder() / "unfinished" / "config.json", {})
    listed = {entry.name: entry for entry in list_models() if entry.source == "published"}
    assert listed.keys() == {"waves", "waves-lora"}
    assert listed["waves"].kind == "model"
    assert listed["waves-lora"].kind == "adapter"
    assert listed["waves"].num_parameters == 7
    assert listed["waves"].fields == ("vorticity",)
    assert listed["waves"].size > 7 * 4


def test_a_shard_index_that_points_outside_is_not_published(tmp_path):
    model = make_model(tmp_path / "model")
    (tmp_path / "secret.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    (model / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"a": "../secret.safetensors"}}
    write_json(model / "model.safetensors.index.json", index)
    with pytest.raises(ModelError, match="points outside its folder"):
        publish(model, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_published_folder_says_how_it_was_trained(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "recipe.yaml").write_text(RECIPE)
    write_json(run / "environment.json", {"world_size": 2, "hardware": {"gpus": ["H1"]}})
    lines = [
        {"step": 10, "samples_seen": 80, "samples_per_second": 8.0},
        {"step": 10, "validation": {"mine": 0.1}},
        {"step": 20, "samples_seen": 160, "samples_per_second": 16.0},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (run / "metrics.jsonl").write_text(text + '\n{"step": 3')
    publish(run, out=tmp_path / "out")
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (record["seconds"], record["steps"], record["samples_seen"]) == (15.0, 20, 160)
    assert [each["licence"] for each in record["datasets"]] == [
        "not recorded",
        "solved by pdefm, Apache-2.0",
    ]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| flows | burgers, generate, seed 3 | solved by pdefm, Apache-2.0 |" in card
    assert "- time in training steps: 15 s" in card
    assert "- hardware: 2 processes on H1" in card
    again = render_card(tmp_path / "out")
    assert again == card.replace("# run", "# out")


RECIPE = """data:
  sources:
    - {name: mine, path: /home/somebody/secret/mine.npy}
    - {name: flows, generate: {family: burgers, seed: 3}}
train: {max_steps: 20}
"""


def test_licences_come_from_the_records_beside_the_data(tmp_path):
    for name, record in {"made": "generation.json", "taken": "conversion.json"}.items():
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / record, {"licence": "CC BY 4.0"})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "conversion.json").write_text("{")
    run = make_run(tmp_path / "run")
    sources = [{"name": n, "path": str(tmp_path / n)} for n in ("made", "taken", "broken", "gone")]
    (run / "recipe.yaml").write_text(json.dumps({"data": {"sources": sources}}))
    rows = dataset_rows(training_record(run))
    assert rows == [
        ("made", "made", "solved by pdefm, Apache-2.0"),
        ("taken", "taken", "CC BY 4.0"),
        ("broken", "broken", "not recorded"),
        ("gone", "gone", "not recorded"),
    ]


def test_a_published_adapter_has_a_card_that_its_files_give_again(tmp_path):
    adapter = make_adapter(tmp_path / "mine")
    found = results()
    found["model"]["adapter"]["sha256"] = ModelFolder(adapter).weights_sha256()
    write_json(adapter / "results.json", found)
    publish(adapter, out=tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| adapter | evaluated | **0.0246** |" in card
    assert render_card(tmp_path / "out") == card


def test_no_path_of_the_machine_is_published(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "recipe.yaml").write_text(RECIPE)
    found = results()
    found["command"] = "pdefm evaluate --model /home/somebody/models/x --out=/home/somebody/r.json"
    found["model"]["sha256"] = ModelFolder(run / "checkpoints/step-000500/model").weights_sha256()
    found["model"]["adapter"] = None
    write_json(run / "results.json", found)
    publish(run, out=tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert b"somebody" not in path.read_bytes(), path.name
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert kept["command"] == "pdefm evaluate --model x --out=r.json"


@pytest.mark.parametrize("text", ["m/s", "1/s", "hf://datasets/me/mine", "runs/mine"])
def test_what_only_looks_like_a_path_stays(text):
    assert without_paths(text) == text
