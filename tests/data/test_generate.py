"""Solving an equation into files."""

import json
from typing import ClassVar

import numpy as np
import pytest
import torch

from pdefm.data import generate as module
from pdefm.data.cache import cache_folder, content_key
from pdefm.data.generate import generate, generate_cached
from pdefm.data.open import open_trajectories
from pdefm.domain import BoundaryCondition, Field
from pdefm.errors import DataError, EnvironmentFault, NumericalError, RecipeError
from pdefm.pdes.base import PDE, Integration

SMALL = {"num_trajectories": 3, "resolution": (8, 10), "num_frames": 4, "seed": 5}


class Decay(PDE):
    """du/dt = -rate u from random numbers, solved exactly."""

    name = "decay"
    solver_version = 1
    fields = (Field("velocity", "m/s", tensor_order=1),)
    parameter_ranges: ClassVar = {"rate": (0.5, 1.0)}
    extent = (1.0, 2.0)
    boundary = BoundaryCondition.PERIODIC
    dt = 0.1
    calls = 0
    rejected = ""

    def initial_state(self, parameters, grid, rng):
        return torch.from_numpy(rng.normal(size=(2, *grid.shape)))

    def integrate(self, initial, parameters, grid, times):
        type(self).calls += 1
        decay = torch.exp(-parameters["rate"][:, None] * times)[:, :, None, None, None]
        states = initial[:, None] * decay.to(initial.dtype)
        return Integration(states, (self.rejected,) * len(states))

    def tendency(self, state, parameters, grid):
        return -parameters["rate"][:, None, None, None] * state


@pytest.fixture
def decay(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "PDES", {"decay": Decay})
    monkeypatch.setattr(Decay, "calls", 0)
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))
    return Decay


def test_a_family_becomes_a_file_that_opens(decay, tmp_path):
    finished = []
    out = generate("decay", **SMALL, out=tmp_path / "out", progress=finished.append)
    collection = open_trajectories(out, split="train")
    first = collection[0]
    assert out == tmp_path / "out"
    assert (len(collection), collection.num_frames(0), sum(finished)) == (3, 4, 3)
    assert first.names == ("velocity_x", "velocity_y")
    assert first.units == ("m/s", "m/s")
    assert first.grid.shape == (8, 10)
    assert first.grid.extent == (1.0, 2.0)
    assert first.dt == pytest.approx(0.1)
    shrinks = float((first.fields[3] / first.fields[0]).mean())
    assert shrinks == pytest.approx(np.exp(-0.3 * first.parameters["rate"]), rel=1e-5)


def test_how_it_was_made_is_recorded_beside_it(decay, tmp_path):
    generate("decay", **SMALL, out=tmp_path)
    generate("decay", **SMALL, out=tmp_path, split="valid")
    record = json.loads((tmp_path / "generation.json").read_text())
    assert sorted(record) == ["data/train/decay.hdf5", "data/valid/decay.hdf5"]
    entry = record["data/train/decay.hdf5"]
    assert entry["configuration"] == Decay().configuration()
    assert entry["seed"] == 5
    assert entry["rejections"] == []
    assert "torch" in entry["versions"]


def test_the_same_seed_gives_the_same_bytes(decay, tmp_path):
    one, two, other = (
        generate("decay", **(SMALL | {"seed": seed}), out=tmp_path / name) / "data/train/decay.hdf5"
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    )
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_splits_hold_different_samples(decay, tmp_path):
    for split in ("train", "valid", "test"):
        generate("decay", **SMALL, out=tmp_path, split=split)
    starts = [t.fields[0] for t in open_trajectories(tmp_path)]
    assert len(starts) == 9
    assert not any(torch.equal(a, b) for i, a in enumerate(starts) for b in starts[:i])


def test_a_longer_set_starts_with_the_shorter_one(decay, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_SIZE", 2)
    short = open_trajectories(generate("decay", **SMALL, out=tmp_path / "short"))
    more = SMALL | {"num_trajectories": 5}
    long = open_trajectories(generate("decay", **more, out=tmp_path / "long"))
    assert len(long) == 5
    assert all(torch.equal(a.fields, b.fields) for a, b in zip(short, long, strict=False))


def test_existing_data_are_not_replaced_without_being_told(decay, tmp_path):
    generate("decay", **SMALL, out=tmp_path)
    with pytest.raises(EnvironmentFault, match=r"decay\.hdf5 already exists.*--overwrite"):
        generate("decay", **SMALL, out=tmp_path)
    generate("decay", **(SMALL | {"num_trajectories": 1}), out=tmp_path, overwrite=True)
    assert len(open_trajectories(tmp_path)) == 1


def test_a_solver_that_gives_up_leaves_nothing(decay, tmp_path, monkeypatch):
    monkeypatch.setattr(decay, "rejected", "blew up")
    with pytest.raises(NumericalError, match="blew up"):
        generate("decay", **SMALL, out=tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_damaged_record_is_named(decay, tmp_path):
    (tmp_path / "generation.json").write_text("{")
    with pytest.raises(DataError, match=r"generation\.json is damaged"):
        generate("decay", **SMALL, out=tmp_path)


def test_cached_data_are_solved_once(decay, tmp_path):
    out = generate_cached("decay", **SMALL)
    calls = decay.calls
    assert out.parent == tmp_path / "home"
    assert out.name.startswith("decay-")
    assert len(out.name) == len("decay-") + 16
    assert generate_cached("decay", **SMALL) == out
    assert decay.calls == calls


def test_unfinished_cached_data_are_solved_again(decay):
    out = generate_cached("decay", **SMALL)
    (out / "generation.json").unlink()
    calls = decay.calls
    assert generate_cached("decay", **SMALL) == out
    assert decay.calls > calls


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"num_trajectories": 2},
        {"num_frames": 3},
        {"resolution": 8},
        {"split": "valid"},
        {"settings": {"dt": 0.2}},
        {"settings": {"parameter_ranges": {"rate": 0.5}}},
    ],
)
def test_anything_that_changes_the_numbers_changes_the_folder(decay, change):
    assert generate_cached("decay", **(SMALL | change)) != generate_cached("decay", **SMALL)


def test_a_new_solver_version_changes_the_folder(decay, monkeypatch):
    before = generate_cached("decay", **SMALL)
    monkeypatch.setattr(decay, "solver_version", 2)
    assert generate_cached("decay", **SMALL) != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "tran"}, "Did you mean 'train'"),
        ({"num_trajectories": 0}, "num_trajectories must be 1 to"),
        ({"settings": {"colour": 1}}, "settings of 'decay' do not fit.*colour"),
    ],
)
def test_wrong_arguments_are_the_users_error(decay, tmp_path, change, message):
    with pytest.raises(RecipeError, match=message):
        generate("decay", **(SMALL | change), out=tmp_path)


def test_an_unknown_family_offers_the_nearest(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'burgers'"):
        generate("burger", **SMALL, out=tmp_path)


def test_a_shipped_family_is_generated(tmp_path):
    small = SMALL | {"resolution": 16, "num_trajectories": 2}
    collection = open_trajectories(generate("burgers", **small, out=tmp_path))
    assert len(collection) == 2
    assert bool(collection[1].fields.isfinite().all())


def test_the_cache_lies_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PDEFM_HOME")
    assert cache_folder().parts[-2:] == (".cache", "pdefm")


def test_the_key_does_not_depend_on_the_order_of_keys():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
