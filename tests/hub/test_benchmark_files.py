"""Benchmarks of published data, on tiny files in the published layouts."""

import numpy as np
import pytest
import torch

from pdefm.config import load_recipe
from pdefm.data.formats.well_writer import write_well
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError
from pdefm.evaluation.measures import MEASURES
from pdefm.hub.benchmark import run_benchmark
from pdefm.hub.benchmark_recipe import BenchmarkRecipe
from pdefm.rollout_metrics import dpot_128_l2re
from tests.data.formats.write_dpot import numbers, write_dpot_scattered, write_dpot_single
from tests.data.formats.write_pdebench import write_pdebench_groups
from tests.tiny_dpot import tiny_model, tiny_processor

CHANNELS = tuple(f"channel_{i}" for i in range(4))


def recipe(name, root, *overrides):
    return load_recipe(f"benchmarks/{name}", BenchmarkRecipe, [f"root={root}", *overrides])


@pytest.fixture
def published(tmp_path):
    """A model without named fields, as published DPOTs are after conversion."""
    folder = tmp_path / "published"
    model = tiny_model(field_names=list(CHANNELS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.1)  # so that a long rollout stays finite
    model.save_pretrained(folder)
    tiny_processor(CHANNELS, padding_value=1.0).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", ["dpot_12", "well", "pdebench"])
def test_without_any_file_there_is_one_error_that_says_where_it_looked(name, tiny_run, tmp_path):
    missing = recipe(name, tmp_path / "nowhere")
    first = tmp_path / "nowhere" / str(missing.sources[0].path)
    with pytest.raises(DataError, match=r"none of its \d+ datasets is there") as caught:
        run_benchmark(missing, str(tiny_run.folder), None, tmp_path / "r.json")
    assert f"no {first}" in str(caught.value)
    assert "--set root=FOLDER" in str(caught.value)
    assert not (tmp_path / "r.json").exists()


def test_dpot_s_files_are_measured_by_dpot_s_protocol(published, tmp_path):
    data = 1 + 0.1 * numbers(3, 16, 16, 20)
    write_dpot_single(tmp_path / "ns2d_1e-5_test.hdf5", data)
    write_dpot_scattered(tmp_path / "pdearena/ns2d_pda/test", numbers(2, 16, 16, 14, 3))
    (tmp_path / "cfdbench").mkdir()
    write_dpot_single(tmp_path / "cfdbench/ns2d_cdb_test.hdf5", numbers(2, 16, 16, 20, 3))
    results = run_benchmark(recipe("dpot_12", tmp_path), published, None, tmp_path / "r.json")
    found = results["datasets"]
    steps = {name: entry["num_steps"] for name, entry in found.items()}
    assert steps == {"ns2d_fno_1e-5": 10, "ns2d_pda": 4, "cfdbench": 10}
    path = tmp_path / "pdebench/swe_pdb/test"
    assert results["skipped"]["swe_pdb"] == f"no such file or folder: {path}"
    assert len(results["skipped"]) == 9
    assert set(found["ns2d_pda"]["horizons"]) == {"1", "4"}
    assert list(found["cfdbench"]["per_field"]) == ["velocity_x", "velocity_y"]
    frames = torch.from_numpy(np.moveaxis(data, 3, 1))[:, :, None]
    still = dpot_128_l2re(frames[:, 9:10].expand(-1, 10, -1, -1, -1), frames[:, 10:])
    baseline = found["ns2d_fno_1e-5"]["baselines"]["persistence"]
    assert baseline["dpot_128_l2re"] == pytest.approx(float(still.mean()), rel=1e-5)
    assert results["definitions"]["dpot_128_l2re"] == MEASURES["dpot_128_l2re"].definition


def test_a_model_can_be_rolled_out_on_dpot_s_grid_itself(published, tmp_path):
    write_dpot_scattered(tmp_path / "pdearena/ns2d_pda/test", numbers(1, 16, 16, 14, 3))
    found = {}
    for points in ("null", "32"):
        chosen = recipe("dpot_12", tmp_path, f"resolution={points}")
        results = run_benchmark(chosen, published, None, tmp_path / f"{points}.json")
        found[points] = results["datasets"]["ns2d_pda"]
    assert found["null"]["resolution"] == [16, 16]
    assert (found["32"]["resolution"], found["32"]["native_resolution"]) == ([32, 32], [16, 16])
    own, interpolated = (entry["metrics"]["dpot_128_l2re"] for entry in found.values())
    assert own != interpolated, "another rollout"


def test_what_a_model_does_not_know_is_skipped_and_a_mask_that_never_counts_is_not(
    tiny_run, tmp_path
):
    write_dpot_single(tmp_path / "ns2d_1e-5_test.hdf5", numbers(1, 16, 16, 20))
    (tmp_path / "cfdbench").mkdir()
    write_dpot_single(tmp_path / "cfdbench/ns2d_cdb_test.hdf5", numbers(1, 16, 16, 20, 3))
    chosen = recipe("dpot_12", tmp_path)
    results = run_benchmark(chosen, str(tiny_run.folder), None, tmp_path / "r.json")
    assert set(results["datasets"]) == {"cfdbench"}
    assert results["skipped"]["ns2d_fno_1e-5"] == "the model does not know field 'vorticity'"
    assert results["protocol"]["history"] == 10


def test_pdebench_s_files_are_measured_on_the_part_that_trainings_hold_out(tiny_run, tmp_path):
    (tmp_path / "2D/shallow-water").mkdir(parents=True)
    path = tmp_path / "2D/shallow-water/2D_rdb_NA_NA.h5"
    write_pdebench_groups(path, "rdb", seeds=tuple(range(12)), num_frames=101, num_y=8)
    chosen = recipe("pdebench", tmp_path)
    results = run_benchmark(chosen, str(tiny_run.folder), None, tmp_path / "r.json")
    entry = results["datasets"]["shallow_water"]
    assert (entry["num_trajectories"], entry["num_steps"]) == (1, 91)
    assert len(results["skipped"]) == len(chosen.sources) - 1


def test_the_well_s_folders_are_measured_on_their_test_split(tiny_run, tmp_path):
    for split, count in (("train", 3), ("valid", 2), ("test", 1)):
        trajectories = [
            Trajectory(
                fields=torch.from_numpy(numbers(30, 2, 16, 16, seed=i)),
                names=("velocity_x", "velocity_y"),
                grid=Grid.regular((16, 16)),
                times=torch.arange(30) * 0.1,
            )
            for i in range(count)
        ]
        (tmp_path / "shear_flow/data" / split).mkdir(parents=True)
        write_well(tmp_path / "shear_flow/data" / split / "a.hdf5", trajectories, "shear_flow")
    chosen = recipe("well", tmp_path)
    results = run_benchmark(chosen, str(tiny_run.folder), None, tmp_path / "r.json")
    entry = results["datasets"]["shear_flow"]
    assert (entry["num_trajectories"], entry["num_steps"]) == (1, 20)
    assert set(entry["horizons"]) == {"1", "6", "12", "20"}
    assert results["skipped"]["planetswe"].endswith("planetswe")
