"""A shell of one's own."""

import pytest

from tests.cli.calling import Call, make_call


@pytest.fixture
def call(monkeypatch, capsys, tmp_path) -> Call:
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return make_call(monkeypatch, capsys)
