"""Who may write into a run folder."""

import json
import re

import pytest

from pdefm.config import load_recipe
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.train.recipe import PretrainRecipe
from pdefm.train.run_folder import HARMLESS, check_run_folder, flat, make_run_folder
from tests.tiny import tiny_recipe

SOURCES = [{"name": "sea", "path": "sea.npy", "axes": "N T X Y", "names": ["height"]}]
OTHER = {
    "train.logging_steps": 7,
    "train.eval_steps": 7,
    "train.save_steps": 7,
    "train.save_total_limit": 7,
    "train.keep_every_steps": 7,
    "train.report_to": "tensorboard",
    "data.num_workers": 2,
}


def make(folder, recipe=None, overwrite=False):
    recipe = recipe or tiny_recipe(SOURCES)
    check_run_folder(folder, recipe, overwrite=overwrite)
    make_run_folder(folder, recipe, overwrite=overwrite, world_size=2)
    return folder


def changed(dotted, value):
    section, key = dotted.split(".")
    recipe = tiny_recipe(SOURCES)
    part = getattr(recipe, section).model_copy(update={key: value})
    return recipe.model_copy(update={section: part})


def test_the_recipe_in_the_folder_reproduces_the_run(tmp_path):
    run = make(tmp_path / "runs" / "a")
    assert load_recipe(run / "recipe.yaml", PretrainRecipe) == tiny_recipe(SOURCES)
    environment = json.loads((run / "environment.json").read_text())
    assert (environment["world_size"], environment["seed"]) == (2, 3)
    assert {"commit", "versions", "hardware"} <= set(environment)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(EnvironmentFault, match="exists and is no run folder"):
            make(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    for out in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(EnvironmentFault) as found:
            make(out)
        assert str(out) in str(found.value)


def test_an_empty_folder_is_taken(tmp_path):
    assert (make(tmp_path) / "recipe.yaml").is_file()


@pytest.mark.parametrize(
    ("dotted", "value"),
    [("train.max_steps", 13), ("model.hidden_size", 32), ("task.noise_fraction", 0.5)],
)
def test_another_recipe_is_refused_by_its_key(tmp_path, dotted, value):
    make(tmp_path)
    with pytest.raises(RecipeError, match=f"another recipe: {dotted} is .* there: got {value}"):
        make(tmp_path, changed(dotted, value))


def test_another_source_is_refused_by_its_key(tmp_path):
    make(tmp_path)
    other = tiny_recipe([SOURCES[0] | {"names": ["depth"]}])
    with pytest.raises(RecipeError, match=r"data\.sources\.0\.names\.0 is 'height' there"):
        make(tmp_path, other)


def test_every_harmless_key_may_change(tmp_path):
    assert set(OTHER) == HARMLESS
    make(tmp_path)
    for dotted, value in OTHER.items():
        assert flat(tiny_recipe(SOURCES).model_dump())[dotted] != value
        make(tmp_path, changed(dotted, value))


def test_a_run_is_entered_again_and_overwritten_only_when_told(tmp_path):
    metrics = make(tmp_path / "a") / "metrics.jsonl"
    metrics.write_text("{}")
    make(tmp_path / "a")
    assert metrics.exists()
    other = changed("train.max_steps", 13)
    make(tmp_path / "a", other, overwrite=True)
    assert not metrics.exists()
    assert load_recipe(tmp_path / "a" / "recipe.yaml", PretrainRecipe) == other


def test_a_lock_alone_makes_no_folder_occupied(tmp_path):
    (tmp_path / "run.lock").write_text("")
    assert (make(tmp_path) / "recipe.yaml").is_file()


def test_an_older_recipe_that_lacks_a_newer_key_is_the_same_recipe(tmp_path):
    path = make(tmp_path) / "recipe.yaml"
    path.write_text(re.sub(r"\n +keep_every_steps: null", "", path.read_text()))
    assert "keep_every_steps" not in path.read_text()
    make(tmp_path)
