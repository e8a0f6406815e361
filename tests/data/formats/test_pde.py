"""Equations as a source: lazy, finite, decided by the words of the URI alone."""

import pickle
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import pdefm.data.formats.pde as pde_module
from pdefm.cli.app import app
from pdefm.data.formats.pde import PdeSource, read_uri
from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.source import SourceSection
from pdefm.errors import DataError, RecipeError

SMALL = "resolution=16&num_frames=3"


@pytest.fixture
def solved(monkeypatch):
    """Ranges of indices that were solved."""
    found = []
    original = pde_module.solve_trajectories

    def watched(pde, indices, **more):
        found.append(indices)
        return original(pde, indices, **more)

    monkeypatch.setattr(pde_module, "solve_trajectories", watched)
    return found


def test_a_uri_is_a_finite_collection(solved):
    uri = f"pde://burgers?{SMALL}&seed=3&num_trajectories=4"
    collection = open_trajectories(uri)
    assert collection.format == "pde"
    assert collection.reason == "the equation burgers, solved when read"
    assert len(collection) == 4
    assert collection.num_frames(3) == 3
    assert solved == []
    assert collection[1].fields.shape == (3, 2, 16, 16)
    assert str(collection[1].source) == f"{uri}[1]"
    assert len(list(collection)) == 4
    assert solved == [range(4)]
    with pytest.raises(IndexError, match="4 trajectories"):
        collection[4]


def test_what_is_not_said_has_a_default():
    order = read_uri("pde://burgers")
    assert (order.num_trajectories, order.resolution, order.num_frames, order.seed) == (
        8,
        64,
        21,
        0,
    )
    assert order.split == "train"
    assert read_uri("pde://darcy").num_frames == 1


def test_a_trajectory_is_a_function_of_family_seed_and_index():
    few = open_trajectories(f"pde://allen_cahn?{SMALL}&num_trajectories=2&seed=5")
    many = open_trajectories(f"pde://allen_cahn?{SMALL}&num_trajectories=20&seed=5")
    again = pickle.loads(pickle.dumps(many))
    other = open_trajectories(f"pde://allen_cahn?{SMALL}&num_trajectories=2&seed=6")
    assert torch.equal(again[17].fields, many[17].fields)
    for index in (1, 0):
        assert torch.equal(few[index].fields, many[index].fields)
        assert few[index].parameters == many[index].parameters
        assert not torch.equal(few[index].fields, other[index].fields)


def test_the_trajectories_are_those_of_generate(tmp_path):
    options = {"num_trajectories": 2, "resolution": 16, "num_frames": 3, "seed": 4}
    out = generate("gray_scott", out=tmp_path / "a", split="valid", **options)
    filed = open_trajectories(out, split="valid")
    words = "&".join(f"{key}={value}" for key, value in options.items())
    for found, expected in zip(
        open_trajectories(f"pde://gray_scott?{words}&split=valid"), filed, strict=True
    ):
        assert torch.equal(found.fields, expected.fields)
        assert torch.equal(found.times, expected.times)
        assert found.names == expected.names
        assert found.boundary == expected.boundary
    train = open_trajectories(f"pde://gray_scott?{words}")
    assert not torch.equal(train[0].fields, filed[0].fields)


def test_only_blocks_that_are_read_are_solved_and_few_are_kept(solved, monkeypatch):
    monkeypatch.setattr(pde_module, "BLOCK", 2)
    collection = open_trajectories(f"pde://allen_cahn?{SMALL}&num_trajectories=7")
    first = collection[0].fields
    assert torch.equal(collection.read(1, 1, 3).times, collection[0].times[1:])
    assert solved == [range(2)]
    collection[6]
    assert solved[1:] == [range(6, 7)]
    collection[2]  # drops the block of 0
    assert torch.equal(collection[0].fields, first)
    assert solved[2:] == [range(2, 4), range(2)]
    assert len(collection._blocks) == 2


def test_a_bare_name_needs_the_format():
    assert len(open_trajectories("burgers", format="pde")) == 8
    assert open_trajectories("burgers", format="pde").reason == ""
    with pytest.raises(DataError, match="burgers does not exist"):
        open_trajectories("burgers")


def test_a_path_object_loses_a_slash_and_is_understood():
    path = Path("pde://burgers?resolution=16&num_trajectories=3")
    assert str(path).startswith("pde:/b")
    assert len(open_trajectories(path)) == 3


def test_a_steady_equation_has_one_frame():
    collection = open_trajectories("pde://darcy?resolution=16&num_trajectories=1")
    assert collection[0].fields.shape == (1, 1, 16, 16)
    assert "permeability" in collection[0].constant_names


def test_settings_of_the_equation_are_taken():
    uri = f"pde://burgers?{SMALL}&num_trajectories=1&dt=0.02&parameter_ranges.viscosity=0.05"
    trajectory = open_trajectories(uri, names="a,b")[0]
    assert trajectory.dt == pytest.approx(0.02)
    assert trajectory.parameters["viscosity"] == 0.05
    assert trajectory.names == ("a", "b")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pde://burger", "unknown equation.*burger.*Did you mean 'burgers'"),
        ("pde://", "unknown equation"),
        ("pde://burgers?resolutoin=8", "unknown option.*Did you mean 'resolution'"),
        ("pde://burgers?resolution=many", "resolution must be a whole number"),
        ("pde://burgers?resolution=4", "resolution"),
        ("pde://burgers?num_frames=0", "num_frames must be a whole number of at least 1"),
        ("pde://burgers?seed=-1", "seed must be a whole number"),
        ("pde://burgers?num_trajectories=99999999", "num_trajectories must be 1 to"),
        ("pde://burgers?split=valdi", "unknown split.*Did you mean 'valid'"),
        ("pde://burgers?seed=1&seed=2", "twice"),
        ("pde://burgers?seed", "cannot be read"),
        ("pde://burgers?dt=-1.0", "dt must be a positive number"),
        ("pde://burgers?parameter_ranges.viscos=1", "viscos"),
        ("pde://burgers/else", "not the URI|unknown equation"),
    ],
)
def test_a_wrong_uri_is_one_clear_error(uri, message):
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        open_trajectories(uri)


def test_what_the_equation_says_itself_may_not_be_said():
    for option in ({"dt": 0.1}, {"axes": "T X"}, {"boundary": "wall"}, {"extent": "1,1"}):
        with pytest.raises(RecipeError, match="has no meaning here"):
            open_trajectories("pde://burgers", **option)
    with pytest.raises(RecipeError, match="split=valid"):
        open_trajectories("pde://burgers", split="valid")


def test_nothing_on_disk_is_recognised(tmp_path):
    (tmp_path / "pde").write_text("pde://burgers")
    assert PdeSource.recognise(tmp_path / "pde") is None
    assert PdeSource.recognise(tmp_path) is None
    with pytest.raises(DataError, match="does not exist"):
        open_trajectories("http://burgers")


def test_a_recipe_trains_on_it():
    uri = f"pde://allen_cahn?{SMALL}&num_trajectories=5"
    assert present_splits(uri) == []
    section = SourceSection(name="a", path=uri)
    assert [len(section.open(split)) for split in ("train", "valid")] == [4, 1]


def test_inspect_shows_it():
    uri = f"pde://burgers?{SMALL}&num_trajectories=2"
    result = CliRunner().invoke(app, ["data", "inspect", uri])
    assert result.exit_code == 0, result.output
    assert "2 trajectories of 3 frames, 2 fields on 16 x 16 (pde)" in result.output
