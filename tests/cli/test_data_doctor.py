"""``pdefm data doctor`` and ``pdefm data inspect`` as a shell sees them."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.tiny import waves

AXES = ("--axes", "N T C X Y", "--names", "height,phase", "--dt", "0.1")


@pytest.fixture
def good(tmp_path):
    np.save(tmp_path / "good.npy", waves(6, 15, 2, 32, 24))
    return tmp_path / "good.npy"


@pytest.fixture
def bad(tmp_path):
    values = waves(6, 15, 2, 32, 24)
    values[1, 7, 0, 3, 4] = np.nan
    values[2, 9:] = 0.0
    values[4] = values[0]
    np.save(tmp_path / "bad.npy", values)
    return tmp_path / "bad.npy"


def test_good_data_exit_with_zero(call, good):
    done = call("data", "doctor", good, *AXES, "--patch-size", 8, "--history", 10)
    assert done.status == 0
    assert done.out == f"{good}: nothing wrong found (6 of 6 trajectories looked at)\n"


def test_errors_exit_with_three_and_are_told_worst_first(call, bad):
    done = call("data", "doctor", bad, *AXES)
    assert done.status == 3
    places = [done.out.index(code) for code in ("nonfinite", "all_zero", "duplicate_tra")]
    assert places == sorted(places)
    assert done.out.endswith("2 errors, 1 warning (6 of 6 trajectories looked at)\n")
    assert "Traceback" not in done.err


def test_json_is_one_object_even_if_there_are_errors(call, bad):
    done = call("data", "doctor", bad, *AXES, "--json")
    assert done.status == 3
    found = json.loads(done.out)
    assert found["path"] == str(bad)
    assert found["num_errors"] == 2
    assert found["findings"][0]["code"] == "nonfinite"
    assert found["findings"][0]["field"] == "height"
    assert found["checked"]["num_trajectories"] == 6


def test_warnings_alone_are_no_failure(call, good):
    values = np.load(good)
    values[5] = values[0]
    np.save(good, values)
    assert call("data", "doctor", good, *AXES, "--json").result["num_warnings"] == 1


def test_a_test_set_is_compared(call, good, tmp_path):
    np.save(tmp_path / "test.npy", np.load(good)[2:4])
    done = call("data", "doctor", good, *AXES, "--against", tmp_path / "test.npy", "--json")
    assert done.status == 3
    assert json.loads(done.out)["findings"][0]["code"] == "leaked_trajectory"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--patch-size", 16), "patch_size"),
        (("--history", 20), "too_few_frames"),
    ],
)
def test_expectations_of_a_model_are_checked(call, good, options, code):
    done = call("data", "doctor", good, *AXES, *options, "--json")
    assert done.status == 3
    assert [f["code"] for f in json.loads(done.out)["findings"]] == [code]


def test_wrong_words_are_the_users_error(call, good):
    for options in (("--conserved", "mass"), ("--incompressible",)):
        done = call("data", "doctor", good, *AXES, *options)
        assert done.status == 2
        assert done.err.splitlines()[-1].startswith("pdefm: ")
    assert call("data", "doctor", good, *AXES, "--conserved", "height").status == 0


def test_inspect_draws_into_the_cache_unless_told_otherwise(call, good, tmp_path):
    done = call("data", "inspect", good, *AXES)
    picture = tmp_path / "home" / "inspect" / "good.png"
    assert f"picture: {picture}" in done.out
    assert Image.open(picture).size > (100, 100)
    assert "axes: trajectory[6] time[15] channel[2] x[32] y[24]" in done.out
    assert "format: arrays: " in done.out
    assert "windows of 11 frames a second" in done.out
    picture.unlink()
    assert "picture" not in call("data", "inspect", good, *AXES, "--no-picture").out
    assert "picture" not in call("data", "inspect", good, *AXES, "--json").result
    assert not picture.exists()


def test_a_cache_that_cannot_be_written_does_not_stop_inspect(call, good, tmp_path):
    (tmp_path / "home").write_text("a file in the place of the folder")
    done = call("data", "inspect", good, *AXES)
    assert done.status == 0
    assert "picture: cannot write" in done.out
    place = tmp_path / "home" / "a.png"
    assert call("data", "inspect", good, *AXES, "--picture", place).status == 5
