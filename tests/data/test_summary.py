"""Numbers about a collection, streamed."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdefm.data.collection import MemoryCollection
from pdefm.data.formats.well_writer import write_well
from pdefm.data.open import open_trajectories
from pdefm.data.statistics import field_statistics
from pdefm.data.summary import RunningStatistics, summarise
from pdefm.errors import DataError


def test_the_summary_says_what_the_file_holds(tmp_path, make_trajectory):
    written = [make_trajectory(seed, num_frames=40) for seed in range(3)]
    path = write_well(tmp_path / "a.hdf5", written, "test")
    found = json.loads(json.dumps(summarise(open_trajectories(path))))
    values = torch.stack([t.fields[:, 2] for t in written]).double()
    statistics = found.pop("statistics")
    assert found == {
        "format": "well",
        "num_trajectories": 3,
        "num_frames": [40, 40],
        "shape": [40, 4, 8, 6],
        "names": ["velocity_x", "velocity_y", "density", "a_x"],
        "units": ["m/s", "m/s", "kg/m^3", "K"],
        "dt": pytest.approx(0.1),
        "extent": [pytest.approx(6.283185307), 1.5],
        "boundary": [["periodic", "periodic"], ["wall", "open"]],
    }
    assert list(statistics) == ["velocity_x", "velocity_y", "density", "a_x"]
    assert statistics["density"] == {
        "mean": pytest.approx(float(values.mean()), rel=1e-12),
        "std": pytest.approx(float(values.std(correction=0)), rel=1e-12),
        "min": float(values.min()),
        "max": float(values.max()),
        "num_nonfinite": 0,
    }


def test_values_that_are_not_finite_are_counted_and_left_out(make_trajectory):
    fields = torch.ones(3, 4, 8, 6)
    fields[1, 0, 2, 3] = float("nan")
    fields[2, 0, :2] = float("inf")
    fields[:, 3] = float("nan")
    found = summarise(MemoryCollection([make_trajectory(num_frames=3, fields=fields)]))
    assert found["statistics"]["velocity_x"]["num_nonfinite"] == 13
    assert found["statistics"]["velocity_x"]["mean"] == 1.0
    assert found["statistics"]["a_x"]["mean"] is None
    assert found["statistics"]["a_x"]["num_nonfinite"] == 3 * 8 * 6
    json.dumps(found, allow_nan=False)


def test_the_summary_can_stop_early(make_trajectory):
    long, short = make_trajectory(num_frames=7), make_trajectory(1, num_frames=2)
    found = summarise(MemoryCollection([long, short]), max_trajectories=1)
    assert found["num_frames"] == [2, 7]
    expected = float(long.fields[:, 0].double().mean())
    assert found["statistics"]["velocity_x"]["mean"] == pytest.approx(expected, rel=1e-12)


def test_a_steady_trajectory_has_no_time_step(make_trajectory):
    assert summarise(MemoryCollection([make_trajectory(num_frames=1)]))["dt"] == 0.0


def test_field_statistics_are_mean_and_standard_deviation(make_trajectory):
    parts = [make_trajectory(seed, num_frames=20) for seed in range(2)]
    assert not bool(parts[0].mask.all())  # points outside the domain do not count
    values = torch.cat([t.fields[:, 1][:, t.mask].flatten() for t in parts]).double()
    found = field_statistics(MemoryCollection(parts))
    assert found["velocity_y"] == pytest.approx(
        (float(values.mean()), float(values.std(correction=0))), rel=1e-12
    )


def test_a_nan_is_found_by_file_trajectory_frame_and_field(tmp_path, make_trajectory):
    bad = make_trajectory(1, num_frames=40)
    bad.fields[37, 2, 4, 4:] = float("nan")
    bad.mask[4, 4:] = True
    path = write_well(tmp_path / "a.hdf5", [make_trajectory(num_frames=40), bad], "test")
    with pytest.raises(
        DataError,
        match=r"a\.hdf5: trajectory 1, frame 37, field 'density'.*got 2 of 48 points.*data doctor",
    ):
        field_statistics(open_trajectories(path))


def test_an_empty_collection_is_an_error():
    for function in (summarise, field_statistics):
        with pytest.raises(DataError, match="is empty"):
            function(MemoryCollection([]))


@given(
    st.lists(st.lists(st.floats(-100, 100), max_size=20), min_size=1, max_size=6),
    st.sampled_from([0.0, 1e6]),
)
def test_statistics_do_not_depend_on_the_pieces(pieces, offset):
    tensors = [torch.tensor(piece, dtype=torch.float64) + offset for piece in pieces]
    together = torch.cat(tensors)
    running = RunningStatistics()
    for tensor in tensors:
        running.add(tensor)
    assert running.count == together.numel()
    if together.numel():
        assert running.mean == pytest.approx(float(together.mean()), abs=1e-8)
        assert running.std == pytest.approx(float(together.std(correction=0)), abs=1e-6)
