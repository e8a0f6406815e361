"""Errors for users: one line, and the exit status that the command line promises."""

import pytest

from pdefm.errors import (
    DataError,
    EnvironmentFault,
    ModelError,
    NumericalError,
    PdefmError,
    Preempted,
    RecipeError,
)


@pytest.mark.parametrize(
    ("kind", "status", "builtin"),
    [
        (PdefmError, 1, Exception),
        (RecipeError, 2, ValueError),
        (DataError, 3, ValueError),
        (ModelError, 4, ValueError),
        (EnvironmentFault, 5, OSError),
        (NumericalError, 6, ArithmeticError),
        (Preempted, 75, Exception),
    ],
)
def test_every_kind_has_its_exit_status_and_is_a_builtin_kind_too(kind, status, builtin):
    error = kind("disk is full", got=3, do="Free some")
    assert error.exit_status == status
    assert isinstance(error, PdefmError)
    assert isinstance(error, builtin)
    assert str(error) == "disk is full: got 3. Free some"


def test_only_the_parts_that_were_given_are_said():
    assert str(DataError("no frames")) == "no frames"
    assert str(DataError("no frames", got=0)) == "no frames: got 0"
    assert str(DataError("no frames", do="Give some")) == "no frames. Give some"


def test_a_message_of_several_lines_becomes_one():
    assert str(DataError("two\n   lines", got="a\tb")) == "two lines: got a b"
