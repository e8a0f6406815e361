"""Every shipped recipe is complete, checked and says what it is for."""

from collections.abc import Callable

import pytest

from pdefm.config import LAUNCHERS, Section, dump_recipe, find_recipe, load_recipe, recipes_folder
from pdefm.hub.benchmark_recipe import BenchmarkRecipe
from pdefm.models.mixers import MIXERS
from pdefm.pdes import PDES
from pdefm.tasks import TASKS
from pdefm.train.recipe import (
    DEFAULT_FINETUNE,
    FinetuneRecipe,
    PretrainRecipe,
    compose_finetune,
)
from pdefm.tuners import TUNERS

ROOT = recipes_folder()
FILES = [
    path
    for path in ROOT.rglob("*")
    if path.is_file() and path.relative_to(ROOT).parts[0] not in LAUNCHERS
]
RECIPES = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in FILES}


def load_finetune(name: str) -> Section:
    if name == DEFAULT_FINETUNE:  # base and data come from the command line
        return compose_finetune(None, {"base": "some/base"}, {"path": "data/some.hdf5"})
    return load_recipe(name, FinetuneRecipe)


# A new folder of recipes adds a line: how one of them is read and checked.
LOADERS: dict[str, Callable[[str], Section]] = {
    "pretrain": lambda name: load_recipe(name, PretrainRecipe),
    "finetune": load_finetune,
    "benchmarks": lambda name: load_recipe(name, BenchmarkRecipe),
}

every_recipe = pytest.mark.parametrize("name", sorted(RECIPES))


def test_there_are_recipes_and_this_test_knows_every_folder():
    assert {"pretrain/nano_smoke", "pretrain/quickstart", "finetune/quickstart"} <= RECIPES.keys()
    folders = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert folders == set(LOADERS)


def test_every_file_is_a_yaml_that_a_name_finds():
    assert all(path.suffix == ".yaml" for path in FILES)
    assert all(find_recipe(name) == path for name, path in RECIPES.items())


@every_recipe
def test_it_loads_and_comes_back_from_its_own_dump(name, tmp_path):
    recipe = LOADERS[name.partition("/")[0]](name)
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "recipe.yaml", type(recipe)) == recipe


@every_recipe
def test_its_first_line_says_what_it_is_for(name):
    first = RECIPES[name].read_text(encoding="utf-8").partition("\n")[0]
    assert first.startswith("# ")
    assert len(first.split()) >= 6
    assert first.endswith(".")


@every_recipe
def test_what_it_names_exists(name):
    recipe = LOADERS[name.partition("/")[0]](name)
    sources = recipe.sources if isinstance(recipe, BenchmarkRecipe) else recipe.data.sources
    families = [s.generate.family for s in sources if s.generate is not None]
    assert set(families) <= set(PDES)
    if isinstance(recipe, BenchmarkRecipe):
        steps = [source.num_steps or recipe.num_steps or 1 for source in recipe.sources]
        assert max(recipe.horizons) <= max(steps)
        return
    assert recipe.train.warmup_steps < recipe.train.max_steps
    assert recipe.train.global_batch_size % recipe.train.micro_batch_size == 0
    if isinstance(recipe, FinetuneRecipe):
        assert recipe.task in TASKS
        assert recipe.tuner in TUNERS
    else:
        assert recipe.model.mixer in MIXERS
