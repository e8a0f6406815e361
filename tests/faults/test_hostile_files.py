"""Files that are made to harm are refused in one line, and nothing else happens."""

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.faults.hostile_files import HOSTILE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What a fresh process says of each file, and what was seen meanwhile."""
    top = tmp_path_factory.mktemp("untrusted")
    secrets = top / "secrets"
    secrets.mkdir()
    secret = secrets / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["u"] = range(8)
    paths = {}
    for name, (_, make) in HOSTILE.items():
        folder = top / "hostile" / name
        folder.mkdir(parents=True)
        paths[name] = make(folder, secret)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.refuse_hostile", secrets, *paths.values()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = dict(zip(paths, lines, strict=True))
    found["after"] = {"secrets": sorted(path.name for path in secrets.iterdir())}
    return found


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_one_line_before_anything_else_happens(outcomes, name):
    words, _ = HOSTILE[name]
    outcome = outcomes[name]
    assert outcome["status"] == 3, outcome["message"]
    assert re.search(words, outcome["message"])
    assert Path(outcome["file"]).name in outcome["message"]
    assert "\n" not in outcome["message"]
    assert outcome["message"].isprintable()
    assert len(outcome["message"]) < 700
    assert outcome["seen"] == []


def test_no_marker_was_left(outcomes):
    assert outcomes["after"]["secrets"] == ["secret.h5"]


def test_the_watch_sees_what_an_honest_reader_would_open(tmp_path):
    from tests.faults.hostile_hdf5 import external_link

    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with h5py.File(secrets / "secret.h5", "w") as file:
        file["u"] = range(8)
    path = external_link(tmp_path, secrets / "secret.h5")
    code = (
        "import sys, os, h5py, tests.faults.refuse_hostile as r, ctypes\n"
        "kernel = ctypes.CDLL(None)\n"
        "watch = kernel.inotify_init1(os.O_NONBLOCK)\n"
        "kernel.inotify_add_watch(watch, os.fsencode(sys.argv[1]), r.IN_OPEN)\n"
        "h5py.File(sys.argv[2])['u'][()]\n"
        "print(list(r.events(watch)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, secrets, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "secret.h5" in done.stdout


def test_the_command_line_says_it_and_exits_with_3(tmp_path):
    words, make = HOSTILE["external_storage"]
    path = make(tmp_path, tmp_path / "secret")
    done = subprocess.run(
        [sys.executable, "-m", "pdefm", "data", "inspect", path, "--no-picture"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert re.fullmatch(rf"pdefm: {re.escape(str(path))}: .*{words}.*--trust\n", done.stderr)
