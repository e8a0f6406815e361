"""The lazy table: import on use, plug-ins, and the nearest name."""

import sys
from importlib.metadata import EntryPoint

import pytest

import pdefm.registry
from pdefm.errors import RecipeError
from pdefm.registry import Registry, nearest_name_hint


@pytest.fixture
def plugin(monkeypatch):
    def install(name: str, value: str) -> None:
        monkeypatch.setattr(
            pdefm.registry,
            "entry_points",
            lambda group: [EntryPoint(name, value, group)] if group == "pdefm.toy" else [],
        )

    return install


def test_a_class_is_imported_only_when_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "lazy_part_of_a_test.py").write_text("class Part: pass")
    monkeypatch.syspath_prepend(tmp_path)
    table = Registry("toy", {"part": "lazy_part_of_a_test:Part"})
    assert list(table) == ["part"]
    assert "part" in table
    assert len(table) == 1
    assert "lazy_part_of_a_test" not in sys.modules
    assert table["part"].__name__ == "Part"


def test_an_unknown_name_offers_the_nearest_and_lists_all():
    table = Registry("toy", {"burgers": "json:JSONDecoder", "advection": "json:JSONEncoder"})
    with pytest.raises(RecipeError, match=r"unknown toy: got 'burger'\. Did") as caught:
        table["burger"]
    assert "Did you mean 'burgers'? Known: advection, burgers" in str(caught.value)
    assert "missing" not in table


def test_a_name_far_from_all_gets_no_guess():
    assert nearest_name_hint("zzz", ["burgers"]) == "Known: burgers"


def test_a_plugin_joins_the_table(plugin):
    plugin("decoder", "json:JSONDecoder")
    table = Registry("toy", {"encoder": "json:JSONEncoder"})
    assert sorted(table) == ["decoder", "encoder"]
    assert table["decoder"].__name__ == "JSONDecoder"
    assert "decoder" not in Registry("other", {})


def test_a_plugin_may_not_take_a_name_of_ours(plugin):
    plugin("encoder", "json:JSONDecoder")
    with pytest.raises(RecipeError, match="encoder = json:JSONDecoder"):
        Registry("toy", {"encoder": "json:JSONEncoder"})["encoder"]
