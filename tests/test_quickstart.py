"""The main job: settings, refusals, and (slow) the whole of it within its budget."""

import json
import resource
import subprocess
import sys
import time

import pytest

from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.hub.load import load_by_name
from pdefm.quickstart import check_output, quickstart_recipe, scratch_recipe
from pdefm.train.data import open_sources
from pdefm.train.pretrain import build_model


def test_settings_reach_the_recipe():
    recipe = quickstart_recipe(["train.max_steps=7", "tuner=full"], 3)
    assert (recipe.train.max_steps, recipe.tuner, recipe.seed) == (7, "full", 3)
    with pytest.raises(RecipeError, match="max_stepz"):
        quickstart_recipe(["train.max_stepz=7"], None)


def test_scratch_has_the_shape_of_the_base_and_the_budget_of_the_adapter():
    adapted = quickstart_recipe([], None)
    scratch = scratch_recipe(adapted)
    base, _ = load_by_name(adapted.base)
    fresh, _ = build_model(scratch, open_sources(scratch.data))
    of_the_file = {"_name_or_path", "architectures", "dtype", "field_names", "transformers_version"}
    one, other = (
        {key: value for key, value in model.config.to_dict().items() if key not in of_the_file}
        for model in (base, fresh)
    )
    assert one == other
    assert fresh.config.field_names == ["phase"]
    assert scratch.data == adapted.data
    assert scratch.train == adapted.train
    assert scratch.task.noise_fraction == adapted.task_options["noise_fraction"]


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(EnvironmentFault, match="holds no quickstart"):
        check_output(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def run_quickstart(folder, *options):
    command = [sys.executable, "-m", "pdefm", "quickstart", "--json", "--out", str(folder)]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_whole_job_fits_its_budget_and_repeats(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    start = time.monotonic()
    first = run_quickstart(tmp_path / "first")
    assert time.monotonic() - start < 300
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # GiB on Linux
    assert peak < 4
    errors = first["errors"]
    assert errors["adapter"] < 0.5 * errors["persistence"]
    assert errors["adapter"] < errors["scratch"]
    assert run_quickstart(tmp_path / "second")["errors"] == errors
    again = time.monotonic()
    assert run_quickstart(tmp_path / "first")["errors"] == errors
    assert time.monotonic() - again < 60  # finished parts are not done again
