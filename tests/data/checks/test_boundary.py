"""Words about the sides, and what happens there."""

from dataclasses import replace

import pytest

from pdefm.data.collection import MemoryCollection
from pdefm.domain import BoundaryCondition
from tests.data.checks.planting import clean, findings, only, with_walls


def cut(trajectory):
    """Three quarters of the box, still said to be periodic along x."""
    x, y = trajectory.grid.axes
    grid = replace(trajectory.grid, axes=(replace(x, num_points=26, extent=26 / 32), y))
    return replace(trajectory, fields=trajectory.fields[:, :, :26], grid=grid)


def test_ends_that_do_not_fit_together_contradict_periodic():
    found = only(MemoryCollection([cut(t) for t in clean(12)]), "not_periodic")
    assert found.severity == "warning"
    assert found.got.endswith("along x")


def test_the_same_data_with_walls_are_fine():
    found = findings(MemoryCollection([with_walls(cut(t)) for t in clean(12)]))
    assert [f.got for f in found if "along x" in f.got or f.severity != "note"] == []


@pytest.mark.parametrize("kind", [BoundaryCondition.WALL, BoundaryCondition.OPEN])
def test_periodic_data_with_another_word_are_noted(kind):
    found = findings(MemoryCollection([with_walls(t, kind) for t in clean(12)]))
    assert {f.code for f in found} == {"looks_periodic"}
    assert found[0].got == f"{kind} along x"
    assert found[0].severity == "note"
