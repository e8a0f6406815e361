"""What the probe lets pass, how it looks, and what happens when its child breaks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from pdefm.data.formats import probe as probe_module
from pdefm.data.formats import probe_child
from pdefm.data.formats.probe import data_files, examine, probe
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.source import SourceSection
from pdefm.errors import DataError, EnvironmentFault
from tests.faults.hostile_hdf5 import external_link, honest_hdf5

ROOT = Path(__file__).parents[3]


@pytest.fixture
def children(monkeypatch):
    """How many files each child was asked about."""
    asked = []
    original = probe_module._ask_child

    def ask(paths):
        asked.append(len(paths))
        return original(paths)

    monkeypatch.setattr(probe_module, "_ask_child", ask)
    return asked


def test_what_passed_is_not_looked_into_again_until_it_changes(tmp_path, children):
    path = honest_hdf5(tmp_path / "a.h5")
    probe([path])
    probe([path, path])
    assert children == [1]
    os.utime(path, (1, 1))
    probe([path])
    assert children == [1, 1]


def test_a_refused_file_stays_refused(tmp_path):
    path = external_link(tmp_path, tmp_path / "secret")
    for _ in range(2):
        with pytest.raises(DataError, match="link into another file"):
            probe([path])


def test_a_folder_is_one_question(tmp_path, children):
    for number in range(7):
        np.save(tmp_path / f"{number}.npy", np.zeros((3, 8)))
    assert len(open_trajectories(tmp_path, axes="T X")) == 7
    assert present_splits(tmp_path) == []
    assert children == [7]


def test_a_store_that_changes_is_looked_into_again(tmp_path, children):
    store = tmp_path / "a.zarr"
    store.mkdir()
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    probe([store])
    probe([store])
    (store / "new").write_bytes(b"x")
    probe([store])
    assert children == [1, 1]


def test_all_refused_files_are_counted_and_the_first_is_named(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        external_link(tmp_path / name, tmp_path / "secret")
    np.save(tmp_path / "d.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"a/a\.h5: .*\(2 more of 4 files are refused, too\)"):
        probe(sorted(data_files(tmp_path)))


def test_trust_skips_the_probe(tmp_path, children):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 8)))
    assert len(open_trajectories(path, axes="T X", trust=True)) == 1
    assert present_splits(tmp_path, trust=True) == []
    source = SourceSection(name="a", path=str(path), axes="N X", trust=True)
    assert len(source.open("train")) == 2
    assert children == []


def test_a_recipe_does_not_trust_unless_it_says_so(tmp_path, children):
    np.save(tmp_path / "a.npy", np.zeros((3, 8)))
    SourceSection(name="a", path=str(tmp_path / "a.npy"), axes="N X").open("train")
    assert children == [1]


def test_without_a_suffix_nothing_is_opened_before_the_probe(tmp_path):
    external_link(tmp_path, tmp_path / "secret").rename(tmp_path / "no_suffix")
    with pytest.raises(DataError, match=r"no_suffix.*link into another file"):
        present_splits(tmp_path)


def test_a_link_to_a_plain_file_is_followed(tmp_path):
    honest_hdf5(tmp_path / "blob")
    (tmp_path / "a.h5").symlink_to("blob")
    assert examine([tmp_path / "a.h5"]) == []


def test_only_what_the_formats_may_open_is_looked_into(tmp_path):
    for name in ("a.npy", "b.txt", ".hidden.npy", "c", "sub/d.h5", "sub/e.md", "f.odd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in data_files(tmp_path, [".odd"])}
    assert found == {"a.npy", "c", "sub/d.h5", "f.odd"}


def test_unknown_and_empty_files_pass(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x,y\n1,2\n")
    (tmp_path / "b.h5").write_bytes(b"")
    assert examine([tmp_path / "a.csv", tmp_path / "b.h5"]) == []


def test_strange_but_honest_hdf5_passes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024, track_order=True) as file:
        everything = {"shuffle": True, "fletcher32": True, "compression": "gzip"}
        file.create_dataset("a", data=np.arange(99.0), chunks=True, **everything)
        file.create_dataset("b", data=np.arange(99), scaleoffset=0, chunks=(9,))
        file.create_dataset("c", data=np.arange(99.0), compression="lzf")
        file["complex"] = np.ones(3, complex)
        file["bool"], file["half"] = np.ones(3, bool), np.ones(3, np.float16)
        file["texts"] = np.array(["one", "two"], object)
        file["fixed"] = np.array([b"one", b"two"])
        file["empty"] = h5py.Empty("f4")
        file["none"] = np.zeros((0, 3))
        file["again"], file["alias"] = file["a"], h5py.SoftLink("/a")
        file["nowhere"] = h5py.SoftLink("/not/there")
        file["a"].attrs["reference"] = file["b"].ref
        file["a"].attrs["empty"] = h5py.Empty("f4")
        file["a"].attrs["no_names"] = np.zeros(0, "S1")
        file["type"] = np.dtype("f4")
    assert examine([tmp_path / "a.h5"]) == []


@pytest.mark.parametrize("legacy", [False, True])
def test_honest_pt_files_pass(tmp_path, legacy):
    import torch

    content = {
        "u": torch.zeros(3, 4)[:, 1:],
        "deep": [torch.ones(2, dtype=torch.bfloat16), {"n": 1, "name": "x"}],
        "parameter": torch.nn.Parameter(torch.zeros(2)),
        "state": torch.nn.Linear(2, 2).state_dict(),
        "dtype": torch.float32,
    }
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    assert examine([tmp_path / "a.pt"]) == []


def test_honest_mat_and_netcdf_files_pass(tmp_path):
    from scipy.io import savemat

    from tests.faults.hostile_arrays import netcdf_classic

    content = {
        **{"u": np.ones((3, 8)), "c": np.ones((2, 2), complex), "i": np.arange(4, dtype=np.int16)},
        **{"name": "hello", "s": {"a": 1.0, "b": "x"}, "empty": np.zeros((0, 0)), "b": True},
        "cell": np.array([np.ones(3), "two"], object),
    }
    savemat(tmp_path / "a.mat", content)
    savemat(tmp_path / "b.mat", content, do_compression=True)
    netcdf_classic(tmp_path / "c.nc")
    assert examine([tmp_path / "a.mat", tmp_path / "b.mat", tmp_path / "c.nc"]) == []


@pytest.mark.parametrize("version", [2, 3])
def test_honest_zarr_stores_pass(tmp_path, version):
    import zarr

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    group.create_array("g/u", shape=(4, 8), chunks=(2, 8), dtype="f4")[:] = 1.0
    group.create_array("t", shape=(4,), chunks=(4,), dtype="i8")
    if version == 3:
        group.create_array("s", shape=(4, 8), chunks=(1, 8), shards=(2, 8), dtype="f8")[:] = 1.0
    zarr.consolidate_metadata(str(tmp_path / "a.zarr"), zarr_format=version)
    assert examine([tmp_path / "a.zarr"]) == []


TRIED = """
def tried(code, path):
    from pdefm.data.formats.probes import Refused
    try:
        exec(code, {"path": path})
    except BaseException as error:
        return Refused(type(error).__name__, str(error))
    return Refused("it did")
