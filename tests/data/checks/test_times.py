"""Times."""

from dataclasses import replace

import torch

from pdefm.data.collection import MemoryCollection
from pdefm.data.open import open_trajectories
from tests.data.checks.planting import clean, findings, only
from tests.tiny import write_waves


def test_times_of_single_precision_are_even_enough():
    times = torch.arange(21, dtype=torch.float32) * 0.001 + 1000.0
    assert findings(clean(times=times)) == []


def test_a_gap_in_time_is_found_where_it_is():
    times = torch.arange(21, dtype=torch.float64) * 0.1
    times[13:] += 0.2
    found = only(clean(times=times), "irregular_dt")
    assert (found.place.frame, found.got) == (13, "0.3 to frame 13, mostly 0.1")


def test_trajectories_with_another_step_are_noted():
    data = list(clean())
    data[2] = replace(data[2], times=data[2].times * 2)
    found = only(MemoryCollection(data), "mixed_dt")
    assert (found.severity, found.got) == ("note", "2 steps from 0.1 to 0.2")


def test_an_array_without_a_step_is_noted(tmp_path):
    path = write_waves(tmp_path / "a.npy", 2, 12, 1, 16, 16)
    codes = [f.code for f in findings(open_trajectories(path, axes="N T C X Y"))]
    assert "unknown_dt" in codes
    told = open_trajectories(path, axes="N T C X Y", dt=0.5)
    assert "unknown_dt" not in [f.code for f in findings(told)]
