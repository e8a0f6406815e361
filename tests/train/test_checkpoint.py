"""Checkpoints exist whole or not at all."""

import json
import os
from pathlib import Path

import pytest
import torch

from pdefm.errors import EnvironmentFault, ModelError
from pdefm.files import file_sha256, verify_manifest
from pdefm.train import checkpoint
from pdefm.train.checkpoint import (
    Retention,
    checkpoint_folder,
    committed_checkpoints,
    discard_after,
    find_checkpoint,
    keep_apart,
    latest_checkpoint,
    load_state,
    save_checkpoint,
    set_aside_after,
    sweep,
)


def save(run, step, keep=9, every=None):
    def write(folder):
        (folder / "model" / "model.safetensors").write_text(f"weights {step}")
        state = {"step": step, "moments": torch.full((3,), float(step))}
        torch.save(state, folder / "state" / "state.pt")

    return save_checkpoint(run, step, write, Retention(keep, every))


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


def test_periodic_ones_stay_too(tmp_path):
    for step in range(10, 80, 10):
        save(tmp_path, step, keep=2, every=30)
    assert steps(tmp_path) == [30, 60, 70]


def test_a_folder_that_was_never_committed_does_not_count_and_is_named(tmp_path):
    save(tmp_path, 100)
    unfinished = save(tmp_path, 200)
    (unfinished / "manifest.json").unlink()
    (tmp_path / "checkpoints" / "step-last").mkdir()
    assert steps(tmp_path) == [100]
    found, skipped = find_checkpoint(tmp_path)
    assert found == (100, tmp_path / "checkpoints" / "step-000100")
    assert len(skipped) == 1
    assert skipped[0].startswith("skipped checkpoint step-000200:")
    save(tmp_path, 200)  # its place can be taken
    assert steps(tmp_path) == [100, 200]


def test_a_failing_write_leaves_nothing_and_says_that_the_last_one_is_intact(tmp_path):
    def fail(folder):
        (folder / "model" / "model.safetensors").write_text("half")
        raise OSError(5, "Input/output error", str(folder / "model" / "model.safetensors"))

    save(tmp_path, 1)
    with pytest.raises(EnvironmentFault, match=r"Input/output error .*step-000001 is intact"):
        save_checkpoint(tmp_path, 2, fail, Retention(2))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]


@pytest.mark.parametrize("name", ["model/model.safetensors", "state/state.pt", "manifest.json"])
def test_a_damaged_newest_is_skipped_and_named(tmp_path, name):
    save(tmp_path, 100)
    damaged = save(tmp_path, 200) / name
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    found, skipped = find_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == 100
    assert len(skipped) == 1
    assert skipped[0].startswith("skipped checkpoint step-000200:")
    assert name in skipped[0]


def test_a_manifest_must_be_as_it_was_written(tmp_path):
    folder = save(tmp_path, 100)
    path = folder / "manifest.json"
    for content in (path.read_bytes()[:-1], path.read_bytes() + b" "):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not as it was written"):
            verify_manifest(folder)


def test_nothing_but_damage_is_an_error_that_gives_a_reason(tmp_path):
    for step in (100, 200):
        (save(tmp_path, step) / "state" / "state.pt").write_text("")
    with pytest.raises(ModelError, match=r"every checkpoint in .* is damaged: got 2 .*state\.pt"):
        latest_checkpoint(tmp_path)


def test_damaged_ones_no_longer_count_among_the_newest(tmp_path):
    for step in (100, 200, 300):
        save(tmp_path, step)
    (checkpoint_folder(tmp_path, 300) / "state" / "state.pt").write_text("")
    set_aside_after(tmp_path, 200)
    save(tmp_path, 250, keep=2)
    assert steps(tmp_path) == [200, 250]
    assert (tmp_path / "checkpoints" / "damaged-step-000300").is_dir()


def test_what_a_killed_save_left_is_swept_and_named_and_nothing_else(tmp_path):
    save(tmp_path, 100)
    place = tmp_path / "checkpoints"
    (place / ".step-000200.0123abcd.partial" / "state").mkdir(parents=True)
    (place / ".step-000050.0123abcd.deleted" / "state").mkdir(parents=True)
    (place / ".step-000100.universal").mkdir()
    (tmp_path / ".metrics.jsonl.0123abcd.partial").write_text("")
    (tmp_path / ".notes").write_text("mine")
    (place / "thesis.partial").write_text("mine")
    assert sweep(tmp_path) == ["step-000200"]
    assert {path.name for path in place.iterdir()} == {"step-000100", "thesis.partial"}
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoints", ".notes"}


def test_a_checkpoint_kept_apart_outlives_pruning_and_can_be_replaced(tmp_path):
    for step in (100, 200, 300, 400):
        save(tmp_path, step, keep=2)
        if step < 300:
            best = keep_apart(tmp_path, step)
    assert steps(tmp_path) == [300, 400]
    verify_manifest(best)
    assert (best / "model" / "model.safetensors").read_text() == "weights 200"


def test_later_checkpoints_go_when_the_run_goes_back(tmp_path):
    for step in (100, 200, 300):
        save(tmp_path, step)
    discard_after(tmp_path, 100)
    assert steps(tmp_path) == [100]


def test_files_are_on_the_disk_before_the_manifest_and_names_after_the_rename(
    tmp_path, monkeypatch
):
    happened = []
    fsync, rename, write_manifest = os.fsync, Path.rename, checkpoint.write_manifest

    def note_fsync(descriptor):
        happened.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        fsync(descriptor)

    def note_rename(path, target):
        happened.append("renamed")
        return rename(path, target)

    def note_manifest(*arguments):
        happened.append("manifest begun")
        return write_manifest(*arguments)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    monkeypatch.setattr(checkpoint, "write_manifest", note_manifest)
    save(tmp_path, 100)
    begun, renamed = happened.index("manifest begun"), happened.index("renamed")
    assert {"model.safetensors", "state.pt", "model", "state"} <= set(happened[:begun])
    assert any("manifest.json" in name for name in happened[begun:renamed])
    assert any(name.endswith(".partial") for name in happened[begun:renamed])
    assert happened[renamed + 1 :] == ["checkpoints", tmp_path.name]
