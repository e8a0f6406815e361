"""A page about a run, from its folder."""

import re
import shutil
import subprocess

import pytest
from PIL import Image

from pdefm.errors import DataError, EnvironmentFault
from pdefm.hub.evaluation import evaluate_by_name
from pdefm.hub.report import report_run
from tests.tiny import write_waves

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def evaluated(tiny_run, tmp_path):
    """A copy of a pretraining run with an evaluation, and what it was measured on."""
    run = tmp_path / "lake_run"
    shutil.copytree(tiny_run.folder, run)
    data = write_waves(tmp_path / "air.npy", 3, 8, 2, 16, 16)
    options = {"axes": "N T C X Y", "names": "velocity_x,velocity_y"}
    evaluate_by_name(str(run), None, [str(data)], run / "results.json", options=options)
    return run, str(data), options


def test_the_best_and_the_worst_case_are_shown_side_by_side_with_the_numbers(evaluated, tmp_path):
    run, data, options = evaluated
    found = report_run(run, tmp_path / "r.html", data=data, **options)
    assert found["datasets"] == ["air"]
    assert found["missing"] == []
    page = (tmp_path / "r.html").read_text()
    for words in (
        "linear_extrapolation",
        "Training of lake_run",
        "share of each of",
        "Pretraining",
    ):
        assert words in page
    assert page.count("The same rollout in motion") == 4, "caption and alternative text of two"
    assert not re.search(r"(src|href)=.http", page), "nothing is loaded from anywhere"


def test_without_an_evaluation_it_says_what_would_make_one(tiny_run, tmp_path):
    found = report_run(tiny_run.folder, tmp_path / "r.html")
    assert "pdefm evaluate --data PATH" in found["missing"][0]
    page = (tmp_path / "r.html").read_text()
    assert "No evaluation yet" in page
    assert "Training of" in page


def test_what_is_no_run_and_other_data_are_refused(evaluated, tmp_path):
    run, _, options = evaluated
    with pytest.raises(DataError, match="is no run folder"):
        report_run(tmp_path, tmp_path / "r.html")
    other = write_waves(tmp_path / "other.npy", 3, 8, 2, 16, 16)
    with pytest.raises(DataError, match="have no dataset 'other'"):
        report_run(run, tmp_path / "r.html", data=str(other), **options)
    assert not (tmp_path / "r.html").exists()
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(EnvironmentFault, match="exists"):
        report_run(run, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "mine"


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the path")
def test_a_real_browser_shows_it(evaluated, tmp_path):
    run, data, options = evaluated
    report_run(run, tmp_path / "r.html", data=data, **options)
    picture = tmp_path / "r.png"
    subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--window-size=1280,2400", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--screenshot={picture}", (tmp_path / "r.html").as_uri()),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    image = Image.open(picture).convert("RGB")
    assert image.size == (1280, 2400)
    assert len(image.getcolors(1 << 24)) > 500, "pictures, not a blank page"
