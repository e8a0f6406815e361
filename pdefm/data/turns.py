"""Whose turn it is: a sequence that serves several by their weights, evenly at every length."""

from collections.abc import Sequence

import numpy as np

GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples spread most evenly over [0, 1)
CHUNK = 4096
"""Turns that are counted at a time."""


class Turns:
    """Turn ``g`` belongs to the interval of ``(shift + g * golden ratio) mod 1``.

    Intervals of ``[0, 1)`` are as long as the weights. How often each has been served before turn
    ``g`` is kept for every ``CHUNK``-th turn, so that memory stays small however long the run.

    Args:
        weights: Positive.
        shift: In ``[0, 1)``.
    """

    def __init__(self, weights: Sequence[float], shift: float) -> None:
        lengths = np.array(weights, dtype=np.float64)
        self._edges = np.cumsum(lengths / lengths.sum())
        self._shift = shift
        self._before = [np.zeros(len(weights), dtype=np.int64)]
        self._chunk = -1
        self._owners = np.zeros(0, dtype=np.int64)
        self._ranks = np.zeros(0, dtype=np.int64)

    def owners(self, turns: np.ndarray) -> np.ndarray:
        """Whose turn each of these is."""
        u = (self._shift + turns * GOLDEN_RATIO) % 1.0
        return np.minimum(np.searchsorted(self._edges, u, "right"), len(self._edges) - 1)

    def _owners_of(self, chunk: int) -> np.ndarray:
        return self.owners(np.arange(chunk * CHUNK, (chunk + 1) * CHUNK))

    def _counts_at(self, chunk: int) -> np.ndarray:
        """How often each was served before this chunk."""
        while len(self._before) <= chunk:
            owners = self._owners_of(len(self._before) - 1)
            self._before.append(self._before[-1] + np.bincount(owners, minlength=len(self._edges)))
        return self._before[chunk]

    def locate(self, turn: int) -> tuple[int, int]:
        """Whose turn it is, and how many turns that one had before."""
        chunk, place = divmod(turn, CHUNK)
        if chunk != self._chunk:
            owners = self._owners_of(chunk)
            ranks = np.zeros(CHUNK, dtype=np.int64)
            for owner, count in enumerate(self._counts_at(chunk)):
                mine = owners == owner
                ranks[mine] = count + np.arange(int(mine.sum()))
            self._chunk, self._owners, self._ranks = chunk, owners, ranks
        return int(self._owners[place]), int(self._ranks[place])

    def counts_before(self, turn: int) -> np.ndarray:
        """How often each was served before this turn."""
        chunk, place = divmod(turn, CHUNK)
        part = np.bincount(self._owners_of(chunk)[:place], minlength=len(self._edges))
        return self._counts_at(chunk) + part
