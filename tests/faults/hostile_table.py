"""The table of files that are made to harm, which the modules beside this one fill."""

from collections.abc import Callable
from pathlib import Path

Make = Callable[[Path, Path], Path]
HOSTILE: dict[str, tuple[str, Make]] = {}
"""Name of the file to the words (a pattern) of its message, and the function that makes it.

A function gets an empty folder and the path of a secret file outside of it, and returns what a user
would open.
"""


def hostile(words: str) -> Callable[[Make], Make]:
    """Enter a function into the table."""

    def enter(make: Make) -> Make:
        assert make.__name__ not in HOSTILE
        HOSTILE[make.__name__] = (words, make)
        return make

    return enter


class RunsCode:
    """Pickled, it writes a marker beside the secret file when it is loaded."""

    def __init__(self, secret: Path) -> None:
        self.marker = str(secret.parent / "marker")

    def __reduce__(self):
        return open, (self.marker, "w")
