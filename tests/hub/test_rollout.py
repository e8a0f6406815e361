"""Rollouts by name: what is written, what is measured, and that no frame is kept."""

import gc
import math
import weakref

import av
import h5netcdf
import numpy as np
import pytest
import torch
from PIL import Image

from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.errors import DataError, NumericalError
from pdefm.evaluation.rollout import rollout_ensemble
from pdefm.hub import rollout as module
from pdefm.hub.load import load_by_name
from pdefm.hub.rollout import rollout_by_name

STEPS = 9
KNOWN = 5  # of 8 frames, three are the history


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Two trajectories of a fluid that the tiny model knows the fields of."""
    out = tmp_path_factory.mktemp("solved")
    generate("burgers", num_trajectories=2, resolution=16, num_frames=8, seed=5, out=out,
             settings={"dt": 0.02})  # fmt: skip
    return str(out)


@pytest.fixture
def roll(tiny_run, solved, tmp_path):
    def call(name, steps=STEPS, **options):
        return rollout_by_name(
            str(tiny_run.folder), None, solved, tmp_path / name, num_steps=steps, **options
        )

    return call


def expected(tiny_run, solved, num_members=1, noise=0.0, index=0):
    model, processor = load_by_name(str(tiny_run.folder))
    history = open_trajectories(solved)[index].frames(0, 3)
    return rollout_ensemble(model, processor, history, STEPS, num_members, noise_fraction=noise)


@pytest.mark.parametrize("suffix", ["hdf5", "nc"])
def test_streamed_files_hold_the_rollout_of_every_member(roll, tiny_run, solved, tmp_path, suffix):
    report = roll(f"r.{suffix}", ensemble=2, noise=0.1, index=1)
    members = expected(tiny_run, solved, 2, 0.1, index=1)
    read = open_trajectories(tmp_path / f"r.{suffix}")
    assert len(read) == 2
    for found, wanted in zip(read, members, strict=True):
        order = [found.names.index(name) for name in wanted.names]
        assert torch.equal(found.fields[:, order], wanted.fields)
        torch.testing.assert_close(found.times, wanted.times)
        assert tuple(found.units[i] for i in order) == wanted.units
    truth = open_trajectories(solved)[1].fields[3:]
    mean = torch.stack([member.fields for member in members]).mean(0)[:KNOWN]
    error = (mean - truth).flatten(2).norm(dim=2) / truth.flatten(2).norm(dim=2)
    assert report["relative_l2"] == pytest.approx(error.mean(1).tolist(), rel=1e-4)
    assert len(report["spread_skill"]) == KNOWN
    assert report["times"] == pytest.approx(members[0].times.tolist())
    assert [path.name for path in tmp_path.iterdir()] == [f"r.{suffix}"]


def largest_number_alive(monkeypatch, call, steps):
    """Frames of the rollout that are in memory at once."""
    alive: list[weakref.ref] = []
    most = 0
    stream = module.stream_rollout

    def watched(*arguments, **options):
        nonlocal most
        for frame in stream(*arguments, **options):
            storage = frame.clone()
            alive.append(weakref.ref(storage))
            yield storage
            del storage, frame
            gc.collect(0)
            most = max(most, sum(each() is not None for each in alive))

    monkeypatch.setattr(module, "stream_rollout", watched)
    call(steps)
    monkeypatch.undo()
    return most


@pytest.mark.parametrize("name", ["r.hdf5", "r.nc"])
def test_the_frames_alive_do_not_grow_with_the_steps(roll, monkeypatch, name):
    def call(steps):
        roll(name, steps, overwrite=True, check="flag", speed=False)

    most = [largest_number_alive(monkeypatch, call, steps) for steps in (4, 40)]
    assert most[0] == most[1] <= 3


def test_a_broken_rollout_leaves_nothing_and_says_where_it_broke(roll, tmp_path, monkeypatch):
    monkeypatch.setattr("pdefm.evaluation.rollout_checks.NUM_DEVIATIONS", 1e-6)
    assert "step 1: values lie more than" in roll("a.hdf5", check="flag")["checks"][0]
    for name in ("b.hdf5", "b.nc", "b.gif", "b.mp4", "b.png"):
        with pytest.raises(NumericalError, match=r"values lie more.*got step 1 of 9"):
            roll(name, check="stop")
    assert [path.name for path in tmp_path.iterdir()] == ["a.hdf5"]


def test_the_film_shows_the_frames_of_the_animation(roll, tmp_path):
    for name in ("r.gif", "r.mp4"):
        roll(name, field="velocity_y", speed=False)
    still = Image.open(tmp_path / "r.gif")
    with av.open(tmp_path / "r.mp4") as film:
        assert film.streams.video[0].average_rate == 8
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == still.n_frames == KNOWN
    for number, frame in enumerate(frames):
        still.seek(number)
        wanted = np.asarray(still.convert("RGB")).astype(int)[: frame.shape[0], : frame.shape[1]]
        assert np.abs(wanted - frame).mean() < 6, "up to the colours of both formats"


def test_a_contact_sheet_shows_truth_and_error_as_far_as_the_data_go(roll, tmp_path):
    heights = {}
    for name, options in {"one": {"field": "velocity_x"}, "beyond": {"start_frame": -1}}.items():
        roll(f"{name}.png", speed=False, **options)
        heights[name] = Image.open(tmp_path / f"{name}.png").height
    assert heights["one"] > 1.2 * heights["beyond"], "three rows; two fields of one row each"
    with pytest.raises(DataError, match="velocity_z"):
        roll("other.png", field="velocity_z")


def test_the_solver_that_made_the_data_is_timed_beside_the_model(roll, tiny_run, tmp_path):
    speed = roll("r.hdf5", index=1)["speed"]
    assert speed["solver"] == "burgers"
    assert speed["num_threads"] == torch.get_num_threads()
    ratio = speed["solver_seconds_per_step"] / speed["seconds_per_step"]
    assert math.isclose(speed["solver_over_model"], ratio, rel_tol=1e-9)
    assert "s for 7 steps. Model: " in speed["is"], "as many as the data have"
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).normal(size=(1, 6, 2, 16, 16)))
    found = rollout_by_name(
        str(tiny_run.folder), None, str(tmp_path / "mine.npy"), tmp_path / "r.nc", num_steps=2,
        options={"axes": "N T C X Y", "names": "velocity_x,velocity_y"},
    )["speed"]  # fmt: skip
    assert (found["solver"], found["solver_over_model"]) == (None, None)
    assert "do not say which solver" in found["is"]
    with h5netcdf.File(tmp_path / "r.nc", "r") as file:
        assert file["velocity_x"].shape == (1, 2, 16, 16)
