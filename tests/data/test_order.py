"""One order for every launch: any number of processes and workers, resumed anywhere."""

import json
import subprocess
import sys

import pytest
import torch

from pdefm.data.formats.well_writer import write_well
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid

START, STOP = 60, 72


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sources; the second one of mixed resolution."""
    root = tmp_path_factory.mktemp("sources")
    generator = torch.Generator().manual_seed(0)
    for name, sizes in {"one": [8, 8], "two": [8, 12]}.items():
        for number, size in enumerate(sizes):
            trajectories = [
                Trajectory(
                    torch.randn(7, 1, size, 8, generator=generator),
                    ("u",),
                    Grid.regular((size, 8)),
                    torch.arange(7.0),
                )
                for _ in range(2)
            ]
            (root / name).mkdir(exist_ok=True)
            write_well(root / name / f"part_{number}.hdf5", trajectories, name)
    return root


def read_in_a_fresh_process(folder, world_size, num_workers, start=START, stop=STOP):
    numbers = [str(number) for number in (world_size, num_workers, start, stop)]
    command = [sys.executable, "-m", "tests.data.order_worker", str(folder), *numbers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def unbroken(folder):
    """What one process without workers reads from the first step to the last."""
    return read_in_a_fresh_process(folder, 1, 0, 0, STOP)["read"]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_a_launch_that_goes_on_in_a_later_epoch_reads_what_the_unbroken_one_read(
    folder, unbroken, world_size, num_workers
):
    found = read_in_a_fresh_process(folder, world_size, num_workers)
    assert found["epochs_before"] >= 2
    assert found["read"] == unbroken[START * 4 :]
    assert len(set(unbroken)) > 200
