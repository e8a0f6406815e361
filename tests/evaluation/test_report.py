import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from pdefm.errors import DataError
from pdefm.evaluation.report import Example, ReportInput, write_report
from tests.evaluation.report_inputs import metrics_lines, results, wave


class _Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.addresses, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    truth = wave(num_frames=8)
    predictions = {"adapter": wave(num_frames=4, start=4, noise=0.01)}
    report = ReportInput(
        title="Waves <one>",
        results=[results()],
        runs={"the adapter": metrics_lines(40)},
        examples=[("waves-test", "vorticity", truth, predictions)],
        time_unit="s",
    )
    path = write_report(tmp_path_factory.mktemp("report") / "report.html", report)
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_loads_nothing(html):
    page = _Page(html)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"<script|<link|@import|url\(", html)


def test_every_picture_can_be_decoded_and_one_moves(html):
    pictures = re.findall(r'src="data:image/\w+;base64,([^"]+)"', html)
    images = [Image.open(BytesIO(base64.b64decode(each))) for each in pictures]
    assert [image.format for image in images] == ["PNG", "PNG", "GIF", "PNG", "PNG"]
    assert [image.n_frames for image in images if image.format == "GIF"] == [4]


def test_the_summary_is_computed_from_the_numbers(html):
    text = _Page(html).text
    assert "On waves-test, the adapter has a lower relative L2 error than persistence" in text
    assert "(0.0246 against 0.332)" in text


def test_the_best_of_each_column_is_bold(html):
    assert re.findall(r'class="value best">([^<]+)<', html) == ["0.0246", "0.0248", "0.0295"]


def test_provenance_is_complete(html):
    text = _Page(html).text
    for part in ("pdefm evaluate --model tiny", "0123456789abcdef", "torch 2.8.0", "device cpu"):
        assert part in text


def test_the_title_is_escaped(html):
    assert "<h1>Waves &lt;one&gt;</h1>" in html


def test_a_report_without_runs_and_examples_still_shows_the_numbers(tmp_path):
    path = write_report(tmp_path / "new" / "r.html", ReportInput("Numbers", [results(own=0.5)]))
    text = _Page(path.read_text(encoding="utf-8")).text
    assert "is worse, with a higher relative L2 error than persistence" in text
    assert "Training" not in text


def test_an_example_whose_prediction_lies_elsewhere_leaves_no_file(tmp_path):
    late = {"adapter": wave(num_frames=2, start=50)}
    example = Example("waves-test", "vorticity", wave(num_frames=4), late)
    with pytest.raises(DataError, match="shares a time"):
        write_report(tmp_path / "r.html", ReportInput("x", [results()], examples=[example]))
    assert list(tmp_path.iterdir()) == []
