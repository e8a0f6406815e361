"""Values that cannot be."""

from math import inf, nan

import torch

from tests.data.checks.planting import change, clean, findings, only, setting


def test_clean_waves_have_no_findings():
    assert findings(clean()) == []


def test_nan_is_found_by_trajectory_frame_and_field():
    def spoil(fields):
        fields[17, 1, 3, 4] = nan
        fields[17, 1, 9, 9] = inf
        fields[19, 1] = nan

    found = only(change(clean(), 2, spoil), "nonfinite")
    assert (found.severity, found.got) == ("error", "2 of 768 points")
    place = found.place
    assert (place.file, place.trajectory, place.frame, place.field) == ("a.hdf5", 2, 17, "pressure")


def test_values_outside_the_domain_do_not_matter():
    mask = torch.ones(32, 24, dtype=torch.bool)
    mask[4:8, 4:8] = False

    def spoil(fields):
        fields[:, :, 5, 5] = nan

    assert findings(change(clean(mask=mask), 0, spoil)) == []


def test_a_crashed_run_is_zero_from_some_frame_on():
    def crash(fields):
        fields[9:] = 0.0

    found = only(change(clean(), 1, crash), "all_zero")
    assert (found.severity, found.place.frame, found.got) == ("error", 9, "12 of 21 frames")


def test_zeros_throughout_are_one_finding():
    found = only(change(clean(), 1, torch.Tensor.zero_), "all_zero")
    assert (found.place.frame, found.got) == (0, "21 of 21 frames")


def test_a_start_at_rest_is_a_warning_only():
    found = only(change(clean(), 1, setting(slice(2), 0.0)), "starts_at_zero")
    assert (found.severity, found.place.frame, found.got) == ("warning", 0, "2 of 21 frames")


def test_frozen_frames_are_found_across_pieces_too():
    def freeze(fields):
        fields[16:] = fields[15]

    found = only(change(clean(), 3, freeze), "frozen_frames")
    assert (found.place.frame, found.got) == (16, "5 of 21 frames")


def test_a_constant_field_is_named():
    data = clean()
    for index in range(4):
        data = change(data, index, setting((slice(None), 1), 2.5))
    found = only(data, "constant_field")
    assert (found.place.field, found.got, found.num_places) == ("pressure", "2.5", 4)
