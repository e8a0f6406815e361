"""A benchmark is one recipe, and gives the same numbers twice."""

import json

import pytest

from pdefm.config import section_from_dict
from pdefm.errors import DataError, EnvironmentFault
from pdefm.evaluation.compare import equal_bit_for_bit, read_results
from pdefm.hub.benchmark import run_benchmark
from pdefm.hub.benchmark_recipe import BenchmarkRecipe
from tests.tiny import write_waves


@pytest.fixture
def recipe(tmp_path):
    air = write_waves(tmp_path / "air.npy", 4, 9, 2, 16, 16)
    described = {"axes": "N T C X Y", "validation_fraction": 0.5}
    known = {"path": str(air), "names": ["velocity_x", "velocity_y"], **described}
    unknown = {"path": str(air), "names": ["salt", "heat"], **described}
    values = {
        "name": "lake",
        "num_steps": 4,
        "horizons": [1, 4],
        "sources": [
            {"name": "air", **known},
            {"name": "sea", **unknown},
            {"name": "allen_cahn", "generate": {"family": "allen_cahn"}},
            {"name": "waves", "generate": {"family": "korteweg_de_vries"}},
        ],
    }
    return section_from_dict(BenchmarkRecipe, values, "lake")


def test_what_fits_is_measured_and_the_rest_is_named_with_its_reason(recipe, tiny_run, tmp_path):
    results = run_benchmark(recipe, str(tiny_run.folder), None, tmp_path / "r.json")
    assert set(results["datasets"]) == {"air"}
    assert results["skipped"]["sea"] == "the model does not know field 'salt'"
    assert results["skipped"]["allen_cahn"] == "the model does not know field 'phase'"
    entry = results["datasets"]["air"]
    assert entry["num_trajectories"] == 2, "the held-out half"
    assert set(entry["horizons"]) == {"1", "4"}
    assert entry["horizons"]["4"] == entry["per_step"]["relative_l2"]["mean"][3]
    assert results["benchmark"]["horizons"] == [1, 4]
    assert json.loads((tmp_path / "r.json").read_text())["skipped"] == results["skipped"]


def test_the_same_recipe_gives_the_same_file(recipe, tiny_run, tmp_path):
    for name in ("a.json", "b.json"):
        run_benchmark(recipe, str(tiny_run.folder), None, tmp_path / name)
    assert equal_bit_for_bit(*(read_results(tmp_path / name) for name in ("a.json", "b.json")))


def test_a_model_that_fits_nothing_and_a_file_that_exists_are_refused(recipe, tiny_run, tmp_path):
    few = recipe.model_copy(update={"sources": recipe.sources[1:]})
    with pytest.raises(DataError, match="no dataset for this model: got sea"):
        run_benchmark(few, str(tiny_run.folder), None, tmp_path / "r.json")
    assert not (tmp_path / "r.json").exists()
    (tmp_path / "r.json").write_text("mine")
    with pytest.raises(EnvironmentFault, match="exists"):
        run_benchmark(recipe, str(tiny_run.folder), None, tmp_path / "r.json")
