"""Sizes."""

from tests.data.checks.planting import change, clean, findings, only


def multiply(channel, factor):
    def work(fields):
        fields[:, channel] *= factor

    return work


def test_fields_a_million_apart_are_found():
    data = clean()
    for index in range(4):
        data = change(data, index, multiply(1, 1e7))
    found = only(data, "field_scales")
    assert (found.severity, found.place.field) == ("warning", "density")
    assert "pressure 2." in found.got


def test_fields_a_thousand_apart_are_not():
    data = clean()
    for index in range(4):
        data = change(data, index, multiply(1, 1e3))
    assert findings(data) == []


def test_a_mean_that_drowns_the_rest_is_found():
    data = clean(channels=1)
    for index in range(4):
        data = change(data, index, lambda f: f + 1e6)
    assert "large_offset" in [finding.code for finding in findings(data)]


def test_trajectories_of_another_size_are_noted():
    found = only(change(clean(), 2, multiply(0, 1e-4)), "trajectory_scales")
    assert (found.severity, found.place.trajectory) == ("note", 2)
