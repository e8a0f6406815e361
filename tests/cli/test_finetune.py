"""``pdefm finetune`` on a folder of foreign NetCDF files: what it says, picks and refuses."""

import json

import numpy as np
import pytest

from tests.tiny import waves


@pytest.fixture
def foreign(tmp_path):
    """Four runs of somebody else's model: a known field under its name, and an unknown one."""
    h5netcdf = pytest.importorskip("h5netcdf")
    folder = tmp_path / "foreign"
    folder.mkdir()
    for i, run in enumerate(waves(4, 8, 2, 16, 16, seed=5)):
        with h5netcdf.File(folder / f"run_{i}.nc", "w") as file:
            file.dimensions = {"time": 8, "x": 16, "y": 16}
            file.create_variable("time", ("time",), data=np.arange(8) * 0.5)
            for name in ("x", "y"):
                file.create_variable(name, (name,), data=np.arange(16) / 16)
            for channel, name in enumerate(("height", "salinity")):
                file.create_variable(name, ("time", "x", "y"), data=run[:, channel])
    return folder


@pytest.fixture
def options(foreign, tiny_run, tmp_path):
    return [
        *("finetune", "--model", tiny_run.model, "--data", foreign, "--task", "new_physics"),
        *("--set", "train.global_batch_size=4", "--set", "train.micro_batch_size=2"),
        *("--set", "train.report_to=none", "--set", "train.warmup_steps=0"),
        *("--out", tmp_path / "run"),
    ]


def test_it_says_what_is_to_come_and_trains(call, options, tmp_path):
    called = call(*options, "--steps", 3)
    assert called.status == 0, called.err
    for line in ("+ salinity (from zero)", "- velocity_x", "= height", "data foreign: 3 traj"):
        assert line in called.out
    for part in (
        "trains: ",
        "memory: about",
        "the base before training foreign",
        "persistence foreign",
    ):
        assert part in called.out
    config = json.loads(
        (tmp_path / "run/checkpoints/step-000003/model/adapter_config.json").read_text()
    )
    assert config["added_fields"] == {"salinity": None}
    assert config["dropped_fields"] == ["velocity_x", "velocity_y"]


def test_a_budget_picks_the_steps(call, options):
    result = call(*options, "--budget", "3s", "--json").result
    assert result["step"] >= 5
    assert result["seconds"] < 6


def test_a_study_prints_the_gain_and_writes_a_picture(call, options, tmp_path):
    called = call(*options, "--study", "--shots", "1,3", "--seeds", 1, "--steps", 2)
    assert called.status == 0, called.err
    assert "persistence" in called.out
    assert "the data" in called.out or "no gain" in called.out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["shots"] == [1, 3]
    assert (tmp_path / "run" / "study.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--task", "new_phisics"], "Did you mean 'new_physics'"),
        (["--tuner", "lorra"], "Did you mean 'lora'"),
        (["--study", "--shots", "4,64"], "asks for 64 trajectories"),
        (["--study", "--budget", "1min"], "equal steps"),
        (["--budget", "soon"], "--budget is no time"),
        (["--budget", "1min", "--steps", "3"], "one of --steps"),
        (["--add-field", "salt=height"], "no field to add"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(call, options, tmp_path, more, message):
    called = call(*options, *more)
    assert message in called.err
    assert called.status != 0
    assert len(called.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_too_few_trajectories_for_a_split_is_one_line(call, options, foreign, tmp_path):
    for path in sorted(foreign.iterdir())[1:]:
        path.unlink()
    called = call(*options, "--steps", 2)
    assert called.status != 0
    assert "at least two trajectories" in called.err
    assert not (tmp_path / "run").exists()
