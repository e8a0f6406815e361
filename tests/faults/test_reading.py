"""What a resume refuses, what it says, and what it goes over."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pdefm.errors import DataError, ModelError
from pdefm.files import write_manifest
from pdefm.train.checkpoint import checkpoint_folder, committed_checkpoints, load_state
from pdefm.train.identity import compare
from pdefm.train.rng import load_rng, save_rng
from tests.faults.kit import announce, announce_resume, die_at, prepare, start, start_ranks
from tests.train.runs import equal, losses, weights


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Recipe, whole run, and a run that was killed in step 10 with checkpoints of 4 and 8."""
    recipe = prepare(tmp_path_factory.mktemp("reading"))
    whole, killed = recipe.with_name("whole"), recipe.with_name("killed")
    assert start(recipe, whole).end() == 0
    assert start(recipe, killed, die_at(10)).end() == -signal.SIGKILL
    assert [step for step, _ in committed_checkpoints(killed)] == [4, 8]
    return recipe, whole, killed


def own_copy(stopped, tmp_path: Path) -> tuple[Path, Path, Path]:
    recipe, whole, killed = stopped
    out = tmp_path / "run"
    shutil.copytree(killed, out)
    return recipe, whole, out


def resumed_events(out: Path) -> list[dict]:
    lines = (out / "events.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == "resumed"]


def test_a_killed_save_is_named_and_discarded(stopped, tmp_path):
    recipe, whole, out = own_copy(stopped, tmp_path)
    (out / "checkpoints/.step-000012.0123abcd.partial/model").mkdir(parents=True)
    run = start(recipe, out, announce_resume)
    assert run.end() == 0
    assert "resumed 8" in run.all_marks()
    assert "discarded unfinished step-000012" in run.log.read_text()
    assert resumed_events(out) == [
        {"step": 8, "event": "resumed", "notes": ["discarded unfinished step-000012"]}
    ]
    assert losses(out) == losses(whole)
    assert equal(weights(out, 12), weights(whole, 12))


@pytest.mark.parametrize("cut", ["truncated", "zeroed", "manifest gone", "file of another step"])
def test_damage_is_named_and_the_one_before_is_used(stopped, tmp_path, cut):
    recipe, whole, out = own_copy(stopped, tmp_path)
    newest = checkpoint_folder(out, 8)
    state = newest / "state" / "state.pt"
    if cut == "truncated":
        state.write_bytes(state.read_bytes()[:-7])
    elif cut == "zeroed":  # what a loss of power leaves where nothing waited for the disk
        state.write_bytes(bytes(state.stat().st_size))
    elif cut == "manifest gone":
        (newest / "manifest.json").unlink()
    else:
        shutil.copy(checkpoint_folder(out, 4) / "state" / "state.pt", state)
    run = start(recipe, out, announce_resume)
    assert run.end() == 0
    assert "resumed 4" in run.all_marks()
    assert "skipped checkpoint step-000008:" in run.log.read_text()
    assert losses(out) == losses(whole)
    assert (out / "checkpoints" / "damaged-step-000008").is_dir()


def test_nothing_usable_never_becomes_a_fresh_start(stopped, tmp_path):
    recipe, _, out = own_copy(stopped, tmp_path)
    for step in (4, 8):
        (checkpoint_folder(out, step) / "state" / "state.pt").unlink()
    for _ in range(2):
        run = start(recipe, out, announce)
        assert run.end() == 4
        assert f"every checkpoint in {out} is damaged: got 2 checkpoints; skipped" in run.message
        assert "lacks a file of its manifest" in run.message
        assert "start anew in another folder or with --overwrite" in run.message
        assert run.all_marks() == []


def test_checkpoints_that_are_gone_are_said(stopped, tmp_path):
    recipe, whole, out = own_copy(stopped, tmp_path)
    shutil.rmtree(out / "checkpoints")
    run = start(recipe, out)
    assert run.end() == 0
    assert "no checkpoint: starts again, 9 steps are lost" in run.log.read_text()
    assert losses(out) == losses(whole)


def without(out: Path, name: str) -> None:
    """Remove a file from a checkpoint so that its manifest does not know of it."""
    folder = checkpoint_folder(out, 8)
    (folder / "state" / name).unlink()
    write_manifest(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rng-00000.pt", "process 0 cannot restore its random-number state from"),
        ("state.pt", "state.pt cannot be read"),
        ("made_with.json", "made_with.json cannot be read"),
    ],
)
def test_state_that_is_missing_is_an_error(stopped, tmp_path, name, words):
    recipe, _, out = own_copy(stopped, tmp_path)
    without(out, name)
    run = start(recipe, out, announce)
    assert run.end() == 4
    assert words in run.message
    assert not [mark for mark in run.all_marks() if mark.startswith("step")]


def test_random_numbers_go_on(tmp_path):
    import random

    save_rng(tmp_path, 3)
    expected = random.random(), np.random.normal(), torch.rand(3).tolist()
    random.random(), np.random.normal(), torch.rand(3)
    load_rng(tmp_path, 3)
    assert (random.random(), np.random.normal(), torch.rand(3).tolist()) == expected
    path = tmp_path / "rng-00003.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="process 3 cannot restore its random-number state"):
        load_rng(tmp_path, 3)
    with pytest.raises(ModelError, match="process 4 cannot restore"):
        load_rng(tmp_path, 4)


