"""Calling ``pdefm`` as a shell does, without the seconds that a new interpreter takes."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pdefm.cli import main


@dataclass(frozen=True)
class Called:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """The one JSON object on stdout."""
        assert self.status == 0, self.err
        return json.loads(self.out)


Call = Callable[..., Called]


def make_call(monkeypatch: Any, capsys: Any) -> Call:
    """A function that runs a verb with its arguments and returns what came of it."""

    def call(*arguments: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["pdefm", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
        except SystemExit as leaving:
            return Called(int(leaving.code or 0), *capsys.readouterr())
        raise AssertionError("main always exits")

    return call
