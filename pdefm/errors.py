"""Errors for users: a kind, an exit status, and one line that says what, got and do.

Anything else that escapes is a bug of ours and exits with 1.
"""


class PdefmError(Exception):
    """Base of every error that a user can cause and mend.

    Args:
        what: What is wrong, with the recipe key, file or field that it concerns.
        got: What was found, if showing it helps.
        do: What the user should do about it.
    """

    exit_status = 1

    def __init__(self, what: str, *, got: object = None, do: str = "") -> None:
        self.what, self.got, self.do = what, got, do
        found = "" if got is None else f": got {got}"
        advice = f". {do}" if do else ""
        super().__init__(" ".join(f"{what}{found}{advice}".split()))


class RecipeError(PdefmError, ValueError):
    """A wrong recipe key, option or name (exit status 2)."""

    exit_status = 2


class DataError(PdefmError, ValueError):
    """Data that is missing, unreadable or not what it was said to be (exit status 3)."""

    exit_status = 3


class ModelError(PdefmError, ValueError):
    """A checkpoint, model or adapter that does not fit (exit status 4)."""

    exit_status = 4


class EnvironmentFault(PdefmError, OSError):  # noqa: N818  # EnvironmentError is Python's own
    """Disk, permission, network or an existing output folder (exit status 5)."""

    exit_status = 5

    __str__ = Exception.__str__


class NumericalError(PdefmError, ArithmeticError):
    """A computation that left the finite numbers (exit status 6)."""

    exit_status = 6


class Preempted(PdefmError):  # noqa: N818  # nothing went wrong
    """A run that a signal ended in order (exit status 75: start me again)."""

    exit_status = 75
