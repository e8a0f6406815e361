"""A YAML file in the place of data."""

import numpy as np
import pytest

from pdefm.config import section_from_dict
from pdefm.data.data_file import DataFile
from pdefm.data.description import Description
from pdefm.data.open import open_trajectories, present_splits
from pdefm.data.source import SourceSection
from pdefm.errors import DataError, RecipeError
from tests.cli.calling import make_call
from tests.data.formats.write_arrays import write_hdf5

TEXT = """
path: raw/my.h5
axes: N T X Y
dt: 0.1
extent: [2, 1]
boundary: wall
units: [m/s, Pa]
variables:
  u: velocity/x
  p: press
"""


@pytest.fixture
def data_file(tmp_path):
    (tmp_path / "raw").mkdir()
    arrays = {"velocity/x": np.ones((4, 5, 6, 8)), "press": np.zeros((4, 5, 6, 8))}
    write_hdf5(tmp_path / "raw" / "my.h5", arrays)
    path = tmp_path / "my_data.yaml"
    path.write_text(TEXT)
    return path


def test_it_opens_what_it_describes(data_file, monkeypatch):
    monkeypatch.chdir("/")  # the path is relative to the file, wherever the command runs
    found = open_trajectories(data_file)[3]
    assert (found.names, found.units) == (("u", "p"), ("m/s", "Pa"))
    assert found.dt == pytest.approx(0.1)
    assert found.grid.extent == (2.0, 1.0)
    assert found.boundary[0][0] == "wall"


def test_what_the_user_says_wins(data_file):
    found = open_trajectories(data_file, dt=0.5, variables="p=press", units=["bar"], axes=None)[0]
    assert (found.names, found.units, found.dt) == (("p",), ("bar",), 0.5)


def test_an_unknown_key_is_refused_with_the_nearest(data_file):
    data_file.write_text(TEXT.replace("axes:", "axis:"))
    with pytest.raises(RecipeError, match=r"my_data\.yaml: axis: unknown key.*axes"):
        open_trajectories(data_file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axes: T X\n", "path: missing"),
        ("path: other.yaml\n", "not another YAML file"),
        ("path: nowhere.npy\n", r"nowhere\.npy does not exist"),
        ("path: [a\n", "not valid YAML"),
        ("path: raw/my.h5\ndt: -1\n", "dt: must be greater than 0"),
    ],
)
def test_a_wrong_file_is_one_line(data_file, text, message):
    data_file.write_text(text)
    with pytest.raises((RecipeError, DataError), match=message) as raised:
        open_trajectories(data_file)
    assert "\n" not in str(raised.value)


def test_splits_are_those_of_the_data(data_file):
    for split in ("train", "valid"):
        (data_file.parent / "set" / split).mkdir(parents=True)
        np.save(data_file.parent / "set" / split / "a.npy", np.zeros((4, 8)))
    data_file.write_text("path: set\naxes: T X\n")
    assert present_splits(data_file) == ["train", "valid"]
    assert len(open_trajectories(data_file, split="valid")) == 1


def test_a_recipe_may_name_it_or_say_the_same_itself(data_file):
    own = {"name": "a", "path": str(data_file)}
    assert len(section_from_dict(SourceSection, own).open("train")) == 3
    own = {"name": "a", "path": str(data_file.parent / "raw"), "axes": "N T X Y"}
    own["variables"] = {"p": "press"}
    assert section_from_dict(SourceSection, own).open("valid")[0].names == ("p",)


def test_it_says_all_that_the_command_line_can():
    options = {*Description.__dataclass_fields__}
    assert options <= set(DataFile.model_fields)
    assert options <= set(SourceSection.model_fields)


def test_the_command_line_takes_both(data_file, monkeypatch, capsys):
    call = make_call(monkeypatch, capsys)
    assert call("data", "inspect", data_file, "--json").result["names"] == ["u", "p"]
    raw = data_file.parent / "raw" / "my.h5"
    given = ("--axes", "N T X Y", "--variables", "p=press")
    found = call("data", "inspect", raw, *given, "--json").result
    assert (found["names"], found["shape"]) == (["p"], [5, 1, 6, 8])
