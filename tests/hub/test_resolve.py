from pathlib import Path

import pytest

from pdefm.errors import ModelError
from pdefm.hub import resolve as resolve_module
from pdefm.hub.publish import publish
from pdefm.hub.resolve import models_folder, resolve
from tests.hub.folders import make_adapter, make_model, make_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_model_or_adapter_folder_is_itself(tmp_path):
    model, adapter = make_model(tmp_path / "model"), make_adapter(tmp_path / "adapter")
    assert resolve(model) == model
    assert resolve(str(adapter)) == adapter


def test_a_run_means_its_newest_committed_checkpoint(tmp_path):
    run = make_run(tmp_path / "run", steps=(500, 1000, 20000))
    (run / "checkpoints" / "step-020000" / "manifest.json").unlink()
    expected = run / "checkpoints" / "step-001000" / "model"
    assert resolve(run) == expected
    assert resolve(run / "checkpoints") == expected
    assert resolve(expected.parent) == expected


def test_an_uncommitted_checkpoint_does_not_exist(tmp_path):
    run = make_run(tmp_path / "run", steps=(100,))
    (run / "checkpoints" / "step-000100" / "manifest.json").unlink()
    with pytest.raises(ModelError, match="no committed checkpoint"):
        resolve(run)
    with pytest.raises(ModelError, match="never committed"):
        resolve(run / "checkpoints" / "step-000100")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    run = make_run(tmp_path / "run", steps=(100,))
    (run / "checkpoints" / "step-000100" / "model" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"config\.json was changed"):
        resolve(run)


@pytest.mark.parametrize("name", ["model.safetensors", "processor_config.json"])
def test_an_incomplete_model_names_what_is_missing(tmp_path, name):
    model = make_model(tmp_path / "model")
    (model / name).unlink()
    with pytest.raises(ModelError, match=f"Missing: {name}"):
        resolve(model)


def test_a_folder_without_a_model_says_what_would_make_it_one(tmp_path):
    with pytest.raises(ModelError, match=r"Missing: config.json or adapter_config.json"):
        resolve(tmp_path)


def test_a_published_name_resolves_and_hides_a_shipped_one(tmp_path, monkeypatch):
    shipped = make_model(tmp_path / "cards" / "tiny", value=1.0)
    monkeypatch.setattr(resolve_module, "embedded_folders", lambda: [tmp_path / "cards"])
    assert resolve("tiny") == shipped
    publish(make_model(tmp_path / "mine", value=2.0), name="tiny")
    assert resolve("tiny") == models_folder() / "tiny"


def test_a_shipped_card_without_weights_is_no_model(tmp_path, monkeypatch):
    shipped = make_model(tmp_path / "cards" / "tiny")
    monkeypatch.setattr(resolve_module, "embedded_folders", lambda: [tmp_path / "cards"])
    (shipped / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no model 'tiny'"):
        resolve("tiny")


def test_a_flipped_byte_in_a_published_model_is_refused(tmp_path):
    publish(make_model(tmp_path / "model"), name="tiny")
    weights = models_folder() / "tiny" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"model.safetensors was changed"):
        resolve("tiny")


def test_an_unknown_name_says_what_was_tried_and_offers_the_nearest(tmp_path):
    publish(make_model(tmp_path / "model"), name="burgers-tiny")
    with pytest.raises(ModelError, match=r"not a Hub id.*Did you mean 'burgers-tiny'"):
        resolve("burgers-tyni")


def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path):
    with pytest.raises(ModelError, match="no folder"):
        resolve(tmp_path / "nothing")
    with pytest.raises(ModelError, match="no folder"):
        resolve("./owner/name")


def test_a_revision_of_a_local_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="has no revisions"):
        resolve(make_model(tmp_path / "model"), revision="v1")
