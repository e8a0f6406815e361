"""Which axis a dimension or a coordinate variable means, by the words that people use."""

import re
from collections.abc import Mapping

from pdefm.data.formats.axis_spec import DROPPED, AxisSpec, problem_with
from pdefm.data.formats.containers.container import ArrayFacts

LONGITUDE = frozenset({"lon", "longitude"})
BOUNDED = frozenset(
    {"lat", "latitude", "lev", "level", "height", "altitude", "depth", "plev", "pressure_level"}
)
"""Axes that end somewhere, so that they are not taken to be periodic."""

WORDS = {
    "N": {"n", "b", "batch", "sample", "trajectory", "member", "ensemble", "number", "realization"},
    "T": {"t", "time", "times", "step", "frame", "valid_time"},
    "C": {"c", "channel", "field", "component"},
    "X": {"x", "nx"} | LONGITUDE,
    "Y": {"y", "ny", "lat", "latitude"},
    "Z": {"z", "nz"} | (BOUNDED - {"lat", "latitude"}),
}
PLURAL = {f"{word}s": letter for letter, words in WORDS.items() for word in words if len(word) > 2}
LETTERS = PLURAL | {word: letter for letter, words in WORDS.items() for word in words}
LETTERS |= {"trajectories": "N", "latitudes": "Y", "longitudes": "X"}


def word_of(key: str) -> str:
    """The last part of a key as people would say it: ``grid/x-coordinate`` is ``x``."""
    last = key.rpartition("/")[2].lower()
    return re.sub(r"[-_ ]?(coordinates?|coords?)$", "", last)


def letter_of(name: str) -> str | None:
    """Letter of an axis by the name of a dimension or coordinate; ``None`` if it is not known."""
    return LETTERS.get(word_of(name))


def coordinates_of(arrays: Mapping[str, ArrayFacts]) -> dict[str, str]:
    """Coordinate variables: the name of the dimension, and the key of its points.

    Without names of dimensions these are the vectors that are called like a time or space axis.
    """
    found: dict[str, str] = {}
    for key, facts in arrays.items():
        last = key.rpartition("/")[2]
        if facts.dims is not None:
            own = facts.dims == (last,)
        else:
            own = len(facts.squeezed) < 2 and facts.size > 1 and letter_of(key) in (*"TXYZ",)
        if own and facts.kind == "real":
            found.setdefault(last, key)
    return found


def spec_from_dims(facts: ArrayFacts, arrays: Mapping[str, ArrayFacts]) -> AxisSpec | str:
    """What the axes mean by the names of their dimensions, or else what is not clear.

    Dimensions of length one that say nothing (or a level beside two other space axes) are left out.
    """
    assert facts.dims is not None
    points = coordinates_of(arrays)
    letters: list[str] = []
    for dim, length in zip(facts.dims, facts.shape, strict=True):
        said = arrays[points[dim]].axis.upper() if dim in points else ""
        letter = said if said in (*"TXYZ",) else letter_of(dim)
        if letter is None and length > 1:
            return f"dimension '{dim}' is none that is known"
        letters.append(letter or DROPPED)
    pairs = list(zip(letters, facts.shape, strict=True))
    if any(letter in "XYZ" and length > 1 for letter, length in pairs):
        letters = [DROPPED if letter in "XYZ" and n == 1 else letter for letter, n in pairs]
    kept = tuple(letter for letter in letters if letter != DROPPED)
    twice = problem_with((*kept, "X") if not set(kept) & {*"XYZ"} else kept)
    return twice or AxisSpec(tuple(letters), facts.shape)
