"""Changes from frame to frame."""

import pytest
import torch

from pdefm.data.checks.changes import find_jump
from tests.data.checks.planting import change, clean, findings, only


@pytest.mark.parametrize("num_dropped", [1, 3])
def test_dropped_frames_are_found(num_dropped):
    data = change(clean(), 1, lambda f: torch.cat((f[:9], f[9 + num_dropped :])))
    found = only(data, "jump")
    assert (found.place.trajectory, found.place.frame, found.place.field) == (1, 9, None)


def test_one_bad_frame_is_found_where_it_is():
    random = torch.Generator().manual_seed(0)

    def spoil(fields):
        fields[12, 1] += 5 * torch.randn(32, 24, generator=random)

    found = only(change(clean(), 0, spoil), "jump")
    assert (found.place.frame, found.place.field) == (12, "pressure")


def test_frames_that_know_nothing_of_each_other_are_found():
    random = torch.Generator().manual_seed(0)

    def shuffle(fields):
        coarse = torch.randn(21, 2, 4, 3, generator=random)
        fields[:] = torch.nn.functional.interpolate(coarse, (32, 24), mode="bicubic")

    data = clean()
    for index in range(4):
        data = change(data, index, shuffle)
    assert "unrelated_frames" in [finding.code for finding in findings(data)]


def test_hardly_any_change_is_noted():
    data = clean()
    for index in range(4):
        data = change(data, index, lambda f: f[:1] + 1e-5 * (f - f[:1]))
    assert only(data, "still_frames").severity == "note"


def test_even_growth_decay_and_oscillation_are_no_jumps():
    k = torch.arange(40, dtype=torch.float64)
    for course in (torch.exp(-0.3 * k), torch.exp(0.2 * k), 1.1 + torch.sin(0.3 * k)):
        assert find_jump([tuple(course.tolist())]) is None


def test_too_short_a_course_is_not_judged():
    assert find_jump([(1.0, 9.0, 1.0, 1.0)]) is None
    assert find_jump([(0.0,) * 9]) is None
