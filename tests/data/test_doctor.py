"""The doctor as a whole: silent about good data, clear about bad ones."""

import ast
import json
import re
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

import pdefm
from pdefm.data.checks import CHECKS
from pdefm.data.checks.base import SEVERITIES, Expectations
from pdefm.data.collection import MemoryCollection, TrajectoryCollection
from pdefm.data.doctor import UNREADABLE, diagnose, num_to_look_at, open_splits, quick_diagnosis
from pdefm.data.generate import generate
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError
from pdefm.pdes import PDES
from tests.contracts.test_every_format import SAMPLES
from tests.data.checks.planting import change, clean, setting

PACKAGE = Path(pdefm.__file__).parent
NO_FAULT = ("too_few_frames", "patch_size")
FAMILIES = (
    *("acoustic_wave", "buoyant_smoke", "darcy", "euler_quadrants", "gray_scott"),
    *("kelvin_helmholtz", "korteweg_de_vries", "lid_driven_cavity", "navier_stokes_decaying"),
    *("obstacle_flow", "shallow_water_walls", "fitzhugh_nagumo"),
)
"""Periodic, wall and open sides, masks, shocks, steady and one-dimensional data."""


@pytest.mark.parametrize("family", FAMILIES)
def test_clean_data_of_our_equations_have_no_findings(family, tmp_path):
    num_frames = 1 if PDES[family].steady else 12
    out = generate(
        *(family,), num_trajectories=3, resolution=32, num_frames=num_frames, seed=4, out=tmp_path
    )
    flows = "velocity_y" in PDES[family]().channel_names and "divergence" in (
        PDES[family].invariant_kinds
    )
    found = diagnose(open_splits(out), Expectations(patch_size=8, incompressible=flows)).findings
    assert [str(finding) for finding in found] == []


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_small_file_of_every_format_can_be_looked_at(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = SAMPLES[name].save(tmp_path / f"sample{SAMPLES[name].suffix}")
    found = diagnose(open_splits(path, **SAMPLES[name].options))
    assert found.num_checked == found.num_trajectories > 0
    assert found.count("error") == 0


def codes_in_checks():
    return {code: kind.severity for name in CHECKS for code, kind in CHECKS[name].codes.items()} | {
        "unreadable": UNREADABLE.severity
    }


def test_every_code_is_in_the_readme_with_its_severity():
    text = (PACKAGE / "data" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))
    assert rows == codes_in_checks()


def test_every_code_belongs_to_one_check_and_says_what_to_do():
    codes = [code for name in CHECKS for code in CHECKS[name].codes]
    assert len(codes) == len(set(codes))
    for name in CHECKS:
        assert CHECKS[name].codes
        for kind in CHECKS[name].codes.values():
            assert kind.severity in SEVERITIES
            assert kind.what
            assert kind.do
            assert set(kind.hidden_by) <= set(codes_in_checks())


def test_no_check_is_forgotten():
    folder = PACKAGE / "data" / "checks"
    checks = {
        path.stem
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Check" for base in node.bases)
    }
    assert checks == {CHECKS.targets[name].partition(":")[0].rpartition(".")[2] for name in CHECKS}


def spoilt():
    """A field of NaN in three of five trajectories, one of which is also frozen; a copy."""
    data = clean(5)
    for index in (1, 3, 4):
        data = change(data, index, setting((7, 0), nan))
    data = change(data, 4, setting(slice(9, None), 1.0))
    return MemoryCollection([*data, data[0]])


def test_findings_are_grouped_and_the_worst_come_first():
    diagnosis = diagnose(spoilt())
    worst, next_one, *notes = diagnosis.findings
    assert (worst.code, worst.num_places, worst.trajectories) == ("nonfinite", 3, {"": (1, 3, 4)})
    assert next_one.code == "duplicate_trajectory"
    assert {finding.severity for finding in notes} <= {"note"}
    assert diagnosis.sentence() == "1 error, 1 warning (6 of 6 trajectories looked at)"
    assert str(worst) == (
        "nonfinite: a.hdf5, trajectory 1, frame 7, density (and in 2 more): NaN or infinite"
        " values: got 768 of 768 points. Repair the file, or train with nonfinite: drop or mask"
    )


