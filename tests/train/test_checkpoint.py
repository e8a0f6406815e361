"""Checkpoints exist whole or not at all."""

import json

import pytest
import torch

from pdefm.errors import ModelError
from pdefm.files import file_sha256
from pdefm.train.checkpoint import (
    committed_checkpoints,
    latest_checkpoint,
    load_state,
    save_checkpoint,
)


def save(run, step, keep=9):
    return save_checkpoint(
        run,
        step,
        lambda folder: (folder / "model.safetensors").write_text(f"weights {step}") and None,
        {"step": step, "moments": torch.full((3,), float(step))},
        keep,
    )


def steps(run):
    return [step for step, _ in committed_checkpoints(run)]


def test_the_manifest_covers_every_file(tmp_path):
    folder = save(tmp_path, 500)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert folder == tmp_path / "checkpoints" / "step-000500"
    assert set(manifest["files"]) == {"model/model.safetensors", "state/state.pt"}
    for name, found in manifest["files"].items():
        assert found == file_sha256(folder / name)


def test_state_comes_back(tmp_path):
    state = load_state(save(tmp_path, 7))
    assert state["step"] == 7
    assert state["moments"].tolist() == [7.0, 7.0, 7.0]


def test_the_newest_stay(tmp_path):
    for step in (100, 200, 1_000_000, 2_000_000):  # beyond six digits the names sort otherwise
        save(tmp_path, step, keep=2)
    assert steps(tmp_path) == [1_000_000, 2_000_000]
    assert latest_checkpoint(tmp_path) == (2_000_000, tmp_path / "checkpoints" / "step-2000000")


def test_a_run_without_checkpoints_has_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None


def test_a_folder_that_was_never_committed_does_not_exist(tmp_path, capsys):
    save(tmp_path, 100)
    unfinished = save(tmp_path, 200)
    (unfinished / "manifest.json").unlink()
    (tmp_path / "checkpoints" / "step-last").mkdir()
    assert latest_checkpoint(tmp_path) == (100, tmp_path / "checkpoints" / "step-000100")
    assert capsys.readouterr().err == ""
    save(tmp_path, 200)  # its place can be taken
    assert steps(tmp_path) == [100, 200]


def test_a_failing_write_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "model.safetensors").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path, 1, fail, {}, 2)
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("name", ["model/model.safetensors", "state/state.pt"])
def test_a_damaged_newest_is_skipped_and_named(tmp_path, capsys, name):
    save(tmp_path, 100)
    damaged = save(tmp_path, 200) / name
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 100
    line = capsys.readouterr().err
    assert line.startswith("skipped checkpoint step-000200:")
    assert name in line
    assert line.count("\n") == 1


def test_a_damaged_manifest_is_skipped_too(tmp_path, capsys):
    save(tmp_path, 100)
    (save(tmp_path, 200) / "manifest.json").write_text("{")
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 100
    assert "is not a manifest" in capsys.readouterr().err


def test_nothing_but_damage_is_an_error(tmp_path):
    for step in (100, 200):
        (save(tmp_path, step) / "state" / "state.pt").write_text("")
    with pytest.raises(ModelError, match=r"every checkpoint in .* is damaged: got 2 checkpoints"):
        latest_checkpoint(tmp_path)
