"""Whose turn it is, at any place of a long sequence."""

import numpy as np
import pytest

from pdefm.data.turns import CHUNK, Turns

WEIGHTS = (0.5, 0.2, 1.3)


@pytest.mark.parametrize("turn", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 17])
def test_counts_at_any_turn_are_those_of_walking_there(turn):
    walked = Turns(WEIGHTS, 0.3).owners(np.arange(turn + 1))
    owner, before = Turns(WEIGHTS, 0.3).locate(turn)
    assert owner == walked[turn]
    assert before == (walked[:turn] == owner).sum()
    expected = np.bincount(walked[:turn], minlength=3)
    assert Turns(WEIGHTS, 0.3).counts_before(turn).tolist() == expected.tolist()


def test_going_back_gives_the_same():
    turns = Turns(WEIGHTS, 0.0)
    places = [5, 2 * CHUNK, 5, 9 * CHUNK + 1, CHUNK]
    assert [turns.locate(p) for p in places] == [Turns(WEIGHTS, 0.0).locate(p) for p in places]