"""


def break_child(monkeypatch, code):
    """Let the child do ``code`` when it comes to a file whose name has 'bad' in it."""
    start = probe_module.START.replace(
        "; main(request)",
        "; import pdefm.data.formats.probe_child as c; look = c.examine; c.CPU_SECONDS = 2\n"
        f"{TRIED}"
        "def examine(path, load):\n"
        "    if 'bad' in path.name:\n"
        f"        {code}\n"
        "    return look(path, load)\n"
        "c.examine = examine\n"
        "main(request)",
    )
    monkeypatch.setattr(probe_module, "START", start)


def some_files(folder):
    for name in ("a.npy", "bad.npy", "c.npy", "d_is_bad.npy", "e.npy"):
        np.save(folder / name, np.zeros(3))
    return sorted(folder.iterdir())


def test_a_crash_names_the_file_and_the_others_are_looked_into(tmp_path, monkeypatch, children):
    break_child(monkeypatch, "import os, signal; c.Guard.FORBIDDEN = ('-',); os.abort()")
    paths = some_files(tmp_path)
    refused = examine(paths)
    assert [verdict.path.name for verdict in refused] == ["bad.npy", "d_is_bad.npy"]
    assert all("the reader crashed" in verdict.what for verdict in refused)
    assert children == [5, 3, 1]
    with pytest.raises(DataError, match=r"bad\.npy: cannot be looked into.*crashed: got status -6"):
        probe([tmp_path / "bad.npy"])


def test_a_hang_ends_at_the_clock(tmp_path, monkeypatch):
    break_child(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(probe_module, "WALL_SECONDS", 3.0)
    start = time.monotonic()
    refused = examine(some_files(tmp_path)[:3])
    assert [(v.path.name, v.what) for v in refused] == [
        ("bad.npy", "cannot be looked into, the reader hangs")
    ]
    assert time.monotonic() - start < 20


def test_work_without_end_is_ended_by_the_system(tmp_path, monkeypatch):
    break_child(monkeypatch, "while True: pass")
    monkeypatch.setattr(probe_module, "CPU_SECONDS", 2)
    (verdict,) = examine(some_files(tmp_path)[1:2])
    assert (verdict.what, verdict.got) == ("cannot be looked into, the reader hangs", "2 s of work")


def test_too_many_crashes_end_the_look(tmp_path, monkeypatch, children):
    break_child(monkeypatch, "c.Guard.FORBIDDEN = ('-',); import os; os.abort()")
    for number in range(9):
        np.save(tmp_path / f"bad{number}.npy", np.zeros(3))
    refused = examine(sorted(tmp_path.iterdir()))
    assert len(children) == probe_module.MAX_LOST
    assert "was not looked at" in refused[-1].what


def test_a_child_that_does_not_start_is_no_fault_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(probe_module, "START", "raise SystemExit(1)")
    with pytest.raises(EnvironmentFault, match="does not start"):
        probe([honest_hdf5(tmp_path / "a.h5")])


ATTEMPTS = {
    "reads": "open('/etc/passwd').read()",
    "writes": "open(path, 'r+b')",
    "creates": "open('here', 'w')",
    "connects": "import socket; socket.socket().connect(('127.0.0.1', 9))",
    "starts": "import subprocess; subprocess.run(['true'])",
    "executes": "import os; os.execv('/bin/true', ['true'])",
    "removes": "import os; os.remove(path)",
    "loads": "import ctypes; ctypes.CDLL(None)",
    "unpickles": "import pickle; pickle.loads(b'cos\\nsystem\\n.')",
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_the_child_can_do_nothing_else(tmp_path, monkeypatch, attempt):
    break_child(monkeypatch, f"return tried({attempt!r}, str(path))")
    (verdict,) = examine(some_files(tmp_path)[1:2])
    assert verdict.what == "EscapeError", verdict


def test_the_child_imports_neither_torch_nor_transformers(tmp_path):
    path = honest_hdf5(tmp_path / "a.h5")
    code = (
        "import sys; from pdefm.data.formats import probe_child as c;"
        "c.main({'files': [sys.argv[1]], 'libraries': sys.path});"
        "sys.stdout.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    line, modules = done.stdout.split("\n")
    assert json.loads(line) == {"number": 0}
    assert not {"torch", "transformers", "scipy", "zarr"} & set(modules.split())


def test_the_look_is_cheap(tmp_path):
    paths = [honest_hdf5(tmp_path / f"{number}.h5") for number in range(30)]
    costs = []
    for path in paths[:3]:
        start = time.monotonic()
        probe([path])
        costs.append(time.monotonic() - start)
    # Alone on a machine it is about 0.2 s; the tests may share it with others.
    assert sorted(costs)[1] < 2.0
    start = time.monotonic()
    probe(paths[3:])
    assert (time.monotonic() - start) / len(paths[3:]) < 0.5


def test_a_message_shows_no_control_characters(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["\x1b[31mred\nline"] = h5py.ExternalLink("/etc/\x1b[2Jpasswd", "/u")
    with pytest.raises(DataError) as caught:
        probe([tmp_path / "a.h5"])
    assert str(caught.value).isprintable()


def test_limits_are_those_of_the_documents():
    assert probe_child.MEMORY <= 2 * 2**30
    assert probe_child.CPU_SECONDS <= 10
