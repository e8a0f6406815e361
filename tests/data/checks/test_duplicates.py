"""Copies."""

from dataclasses import replace

import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.doctor import diagnose
from tests.data.checks.planting import change, clean, findings, only, setting


def with_parameter(trajectory, value):
    return replace(trajectory, parameters={"viscosity": value})


def test_a_copy_is_found():
    data = clean()
    found = only(MemoryCollection([*data, data[1]]), "duplicate_trajectory")
    assert found.trajectories == {"": (4,)}
    assert found.got == "the frames of a.hdf5, trajectory 1"


def test_the_same_start_with_another_course_needs_other_parameters():
    data = clean()
    other = data[2].fields.clone()
    other[1:] = data[3].fields[1:]
    copy = replace(data[2], fields=other)
    found = findings(MemoryCollection([*data, copy]))
    assert "same_start" in [f.code for f in found]
    told = MemoryCollection([with_parameter(t, float(i)) for i, t in enumerate([*data, copy])])
    assert "same_start" not in [f.code for f in findings(told)]


def test_starts_that_are_the_same_everywhere_are_no_copies():
    data = clean()
    for index in range(4):
        data = change(data, index, setting(0, 1.0))
    assert "same_start" not in [finding.code for finding in findings(data)]


def test_one_steady_field_may_belong_to_many_coefficients():
    fields, names = clean(1, 1, 1)[0].fields, ("pressure",)
    steady = clean(2, 1, 1, fields=fields, names=names)
    constants = [torch.randn(1, 32, 24) for _ in range(2)]
    told = [
        replace(t, constants=c, constant_names=("permeability",))
        for t, c in zip(steady, constants, strict=True)
    ]
    assert findings(MemoryCollection(told)) == []
    assert [f.code for f in findings(steady)] == ["duplicate_trajectory"]


def test_a_test_trajectory_in_the_training_data_is_an_error():
    data = clean(6)
    train, test = MemoryCollection(list(data)[:4]), MemoryCollection([data[5], data[0]])
    found = diagnose({"train": train, "test": test}).findings[0]
    assert (found.code, found.severity) == ("leaked_trajectory", "error")
    assert found.trajectories == {"test": (1,)}
    clean_split = MemoryCollection(list(data)[4:])
    assert diagnose({"train": train, "test": clean_split}).count("error") == 0


def test_a_start_in_two_splits_is_a_warning_or_with_other_parameters_a_note():
    data = [with_parameter(t, 1.0) for t in clean(4)]
    start = data[0].fields[:1]
    moved = torch.cat((start, data[3].fields[1:]))
    train = MemoryCollection(data[:2])
    for value, severity in ((1.0, "warning"), (2.0, "note")):
        test = MemoryCollection([with_parameter(replace(data[3], fields=moved), value)])
        found = diagnose({"train": train, "test": test}).findings
        assert ("leaked_start", severity) in [(f.code, f.severity) for f in found]


def test_other_data_are_only_compared_with():
    data = clean()
    other = MemoryCollection([data[2], data[2]])
    found = diagnose(data, against={"test.npy": other}).findings
    assert [f.code for f in found if f.severity != "note"] == ["leaked_trajectory"]
    assert found[0].got == "the frames of a.hdf5, trajectory 2 of the data"