def test_an_unreadable_state_names_its_file(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.pt").write_bytes(b"no archive")
    with pytest.raises(ModelError, match=r"state\.pt cannot be read"):
        load_state(tmp_path)


@pytest.mark.parametrize("change", ["size", "content", "touched", "gone"])
def test_data_that_changed(tmp_path, change):
    recipe = prepare(tmp_path)
    out, file = tmp_path / "run", tmp_path / "sea.npy"
    assert start(recipe, out, die_at(6)).end() == -signal.SIGKILL
    whole = np.load(file)
    if change == "size":
        np.save(file, whole[:4])
    elif change == "content":
        np.save(file, whole + 1)
    elif change == "touched":
        file.touch()
    else:
        file.unlink()
    run = start(recipe, out)
    status = run.end()
    if change == "touched":
        assert status == 0, run.message
        note = "sea.npy of sea was written again, of the same size"
        assert resumed_events(out)[0]["notes"] == [note]
        return
    assert status == 3, run.log.read_text()
    if change == "gone":
        assert "sea.npy" in run.message
        return
    assert "the data of source 'sea' changed since step-000004: got sea.npy with" in run.message
    assert "Put the old files back, or start anew" in run.message


def made_with(**changes):
    return {
        "recipe": {"data": {"sources": [{"name": "a", "path": "a"}, {"name": "b"}]}},
        "data": {"a": {"a.npy": [1, 1, "x"]}, "b": {"b.h5": [1, 1, "x"]}},
        "world_size": 2,
        "threads": 1,
        "device": "cpu",
        "versions": {"torch": "2.13"},
        "commit": "abc",
    } | changes


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, None),
        ({"world_size": 4}, "2 -> 4 processes: the same samples in the same order"),
        ({"threads": 8}, "threads 1 -> 8: not bitwise"),
        ({"device": "H100"}, "device cpu -> H100: not bitwise"),
        ({"commit": "def"}, "commit abc -> def: not bitwise"),
        ({"versions": {"torch": "2.14"}}, "torch 2.13 -> 2.14: not bitwise"),
        (
            {"data": {"a": {"a.npy": [1, 1, "x"]}, "b": {"b.h5": [2, 1, "x"]}}},
            "b was solved again: b.h5 with 2 bytes instead of 1",
        ),
    ],
)
def test_every_other_change_is_a_line(changes, note):
    notes = compare(made_with(), made_with(**changes), "step-000004")
    assert len(notes) == (note is not None)
    assert not notes or notes[0].startswith(note)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "a.npy is gone"),
        ({"a.npy": [1, 1, "x"], "c.npy": [1, 1, "x"]}, "c.npy is new"),
        ({"a.npy": [1, 2, "y"]}, "a.npy with another content"),
    ],
)
def test_every_change_of_a_file_is_named(files, words):
    new = made_with(data={"a": files, "b": {"b.h5": [1, 1, "x"]}})
    with pytest.raises(DataError, match=f"changed since step-000004: got {words}"):
        compare(made_with(), new, "step-000004")


def test_another_recipe_is_refused(stopped, tmp_path):
    recipe, _, out = own_copy(stopped, tmp_path)
    run = start(recipe, out, options=["--set", "train.learning_rate=0.1"])
    assert run.end() == 2
    assert "train.learning_rate is 0.003 there: got 0.1" in run.message
    # Nor does an edit of the recipe in the folder help.
    values = yaml.safe_load((out / "recipe.yaml").read_text())
    values["train"]["learning_rate"] = 0.1
    (out / "recipe.yaml").write_text(yaml.safe_dump(values))
    run = start(recipe, out, options=["--set", "train.learning_rate=0.1"])
    assert run.end() == 2
    assert "step-000008 was made with another recipe: train.learning_rate is 0.003" in run.message


def test_another_number_of_processes_goes_on_and_says_so(stopped, tmp_path):
    recipe, whole, out = own_copy(stopped, tmp_path)
    ranks = start_ranks(recipe, out, announce_resume)
    assert [run.end() for run in ranks] == [0, 0], [run.message for run in ranks]
    assert "resumed 8" in ranks[1].all_marks()
    assert "1 -> 2 processes: the same samples in the same order" in ranks[0].log.read_text()
    assert "1 -> 2 processes" in resumed_events(out)[0]["notes"][0]
    for (_, found), (_, expected) in zip(losses(out), losses(whole), strict=True):
        assert float.fromhex(found) == pytest.approx(float.fromhex(expected), rel=1e-5)


def test_a_number_of_processes_that_does_not_divide_the_batch_is_refused(tmp_path):
    recipe = prepare(tmp_path, global_batch_size=6, micro_batch_size=6)
    ranks = start_ranks(recipe, tmp_path / "run")
    assert [run.end() for run in ranks] == [2, 2]
    assert "got 6 for 6 x 2. Use a multiple of 12" in ranks[0].message
    assert not (tmp_path / "run").exists()
