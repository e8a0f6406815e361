"""Where a number came from."""

import json
import platform
import subprocess
from datetime import datetime, timedelta
from importlib.metadata import version

import pytest

from pdefm import provenance as module
from pdefm.provenance import command_line, commit, hardware, package_versions, provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit from which pdefm seems to run."""
    (tmp_path / "pdefm").mkdir()
    code = tmp_path / "pdefm" / "provenance.py"
    code.write_text("one")
    monkeypatch.setattr(module, "__file__", str(code))

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path, git("rev-parse", "HEAD")


def test_versions_are_those_installed():
    versions = package_versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == version("torch")


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    assert list(package_versions()) == ["python", "numpy"]


def test_a_clean_checkout_is_its_commit(checkout):
    folder, head = checkout
    (folder / "untracked.txt").write_text("does not count")
    assert commit() == head


def test_changes_since_the_commit_are_said(checkout):
    folder, head = checkout
    (folder / "pdefm" / "provenance.py").write_text("two")
    assert commit() == f"{head}+changes"


def test_an_installed_package_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "pdefm" / "provenance.py"))
    assert commit() is None


def test_a_machine_without_git_has_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout[0]))
    assert commit() is None


def test_the_command_can_be_pasted_back(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/some/where/pdefm", "check", "my recipe.yaml"])
    assert command_line() == "pdefm check 'my recipe.yaml'"


def test_provenance_is_json_with_seed_and_time():
    found = json.loads(json.dumps(provenance(7)))
    assert set(found) == {"command", "seed", "commit", "created", "versions", "hardware"}
    assert found["seed"] == 7
    assert datetime.fromisoformat(found["created"]).utcoffset() == timedelta(0)
    assert found["hardware"] == hardware()
    assert found["hardware"]["threads"] >= 1
