"""What must stay."""

import pytest
import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.errors import RecipeError
from tests.data.checks.planting import change, clean, findings, only


def drift(fields):
    fields[:, 0] += 0.01 * torch.arange(21)[:, None, None]


def test_a_mean_that_stays_is_fine():
    assert findings(clean(), conserved=("density", "pressure")) == []


def test_a_drifting_mean_is_found():
    found = only(change(clean(), 2, drift), "not_conserved", conserved=("density",))
    assert (found.place.trajectory, found.place.frame) == (2, 20)
    assert findings(change(clean(), 2, drift), conserved=("pressure",)) == []


def test_a_field_that_is_not_there_is_the_users_error():
    with pytest.raises(RecipeError, match=r"got 'mass'.*density, pressure"):
        findings(clean(), conserved=("mass",))


class Named(MemoryCollection):
    """Data that say which equation they solve."""

    def dataset_name(self) -> str:
        return "cahn_hilliard"


def test_invariants_of_a_known_equation_are_watched(tmp_path):
    out = generate(
        *("cahn_hilliard",), num_trajectories=2, resolution=32, num_frames=6, seed=0, out=tmp_path
    )
    data = open_trajectories(out)
    assert data.dataset_name() == "cahn_hilliard"
    assert findings(data) == []
    spoilt = list(data)
    spoilt[1].fields[3:] += 0.01
    found = only(Named(spoilt), "invariant")
    assert (found.place.trajectory, found.place.frame) == (1, 3)
    assert "mass" in found.got
    assert findings(MemoryCollection(spoilt)) == []


def test_other_data_of_that_name_are_left_alone():
    assert findings(Named(list(clean()))) == []
