"""What the axes of a user's array mean, as said in words such as ``N T C X Y``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdefm.errors import DataError

MEANING = {"N": "trajectory", "T": "time", "C": "channel", "X": "x", "Y": "y", "Z": "z"}
EXAMPLES = {1: "X", 2: "T X", 3: "T X Y", 4: "N T X Y", 5: "N T C X Y", 6: "N T C X Y Z"}
DROPPED = "_"
"""Letter of an axis of length one that means nothing."""

LACKING = ("", "C", "T", "N", "CT", "CN", "TN", "CTN")
"""Axes that a variable of lower rank may lack, the likeliest first."""


@dataclass(frozen=True)
class AxisSpec:
    """The letter of each axis of an array.

    A missing N means one trajectory, a missing C one channel, a missing T one steady frame.

    Args:
        letters: One of N T C X Y Z an axis, each at most once, or ``_`` for an axis of length one
            that is left out.
        shape: Shape of the array.
    """

    letters: tuple[str, ...]
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, text: str | None, shape: tuple[int, ...], where: str) -> "AxisSpec":
        """Read ``N T C X Y``, ``N,T,C,X,Y`` or ``ntcxy`` for an array of this shape.

        Axes of length one beyond the letters are left out where it is clear which ones: if all of
        them are too many, or if they all come first.

        Raises:
            DataError: Says what is wrong, the shape that was found, and an example.
        """
        example = f"Say what the axes are, as in --axes '{EXAMPLES.get(len(shape), 'N T C X Y')}'"
        if not shape or 0 in shape:
            raise DataError(f"{where}: an empty array", got=list(shape), do="Check the file")
        if text is None:
            raise DataError(
                f"{where}: the axes of an array cannot be guessed",
                got=f"shape {list(shape)}",
                do=f"{example} (N trajectory, T time, C channel, X Y Z space)",
            )
        letters = tuple(text.upper().replace(",", " ").replace(" ", ""))
        fitted = with_dropped(letters, shape)
        problem = problem_with(letters)
        if not problem and fitted is None:
            problem = f"{len(letters)} letters for an array of {len(shape)} axes"
        if problem or fitted is None:
            raise DataError(
                f"{where}: --axes '{text}': {problem}", got=f"shape {list(shape)}", do=example
            )
        return cls(fitted, shape)

    def lesser(self, shape: tuple[int, ...]) -> "AxisSpec | None":
        """The spec of an array beside this one, which may lack C, T or N (the likeliest first).

        Args:
            shape: Of the other array; lengths must agree, but for the channels.
        """
        own = tuple(letter for letter in self.letters if letter != DROPPED)
        for lacking in LACKING:
            if not set(lacking) <= set(own):
                continue
            fitted = with_dropped(tuple(x for x in own if x not in lacking), shape)
            if fitted is not None:
                found = AxisSpec(fitted, shape)
                if all(found.size(x) == self.size(x) for x in fitted if x not in ("C", DROPPED)):
                    return found
        return None

    def size(self, letter: str) -> int:
        """Length of an axis; 1 if the array has none."""
        return self.shape[self.letters.index(letter)] if letter in self.letters else 1

    @property
    def space(self) -> tuple[str, ...]:
        """Space axes in the order x, y, z, however the array keeps them."""
        return tuple(letter for letter in "XYZ" if letter in self.letters)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every axis that has a meaning."""
        pairs = zip(self.letters, self.shape, strict=True)
        return {letter: length for letter, length in pairs if letter != DROPPED}

    def picks(self, index: int, start: int, stop: int) -> tuple[int | slice, ...]:
        """Index of the stored array that means frames of one trajectory."""
        chosen: Mapping[str, int | slice] = {"N": index, "T": slice(start, stop), DROPPED: 0}
        return tuple(chosen.get(letter, slice(None)) for letter in self.letters)

    def arrange(self, part: np.ndarray) -> np.ndarray:
        """What :meth:`picks` gave, as ``[time, channel, *space]``."""
        left = [letter for letter in self.letters if letter not in ("N", DROPPED)]
        wanted = ["T", "C", *self.space]
        part = part.transpose([left.index(letter) for letter in wanted if letter in left])
        missing = tuple(i for i, letter in enumerate(wanted) if letter not in left)
        return np.expand_dims(part, missing)  # [T, C, *space]

    def take(self, array: Any, index: int, start: int, stop: int) -> np.ndarray:
        """Frames of one trajectory as ``[time, channel, *space]``; reads nothing else.

        Args:
            array: Of this spec's shape; may be memory-mapped.
            index: Which trajectory.
            start: First frame.
            stop: One past the last frame.
        """
        return self.arrange(np.asarray(array[self.picks(index, start, stop)]))


def problem_with(letters: tuple[str, ...]) -> str:
    """What is wrong with these letters as the axes of a field; empty if nothing is."""
    unknown = [letter for letter in letters if letter not in MEANING]
    twice = sorted({letter for letter in letters if letters.count(letter) > 1})
    if unknown:
        return f"unknown axis '{unknown[0]}', the letters are {' '.join(MEANING)}"
    if twice:
        return f"axis {twice[0]} is named twice"
    return "" if set(letters) & {"X", "Y", "Z"} else "no space axis"


def with_dropped(letters: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """Letters for every axis, ``_`` for those of length one that are too many; else ``None``."""
    extra = len(shape) - len(letters)
    single = [i for i, length in enumerate(shape) if length == 1]
    if extra == 0:
        return letters
    if extra == len(single):
        dropped = set(single)
    elif 0 < extra < len(single) and single == list(range(len(single))):
        dropped = set(range(extra))
    else:
        return None
    left = iter(letters)
    return tuple(DROPPED if i in dropped else next(left) for i in range(len(shape)))