def test_the_result_is_plain_json():
    found = json.loads(json.dumps(diagnose(spoilt()).as_json(), allow_nan=False))
    first = found["findings"][0]
    assert {key: first[key] for key in ("code", "severity", "file", "trajectory", "frame")} == {
        "code": "nonfinite",
        "severity": "error",
        "file": "a.hdf5",
        "trajectory": 1,
        "frame": 7,
    }
    assert (first["field"], first["split"]) == ("density", None)
    assert first["trajectories"] == {"all": [1, 3, 4]}
    assert found["checked"] == {
        "num_checked": 6,
        "num_trajectories": 6,
        "num_frames": 126,
        "splits": [],
        "checks": list(CHECKS),
    }
    assert (found["num_errors"], found["num_warnings"], found["num_notes"]) == (1, 1, 0)


class Counted(TrajectoryCollection):
    """Counts the frames that are read, and fails where it is told to."""

    def __init__(self, parent: TrajectoryCollection, broken: tuple[int, ...] = ()) -> None:
        self.parent, self.broken, self.num_read = parent, broken, {}

    def __len__(self) -> int:
        return len(self.parent)

    def num_frames(self, index: int) -> int:
        return self.parent.num_frames(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        if index in self.broken and start > 0:
            raise DataError("a.hdf5: times must grow strictly", got="0.3, 0.2", do="Sort them")
        found = self.parent.read(index, start, stop)
        self.num_read[index] = self.num_read.get(index, 0) + found.num_frames
        return found


def test_every_trajectory_is_read_once_for_all_checks():
    counted = Counted(clean(4))
    diagnosis = diagnose(counted)
    assert (diagnosis.num_checked, diagnosis.num_frames) == (4, 84)
    assert {index: counted.num_read[index] for index in (1, 2, 3)} == {1: 21, 2: 21, 3: 21}


def test_a_trajectory_that_cannot_be_read_is_a_finding_and_the_others_are_looked_at():
    bad = change(clean(4), 3, setting((2, 1, 0, 0), nan))
    found = diagnose(Counted(bad, broken=(1,))).findings
    assert [finding.code for finding in found][:2] == ["unreadable", "nonfinite"]
    assert found[0].got == "a.hdf5: times must grow strictly (0.3, 0.2)"
    assert found[0].place.trajectory == 1


def test_some_trajectories_can_stand_for_all():
    counted, told = Counted(clean(9)), []
    diagnosis = diagnose(counted, max_trajectories=3, progress=told.append)
    assert (diagnosis.num_checked, diagnosis.num_trajectories) == (3, 9)
    assert {index for index, frames in counted.num_read.items() if frames > 2} == {0, 4, 8}
    assert told == [1, 1, 1]
    assert num_to_look_at({"": counted}, 3) == 3


def test_the_quick_diagnosis_is_bounded():
    counted = Counted(change(clean(40), 0, setting((3, 0, 0, 0), nan)))
    found = quick_diagnosis(counted, max_seconds=0.0)
    assert [f.code for f in found if f.severity == "error"] == ["nonfinite"]
    assert sum(frames > 2 for frames in counted.num_read.values()) == 1
    assert len(quick_diagnosis(MemoryCollection(list(clean(3))))) == 0


def test_the_memory_of_an_endless_source_is_not_asked_for():
    endless = Counted(clean(5))
    endless.num_typical = 2
    assert diagnose(endless).num_checked == 2


def test_splits_of_a_folder_are_compared(tmp_path):
    for split in ("train", "test"):
        generate(
            *("gray_scott",),
            **{"num_trajectories": 2, "resolution": 32, "num_frames": 12, "seed": 0},
            out=tmp_path,
            split=split,
        )
    splits = open_splits(tmp_path)
    assert list(splits) == ["train", "test"]
    diagnosis = diagnose(splits)
    assert (diagnosis.findings, diagnosis.splits, diagnosis.num_checked) == (
        [],
        ("train", "test"),
        4,
    )
    leaky = {"train": splits["train"], "test": MemoryCollection([splits["train"][1]])}
    found = diagnose(leaky).findings
    assert [(f.code, f.place.split) for f in found if f.severity == "error"] == [
        ("leaked_trajectory", "test")
    ]


def test_an_empty_collection_is_an_error():
    with pytest.raises(DataError, match="is empty"):
        diagnose(MemoryCollection([]))


def test_trajectories_of_several_shapes_and_lengths_are_all_looked_at():
    small = [
        replace(t, fields=t.fields[:, :1], names=("other",), units=("unknown",)) for t in clean(2)
    ]
    data = MemoryCollection([*clean(2), *(t.frames(0, 5) for t in small)])
    found = diagnose(data)
    assert found.num_frames == 2 * 21 + 2 * 5
    assert {finding.severity for finding in found.findings} <= {"note"}
