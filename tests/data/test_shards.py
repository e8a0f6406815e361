"""Sets of several files: killed, continued, and made by several processes."""

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from pdefm.data import shard_folder
from pdefm.data.generate import Generation, Order, generate
from pdefm.data.open import open_trajectories
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.files import file_sha256, verify_manifest, write_json_atomic
from tests.data.generation_worker import ARGUMENTS
from tests.train.runs import start


def hashes(folder):
    """Of every file, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: three files of two trajectories and one of one."""
    out = tmp_path_factory.mktemp("whole")
    return generate("allen_cahn", **ARGUMENTS, out=out)


def test_a_set_of_several_files_opens_as_one(whole):
    names = [f"data/train/allen_cahn-0000{i}.hdf5" for i in range(4)]
    assert sorted(hashes(whole)) == sorted([*names, "generation.json", "manifest.json"])
    assert [len(open_trajectories(whole / name)) for name in names] == [2, 2, 2, 1]
    assert len(open_trajectories(whole)) == 7
    verify_manifest(whole)
    record = json.loads((whole / "generation.json").read_text())
    assert sorted(record) == names
    assert [record[name]["sha256"] for name in names] == [file_sha256(whole / n) for n in names]


def test_the_size_of_the_files_changes_no_trajectory(whole, tmp_path):
    one = generate("allen_cahn", **(ARGUMENTS | {"shard_size": 7}), out=tmp_path)
    pairs = zip(open_trajectories(one), open_trajectories(whole), strict=True)
    assert all(torch.equal(a.fields, b.fields) for a, b in pairs)


@pytest.mark.parametrize("kill_after", [0, 1, 3])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(whole, tmp_path, kill_after):
    if kill_after:
        done = start("-m", "tests.data.generation_worker", tmp_path, 1, kill_after)
        assert done.returncode == -signal.SIGKILL, done.stderr
        found = sorted((tmp_path / "data" / "train").glob("[!.]*"))
        assert len(found) == kill_after
        kept = {path: path.stat().st_mtime_ns for path in found}
        assert list((tmp_path / "data" / "train").glob(".*.partial"))
        assert not (tmp_path / "manifest.json").exists()
    work = Generation([Order("allen_cahn", tmp_path, 7, 16, 3, seed=1, shard_size=2)])
    assert (work.done, work.total) == (2 * kill_after, 7)
    work.run()
    assert hashes(tmp_path) == hashes(whole)
    if kill_after:
        assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_two_processes_killed_at_any_moment_lose_no_file(whole, tmp_path):
    command = [sys.executable, "-m", "tests.data.generation_worker", str(tmp_path), "2", "0"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (kept := list(tmp_path.glob("data/train/[!.]*"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    time.sleep(0.5)  # its workers end too
    assert kept
    generate("allen_cahn", **ARGUMENTS, out=tmp_path, num_workers=2)
    assert hashes(tmp_path) == hashes(whole)


@pytest.mark.parametrize("name", ["generation.json", "manifest.json"])
@pytest.mark.parametrize("keep_finished", [False, True])
def test_a_kill_at_the_very_end_is_mended(whole, tmp_path, monkeypatch, name, keep_finished):
    def stop(path, content):
        if path.name == name:
            (path.parent / f".{name}.0.partial").write_text("half")
            raise InterruptedError
        write_json_atomic(path, content)

    order = Order("allen_cahn", tmp_path, 7, 16, 3, seed=1, shard_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(shard_folder, "write_json_atomic", stop)
        with pytest.raises(InterruptedError):
            Generation([order]).run()
    work = Generation([order], keep_finished=keep_finished)
    assert work.done == work.total
    work.run()
    assert hashes(tmp_path) == hashes(whole)


def test_a_damaged_file_of_an_unfinished_set_is_made_again(whole, tmp_path):
    start("-m", "tests.data.generation_worker", tmp_path, 1, 2)
    damaged = tmp_path / "data" / "train" / "allen_cahn-00001.hdf5"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    generate("allen_cahn", **ARGUMENTS, out=tmp_path)
    assert hashes(tmp_path) == hashes(whole)


@pytest.mark.parametrize("change", [{"seed": 2}, {"num_frames": 4}, {"settings": {"dt": 0.1}}])
def test_an_unfinished_or_complete_set_of_other_settings_is_refused(whole, tmp_path, change):
    start("-m", "tests.data.generation_worker", tmp_path, 1, 1)
    for out in (tmp_path, whole):
        before = hashes(out)
        with pytest.raises(RecipeError, match=r"allen_cahn with other settings: \w+ is .* there"):
            generate("allen_cahn", **(ARGUMENTS | change), out=out)
        assert hashes(out) == before


def test_a_complete_set_is_refused_or_kept_as_told(whole):
    order = Order("allen_cahn", whole, 7, 16, 3, seed=1, shard_size=2)
    before = hashes(whole)
    with pytest.raises(EnvironmentFault, match="already exists"):
        Generation([order])
    work = Generation([order], keep_finished=True)
    assert (work.done, work.total) == (7, 7)
    work.run()
    assert hashes(whole) == before


def test_a_smaller_set_replaces_all_files_of_a_larger_one(tmp_path):
    generate("allen_cahn", **ARGUMENTS, out=tmp_path)
    generate("allen_cahn", **ARGUMENTS, out=tmp_path, split="valid")
    small = ARGUMENTS | {"num_trajectories": 3}
    generate("allen_cahn", **small, out=tmp_path, overwrite=True)
    assert len(open_trajectories(tmp_path, split="train")) == 3
    assert len(open_trajectories(tmp_path, split="valid")) == 7
    verify_manifest(tmp_path)


def test_ranks_share_the_files_out_and_meet_at_the_end(whole, tmp_path):
    order = Order("allen_cahn", tmp_path, 7, 16, 3, seed=1, shard_size=2)
    ranks = [Generation([order], rank=rank, world_size=2) for rank in range(2)]
    first = threading.Thread(target=ranks[0].run)
    first.start()
    time.sleep(0.3)
    assert not (tmp_path / "manifest.json").exists()
    ranks[1].run()
    first.join()
    assert hashes(tmp_path) == hashes(whole)


@pytest.mark.parametrize("name", ["num_trajectories", "shard_size"])
def test_numbers_out_of_range_are_refused(tmp_path, name):
    with pytest.raises(RecipeError, match=f"{name} must be 1 to"):
        generate("allen_cahn", **(ARGUMENTS | {name: 0}), out=tmp_path)
