"""Training on equations that are solved meanwhile."""

import signal

import pytest

from pdefm.train.check import check_recipe
from pdefm.train.pretrain import pretrain
from tests.tiny import tiny_recipe
from tests.train.runs import equal, losses, start, training_lines, weights, write_recipe

ONLINE = {
    "name": "phases",
    "online": {
        "family": "allen_cahn",
        "resolution": 16,
        "num_frames": 6,
        "buffer": 4,
        "reuse": 2,
        "num_validation": 2,
    },
}


def recipe_with(sources, workers=0, **train):
    online = ONLINE | {"online": ONLINE["online"] | {"workers": workers}}
    return tiny_recipe([online, sources[1]], **train)


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def whole(home, tiny_run):
    """An uninterrupted run that solves in line."""
    pretrain(recipe_with(tiny_run.sources), home / "whole")
    return home / "whole"


def test_a_killed_run_goes_on_bit_for_bit_with_or_without_workers(home, whole, tiny_run):
    recipe = write_recipe(home / "recipe.yaml", recipe_with(tiny_run.sources, workers=1))
    killed = start("-m", "tests.train.killed_worker", recipe, home / "run", 7, "train")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = start("-m", "pdefm", "pretrain", recipe, "--out", home / "run")
    assert done.returncode == 0, done.stderr
    assert losses(home / "run") == losses(whole)
    assert equal(weights(home / "run", 12), weights(whole, 12))


def test_processes_that_read_ahead_change_nothing(home, whole, tiny_run):
    recipe = recipe_with(tiny_run.sources, workers=1)
    ahead = recipe.data.model_copy(update={"num_workers": 1})
    pretrain(recipe.model_copy(update={"data": ahead}), home / "run")
    assert losses(home / "run") == losses(whole)


def test_files_and_equations_mix(whole):
    shares = training_lines(whole)[-1]["shares"]
    assert set(shares) == {"phases", "air"}
    assert min(shares.values()) > 0.3


def test_a_check_says_that_it_never_ends(home, tiny_run):
    found = check_recipe(recipe_with(tiny_run.sources))
    assert found["windows"].startswith("phases endless, air ")
