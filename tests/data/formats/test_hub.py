"""Datasets on the Hub, from a cache that was filled by other means; see also tests/hub."""

import pickle

import pytest
import torch

from pdefm.data.formats.hub import HubDataset
from pdefm.data.formats.hub_place import HubPlace, is_safe
from pdefm.data.formats.well_writer import write_well
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError, EnvironmentFault, RecipeError

COMMIT = "1" * 40


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cached = tmp_path / "hub" / "datasets--me--waves"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    folder = cached / "snapshots" / COMMIT
    for number, name in enumerate(("train/w-2", "train/w-10", "valid/w-1")):
        fields = torch.full((3, 1, 8, 8), float(number))
        trajectory = Trajectory(fields, ("a",), Grid.regular((8, 8)), torch.arange(3.0))
        path = folder / "data" / f"{name}.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_well(path, [trajectory], "waves")
    return folder


def test_a_uri_says_repository_revision_path_and_options():
    place = HubPlace.from_uri("hf://datasets/me/x@v1/data/train?split=valid&stream=true")
    assert place == HubPlace("me/x", "v1", "data/train", "valid", True)
    assert HubPlace.from_uri("hf:/datasets/me/x@refs/pr/3/a") == HubPlace(
        "me/x", "refs/pr/3", path="a"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "hf://datasets/me",
        "hf://me/x",
        "hf://datasets/me/../x",
        "hf://datasets/me/x/%2e%2e/y",
        "hf://datasets/me/x?split=a&split=b",
        "hf://datasets/me/x?stream=maybe",
        "hf://datasets/me/x?token=abc",
    ],
)
def test_any_other_uri_is_refused(uri):
    with pytest.raises(RecipeError):
        HubPlace.from_uri(uri)


@pytest.mark.parametrize(
    "name", ["..", "a/../b", "/a", "a//b", "C:/a", "a\\b", "a\nb", "a\u202eb", "./a", "a/"]
)
def test_names_that_lead_elsewhere_are_known(name):
    assert not is_safe(name)
    assert is_safe("data/train/a b-1.hdf5")


def test_splits_and_natural_order_are_those_of_a_folder(snapshot):
    uri = "hf://datasets/me/waves"
    assert present_splits(uri) == ["train", "valid"]
    found = open_trajectories(uri)
    assert [float(t.fields[0, 0, 0, 0]) for t in found] == [0.0, 1.0, 2.0]
    assert len(open_trajectories(uri, split="valid")) == 1
    assert len(open_trajectories(f"{uri}?split=train", format="well")) == 2
    assert found[-1].source.name == f"{uri}/data/valid/w-1.hdf5"
    with pytest.raises(RecipeError, match="two splits"):
        open_trajectories(f"{uri}?split=train", split="valid")
    with pytest.raises(DataError, match=r"no split 'test'.*train, valid"):
        open_trajectories(uri, split="test")


def test_a_collection_can_be_pickled_before_and_after_reading(snapshot):
    found = open_trajectories("hf://datasets/me/waves")
    for _ in range(2):
        again = pickle.loads(pickle.dumps(found))
        assert torch.equal(again[1].fields, found[1].fields)


def test_the_users_words_reach_the_files(snapshot):
    found = open_trajectories("hf://datasets/me/waves", names="height", dt=0.5)
    assert (found[0].names, found[0].dt) == (("height",), 0.5)


def test_what_is_not_in_the_cache_needs_a_network(snapshot):
    with pytest.raises(EnvironmentFault, match="cannot reach the Hub for 'me/other'"):
        open_trajectories("hf://datasets/me/other")
    with pytest.raises(EnvironmentFault, match="cannot be streamed without a network"):
        open_trajectories("hf://datasets/me/waves?stream=true", trust=True)[0]


def test_only_uris_are_recognised():
    assert HubDataset.recognise("hf://datasets/me/x") == "the dataset me/x on the Hub"
    assert HubDataset.recognise("/data/x.hdf5") is None
