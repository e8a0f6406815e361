"""A page about a run, from its folder."""

import re
import shutil

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
    assert re.findall(r"<h3>(\w+) of 3 trajectories: relative L2 error", page) == ["Best", "Worst"]
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
def test_a_real_browser_shows_it_at_laptop_width(evaluated, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    run, data, options = evaluated
    report_run(run, tmp_path / "r.html", data=data, **options)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "r.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 1280, "nothing sticks out"
        sizes = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.width])")
        titles = page.locator("h3").all_inner_texts()
        tops = [page.locator("h3").nth(i).bounding_box()["y"] for i in range(2)]
        page.screenshot(path=tmp_path / "r.png", full_page=True)
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert len(sizes) == 9, "errors over time; panel, film and spectrum of two; loss and shares"
    assert all(natural > 0 and 600 < shown <= 1100 for natural, shown in sizes)
    assert [title.partition(" of 3")[0] for title in titles] == ["Best", "Worst"]
    look_at(Image.open(tmp_path / "r.png").convert("RGB"), tops)


def look_at(picture, tops):
    """Not blank, in colour where the cases are, and as much of the worst as of the best."""
    assert picture.width == 1280
    assert picture.height > 3000
    case = int(tops[1] - tops[0])
    for top in tops:
        shown = picture.crop((0, int(top), 1280, int(top) + case))
        colours = shown.getcolors(1 << 24)
        white = max(count for count, _ in colours)
        vivid = sum(count for count, colour in colours if max(colour) - min(colour) > 60)
        assert len(colours) > 500
        assert white < 0.8 * shown.width * shown.height
        assert vivid > 0.05 * shown.width * shown.height
