"""What the axes of a user's array mean, as said in words such as ``N T C X Y``."""

from dataclasses import dataclass

import numpy as np

from pdefm.errors import DataError

MEANING = {"N": "trajectory", "T": "time", "C": "channel", "X": "x", "Y": "y", "Z": "z"}
EXAMPLES = {1: "X", 2: "T X", 3: "T X Y", 4: "N T X Y", 5: "N T C X Y", 6: "N T C X Y Z"}


@dataclass(frozen=True)
class AxisSpec:
    """The letter of each axis of an array.

    A missing N means one trajectory, a missing C one channel, a missing T one steady frame.

    Args:
        letters: One of N T C X Y Z an axis, each at most once.
        shape: Shape of the array.
    """

    letters: tuple[str, ...]
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, text: str | None, shape: tuple[int, ...], where: str) -> "AxisSpec":
        """Read ``N T C X Y``, ``N,T,C,X,Y`` or ``ntcxy`` for an array of this shape.

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
        unknown = [letter for letter in letters if letter not in MEANING]
        twice = sorted({letter for letter in letters if letters.count(letter) > 1})
        problem = ""
        if unknown:
            problem = f"unknown axis '{unknown[0]}', the letters are {' '.join(MEANING)}"
        elif twice:
            problem = f"axis {twice[0]} is named twice"
        elif len(letters) != len(shape):
            problem = f"{len(letters)} letters for an array of {len(shape)} axes"
        elif not set(letters) & {"X", "Y", "Z"}:
            problem = "no space axis"
        if problem:
            raise DataError(
                f"{where}: --axes '{text}': {problem}", got=f"shape {list(shape)}", do=example
            )
        return cls(letters, shape)

    def size(self, letter: str) -> int:
        """Length of an axis; 1 if the array has none."""
        return self.shape[self.letters.index(letter)] if letter in self.letters else 1

    @property
    def space(self) -> tuple[str, ...]:
        """Space axes in the order x, y, z, however the array keeps them."""
        return tuple(letter for letter in "XYZ" if letter in self.letters)

    def take(self, array: np.ndarray, index: int, start: int, stop: int) -> np.ndarray:
        """Frames of one trajectory as ``[time, channel, *space]``; reads nothing else.

        Args:
            array: Of this spec's shape; may be memory-mapped.
            index: Which trajectory.
            start: First frame.
            stop: One past the last frame.
        """
        picks = {"N": index, "T": slice(start, stop)}
        part = array[tuple(picks.get(letter, slice(None)) for letter in self.letters)]
        left = [letter for letter in self.letters if letter != "N"]
        wanted = ["T", "C", *self.space]
        part = part.transpose([left.index(letter) for letter in wanted if letter in left])
        missing = tuple(i for i, letter in enumerate(wanted) if letter not in left)
        return np.expand_dims(part, missing)  # [T, C, *space]
