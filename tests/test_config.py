"""Recipes: reading, extending, overriding, and what a user is told about a wrong one."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

import pdefm.config as config
from pdefm.config import Section, dump_recipe, find_recipe, load_recipe, section_from_dict
from pdefm.errors import RecipeError


class Forecast(Section):
    name: Literal["forecast"] = "forecast"
    horizon: int = Field(default=1, gt=0)


class Inverse(Section):
    name: Literal["inverse"]
    parameter: str


class Train(Section):
    max_steps: int
    """Optimizer steps."""
    learning_rate: float = 1e-3
    bf16: bool = False

    @field_validator("learning_rate")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("must be greater than 0")
        return value


class Source(Section):
    path: Path
    weight: float = 1.0


class Recipe(Section):
    train: Train
    sources: tuple[Source, ...] = ()
    task: Annotated[Forecast | Inverse, Field(discriminator="name")] = Forecast()
    notes: dict[str, str | float | None] = Field(default_factory=dict)


@pytest.fixture
def write(tmp_path):
    def write_recipe(text: str, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_recipe


@pytest.fixture
def shipped(tmp_path, monkeypatch, write):
    for name in ("pretrain/nano", "finetune/nano", "pretrain/base"):
        write("train: {max_steps: 7}", f"shipped/{name}.yaml")
    monkeypatch.setattr(config, "recipes_folder", lambda: tmp_path / "shipped")
    return tmp_path / "shipped"


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, Recipe, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", "+1e-3"])
def test_scientific_notation_is_a_number(write, text):
    recipe = load_recipe(write(f"train: {{max_steps: 1}}\nnotes: {{x: {text}}}"), Recipe)
    assert recipe.notes["x"] == 1e-3


@pytest.mark.parametrize("word", ["no", "on", "1:30", "2026-01-01", "007", "1e"])
def test_words_stay_words(write, word):
    recipe = load_recipe(write(f"train: {{max_steps: 1}}\nnotes: {{x: {word}}}"), Recipe)
    assert recipe.notes["x"] == word


def test_an_integer_is_accepted_for_a_float_and_the_section_is_frozen(write):
    recipe = load_recipe(write("train: {max_steps: 1, learning_rate: 2}"), Recipe)
    assert recipe.train.learning_rate == 2.0
    with pytest.raises(ValidationError, match="frozen"):
        recipe.train.max_steps = 3
    assert Train.model_fields["max_steps"].description == "Optimizer steps."


def test_extends_merges_mappings_and_replaces_lists(write):
    write("train: {max_steps: 1, bf16: true}\nsources: [{path: a}, {path: b}]", "base.yaml")
    path = write("extends: base.yaml\ntrain: {max_steps: 5}\nsources: [{path: c}]")
    recipe = load_recipe(path, Recipe)
    assert (recipe.train.max_steps, recipe.train.bf16) == (5, True)
    assert [source.path for source in recipe.sources] == [Path("c")]


def test_extends_finds_a_shipped_recipe_and_refuses_a_circle(write, shipped):
    path = write("extends: pretrain/nano\ntrain: {bf16: true}")
    assert load_recipe(path, Recipe).train == Train(max_steps=7, bf16=True)
    write("extends: b.yaml", "a.yaml")
    assert "a.yaml -> b.yaml -> a.yaml" in message(
        write("extends: a.yaml", "b.yaml").parent / "a.yaml"
    )
    assert "extends must name one recipe" in message(write("extends: [a, b]"))


def test_overrides_reach_into_sections_lists_and_missing_parts(write):
    path = write("train: {max_steps: 1}\nsources: [{path: a}, {path: b}]")
    recipe = load_recipe(path, Recipe, ["train.learning_rate=1e-4", "sources.1.weight=2"])
    assert recipe.train.learning_rate == 1e-4
    assert [source.weight for source in recipe.sources] == [1.0, 2.0]
    other = load_recipe(path, Recipe, ["task={name: forecast, horizon: 4}", "notes.a=b=c"])
    assert (other.task, other.notes) == (Forecast(horizon=4), {"a": "b=c"})


def test_an_override_does_not_leak_through_a_yaml_anchor(write):
    path = write("train: {max_steps: 1}\nsources: [&one {path: a}, *one]")
    recipe = load_recipe(path, Recipe, ["sources.0.weight=3"])
    assert [source.weight for source in recipe.sources] == [3.0, 1.0]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.max_steps", "--set needs key=value: got 'train.max_steps'"),
        ("train..max_steps=1", "--set needs key=value"),
        ("train.max_steps.x=1", "train.max_steps has no keys: got 1"),
        ("sources.2.weight=1", "sources is a list of 1: got '2'. Use an index from 0 to 0"),
        ("sources.one.weight=1", "got 'one'"),
        ("train.max_steps=[1", "--set train.max_steps, line 1: not valid YAML"),
        ("train.max_step=1", "train.max_step: unknown key, did you mean 'train.max_steps'?"),
    ],
)
def test_a_wrong_override_is_explained(write, override, says):
    assert says in message(write("train: {max_steps: 1}\nsources: [{path: a}]"), override)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: {max_step: 1}", "train.max_step: unknown key, did you mean 'train.max_steps'?"),
        ("train: {max_step: 1}", "train.max_steps: missing"),
        ("train: {max_steps: many}", "train.max_steps: must be a valid integer"),
        ("train: {max_steps: many}", "got 'many'"),
        (
            "train: {max_steps: 1, learning_rate: -1}",
            "train.learning_rate: must be greater than 0, got -1",
        ),
        (
            "train: {max_steps: 1}\nsources: [{path: a}, {path: b, wieght: 2}]",
            "'sources.1.weight'?",
        ),
        (
            "train: {max_steps: 1}\ntask: {name: forecast, horizons: 2}",
            "task.horizons: unknown key, did you mean 'task.horizon'?",
        ),
        ("train: {max_steps: 1}\ntask: {name: inverse}", "task.parameter: missing"),
        (
            "train: {max_steps: 1}\ntask: {name: forecast, horizon: 0}",
            "task.horizon: must be greater than 0, got 0",
        ),
        (
            "train: {max_steps: 1}\nqqq: 2",
            "qqq: unknown key, known here: notes, sources, task, train",
        ),
    ],
)
def test_a_wrong_recipe_is_explained_by_its_dotted_path(write, text, says):
    assert says in message(write(text))


def test_at_most_three_errors_are_told_and_the_rest_counted(write):
    said = message(write("a: 1\nb: 2\nc: 3\nd: 4\ntrain: {max_steps: 1}"))
    assert said.count("unknown key") == 3
    assert "and 1 more" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "recipe is empty"),
        ("# only this", "recipe is empty"),
        ("\n- a\n- b", "line 2: recipe must be key: value lines: got a list"),
        ("word", "line 1: recipe must be key: value lines: got a single value"),
        ("train:\n  max_steps: 1\n bf16: [", "line 3: not valid YAML"),
        (
            "train: {max_steps: 1}\ntrain: {max_steps: 2}",
            "line 2: not valid YAML: got 'train' is already in line 1",
        ),
        ("train: !!python/object:os.system {}", "line 1: not valid YAML"),
        ("train: \x00", "not valid YAML"),
    ],
)
def test_a_broken_file_is_explained_by_its_line(write, text, says):
    assert says in message(write(text))


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "weights.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8 text" in message(path)


def test_a_dumped_recipe_reads_back_equal(write):
    recipe = Recipe(
        train=Train(max_steps=3, learning_rate=1e-17),
        sources=(Source(path=Path("a b"), weight=float("inf")),),
        task=Inverse(name="inverse", parameter="no"),
        notes={"number": "1e-3", "date": "2026-01-01", "null": None, "empty": "", "ü": "a: b # c"},
    )
    assert load_recipe(write(dump_recipe(recipe)), Recipe) == recipe


def test_recipes_are_found_by_path_full_name_or_unique_name(shipped, write):
    assert find_recipe("pretrain/nano") == shipped / "pretrain/nano.yaml"
    assert find_recipe("pretrain/nano.yaml") == shipped / "pretrain/nano.yaml"
    assert find_recipe("base") == shipped / "pretrain/base.yaml"
    own = write("a: 1")
    assert find_recipe(own) == own
    with pytest.raises(RecipeError, match="Use finetune/nano or pretrain/nano"):
        find_recipe("nano")
    with pytest.raises(RecipeError, match="Did you mean 'pretrain/base'"):
        find_recipe("bse")


def test_a_mapping_is_checked_under_the_name_of_its_place():
    with pytest.raises(
        RecipeError, match=r"^config.json: max_step: unknown key, did you mean 'max_steps'"
    ):
        section_from_dict(Train, {"max_step": 1}, "config.json")
    assert section_from_dict(Train, {"max_steps": 1}, "config.json") == Train(max_steps=1)
