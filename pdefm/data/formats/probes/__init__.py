"""What a file may hold before anything else opens it: one module a kind of file.

A module has one function ``check(path)``, which raises :class:`Refused`. They run in a child
process with limits (``pdefm.data.formats.probe_child``), so they import what they need late and
never torch.
"""

import math
from collections.abc import Sequence

LARGE = 4 * 2**30
"""Declared bytes below which no ratio is looked at."""

MAX_RATIO = 1000
"""Declared over stored bytes that honest compressed fields stay below."""

MAX_CHUNK = 2**30
"""Bytes that must fit into memory at once."""

MAX_TEXT = 2**20
"""Bytes of strings and attributes that a reader takes in as a whole."""

IF_TRUSTED = "If you know who made the file, pass --trust"
DAMAGED = "Download or copy it again"


class Refused(Exception):  # noqa: N818  # it is a verdict about a file, not a fault of ours
    """A file that must not be opened.

    Args:
        what: What is wrong, to be read after the file's name.
        got: What was found.
        do: What the user can do.
    """

    def __init__(self, what: str, got: str | None = None, do: str = "") -> None:
        self.what, self.got, self.do = what, got, do
        super().__init__(what)


def printable(text: str | bytes, limit: int = 80) -> str:
    """Text out of a file that is safe to show on a terminal, cut to ``limit`` characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "..."


def in_words(count: int) -> str:
    """Bytes with a unit."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{min(count / size, 1e9):,.4g} {unit}"
    return f"{count} bytes"


def check_declared(where: str, shape: Sequence[int], itemsize: int, stored: int) -> None:
    """Refuse an array that claims to be far larger than what lies on disk.

    Args:
        where: The array, as in ``dataset '/u'``.
        shape: Declared lengths of the axes.
        itemsize: Bytes of one number.
        stored: Bytes on disk.

    Raises:
        Refused: Over 4 GiB and over 1000 times the stored bytes.
    """
    declared = math.prod(int(length) for length in shape) * itemsize
    if declared > LARGE and declared > MAX_RATIO * stored:
        raise Refused(
            f"{where} is declared far larger than what is stored",
            f"{in_words(declared)} declared, {in_words(stored)} stored",
            f"An unfinished or hostile file. {IF_TRUSTED}",
        )
