"""Runs below a folder, as their own files tell."""

import os
import shutil
import time

from pdefm.train.checkpoint import checkpoint_folder
from pdefm.train.run_listing import FRESH_SECONDS, list_runs


def age(folder, seconds):
    then = time.time() - seconds
    for path in folder.glob("*.*"):
        os.utime(path, (then, then))


def test_runs_tell_how_far_they_are(tmp_path, tiny_run):
    for name in ("done", "going", "killed"):
        shutil.copytree(tiny_run.folder, tmp_path / "all" / name)
    for name in ("going", "killed"):
        shutil.rmtree(checkpoint_folder(tmp_path / "all" / name, 12))
    age(tmp_path / "all" / "going", 0.0)
    age(tmp_path / "all" / "killed", 2 * FRESH_SECONDS)
    (tmp_path / "all" / "notes").mkdir()
    found = {run.path.name: run for run in list_runs(tmp_path / "all")}
    assert {name: run.state for name, run in found.items()} == {
        "done": "finished", "going": "running", "killed": "stopped",
    }  # fmt: skip
    assert (found["done"].step, found["done"].max_steps, found["done"].checkpoint) == (12, 12, 12)
    assert found["killed"].checkpoint is not None
    assert found["killed"].checkpoint < 12
    assert found["done"].loss is not None
    assert [run.path for run in list_runs(tmp_path / "all" / "done")] == [tmp_path / "all" / "done"]


def test_nowhere_there_are_no_runs(tmp_path):
    assert list_runs(tmp_path / "nowhere") == []
