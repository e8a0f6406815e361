"""Shapes, lengths and numbers."""

from dataclasses import replace

from pdefm.data.collection import MemoryCollection
from pdefm.data.doctor import diagnose
from pdefm.domain import Grid
from tests.data.checks.planting import clean, findings, only


def cut(trajectory, num_points):
    grid = Grid.regular((num_points, 24))
    return replace(trajectory, fields=trajectory.fields[:, :, :num_points].contiguous(), grid=grid)


def test_a_patch_must_divide_the_grid():
    found = only(clean(), "patch_size", patch_size=16)
    assert (found.severity, found.got) == ("error", "32 x 24 points and a patch of 16")
    assert findings(clean(), patch_size=8) == []


def test_without_a_patch_the_usual_one_is_a_note():
    odd = clean(2, 21, 1, fields=clean(1, 21, 1)[0].fields[..., :21], grid=Grid.regular((32, 21)))
    found = [f for f in diagnose(odd).findings if f.code == "patch_size"]
    assert [f.severity for f in found] == ["note"]


def test_history_and_horizon_must_fit_into_the_frames():
    found = only(clean(), "too_few_frames", history=20, horizon=2)
    assert (found.severity, found.num_places) == ("error", 4)
    assert found.got == "21 frames, 22 needed"
    assert findings(clean(), history=20, horizon=1) == []


def test_some_short_trajectories_are_a_warning():
    data = list(clean())
    data[1] = data[1].frames(0, 7)
    found = only(MemoryCollection(data), "too_few_frames", history=10)
    assert (found.severity, found.trajectories) == ("warning", {"": (1,)})


def test_kinds_of_trajectories_are_counted():
    data = [*clean(3), cut(clean(4)[3], 16)]
    found = [f for f in findings(MemoryCollection(data)) if f.code == "mixed_shapes"]
    assert [f.got for f in found] == ["2 kinds, of 3, 1 trajectories"]


def test_a_single_trajectory_is_noted():
    assert "one_trajectory" in [f.code for f in diagnose(clean(1)).findings]
    assert "one_trajectory" not in [f.code for f in diagnose(clean(2)).findings]
