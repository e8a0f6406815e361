"""The study: numbers of trajectories, gain, and files."""

import pytest

from pdefm.errors import RecipeError
from pdefm.models.loading import load_model, weights_sha256
from pdefm.train.study import base_shape, chosen_shots, parse_rates, parse_shots, run_study
from pdefm.train.study_journal import FinishedTrainings
from pdefm.train.study_results import sample_efficiency
from tests.tiny import tiny_finetune, write_waves


def test_shots_are_read_and_must_be_in_the_data():
    assert parse_shots("16,4") == [4, 16]
    assert chosen_shots(None, 70) == [4, 16, 64]
    assert chosen_shots(None, 3) == [3]
    with pytest.raises(RecipeError, match="asks for 64 trajectories: got data with 12"):
        chosen_shots([4, 64], 12)
    for text in ("0", "a", "4,"):
        with pytest.raises(RecipeError, match="--shots"):
            parse_shots(text)


@pytest.mark.parametrize(
    ("finetuned", "scratch", "factor", "at_least"),
    [
        ([0.2, 0.1], [0.8, 0.2], 4.0, False),
        ([0.2, 0.1], [0.8, 0.4], 4.0, True),
        ([0.5, 0.1], [0.8, 0.2], 2.0, False),
        ([0.5, 0.1], [0.4, 0.2], 1.0, False),
    ],
)
def test_the_gain_is_the_ratio_of_the_data_for_the_same_error(finetuned, scratch, factor, at_least):
    gain = sample_efficiency([4, 16], finetuned, scratch)
    assert gain["factor"] == pytest.approx(factor)
    assert gain["at_least"] is at_least


@pytest.fixture
def recipe(tiny_run, tmp_path):
    path = write_waves(tmp_path / "lake.npy", 5, 6, 1, 16, 16, seed=7)
    source = {"name": "lake", "path": str(path), "axes": "N T C X Y", "names": ["height"]}
    return tiny_finetune(tiny_run.model, source, train={"max_steps": 2, "warmup_steps": 0})


def test_a_small_study_writes_its_files_and_is_reproducible(recipe, tiny_run, tmp_path):
    results = run_study(recipe, tiny_run.model, tmp_path / "a", shots=[2, 4], num_seeds=2)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"results.json", "study.png"}
    assert set(results["errors"]) == {"finetuned", "scratch", "fno", "persistence"}
    assert all(len(errors["mean"]) == 2 for errors in results["errors"].values())
    again = run_study(recipe, tiny_run.model, tmp_path / "b", shots=[2, 4], num_seeds=2)
    assert again["errors"] == results["errors"]


def test_a_study_that_was_killed_trains_only_what_was_missing(recipe, tiny_run, tmp_path):
    out = tmp_path / "study"
    base, processor = load_model(tiny_run.model)
    key = weights_sha256(base), base_shape(base, processor)
    rates = dict.fromkeys(("finetuned", "scratch", "fno"), recipe.train.learning_rate)
    FinishedTrainings(out, recipe, *key, rates).add("fno", 2, recipe.seed, 0.125)
    results = run_study(recipe, tiny_run.model, out, shots=[2], num_seeds=1)
    assert results["errors"]["fno"]["values"] == [[0.125]]
    assert results["errors"]["scratch"]["values"] != [[0.125]]
    assert not (tmp_path / "study.unfinished.json").exists()


def test_another_base_of_the_same_shape_only_trains_what_starts_from_it(recipe, tmp_path):
    shape = {"config": {"hidden_size": 8}}
    rates = dict.fromkeys(("fno", "scratch", "lora"), 1e-3)
    for label, error in (("fno", 0.5), ("scratch", 0.25), ("lora", 0.125)):
        FinishedTrainings(tmp_path / "s", recipe, "one", shape, rates).add(label, 2, 0, error)
    other = FinishedTrainings(tmp_path / "s", recipe, "another", shape, rates)
    assert other.known == {("fno", 2, 0): 0.5, ("scratch", 2, 0): 0.25}
    faster = FinishedTrainings(tmp_path / "s", recipe, "another", shape, rates | {"fno": 2e-3})
    assert faster.known == {("scratch", 2, 0): 0.25}
    fewer = FinishedTrainings(tmp_path / "s", recipe, "one", shape, {"scratch": 1e-3})
    assert fewer.known == {("fno", 2, 0): 0.5, ("scratch", 2, 0): 0.25, ("lora", 2, 0): 0.125}
    wide = {"config": {"hidden_size": 16}}
    wider = FinishedTrainings(tmp_path / "s", recipe, "one", wide, rates)
    assert wider.known == {("lora", 2, 0): 0.125}
    longer = recipe.model_copy(update={"seed": recipe.seed + 1})
    assert FinishedTrainings(tmp_path / "s", longer, "one", shape, rates).known == {}


def test_several_tuners_are_compared_and_each_has_its_gain_at_every_number(
    recipe, tiny_run, tmp_path
):
    tuners = ["head", "lora"]
    results = run_study(
        recipe, tiny_run.model, tmp_path / "s", shots=[2, 4], num_seeds=1, tuners=tuners
    )
    assert set(results["errors"]) == {"head", "lora", "scratch", "fno", "persistence"}
    assert {label: len(gains) for label, gains in results["gains"].items()} == {
        "head": 2,
        "lora": 2,
    }
    assert results["errors"]["head"]["values"] != results["errors"]["lora"]["values"]
    with pytest.raises(RecipeError, match="names one twice"):
        run_study(recipe, tiny_run.model, tmp_path / "t", tuners=["lora", "lora"])
    with pytest.raises(RecipeError, match="lora"):
        run_study(recipe, tiny_run.model, tmp_path / "t", tuners=["lorra"])


def test_rates_are_read_and_must_be_of_contenders(recipe, tiny_run, tmp_path):
    assert parse_rates("scratch=5e-3,fno=0.01") == {"scratch": 5e-3, "fno": 0.01}
    for text in ("scratch", "fno=a", "fno=-1", "fno=inf", "fno=nan", "fno=1,fno=2", ""):
        with pytest.raises(RecipeError, match="--rates"):
            parse_rates(text)
    with pytest.raises(RecipeError, match="names unet: got a study of finetuned, scratch, fno"):
        run_study(recipe, tiny_run.model, tmp_path / "s", rates={"unet": 1e-3})


def test_a_contender_may_learn_at_its_own_rate(recipe, tiny_run, tmp_path):
    def study(name, rates):
        return run_study(
            recipe, tiny_run.model, tmp_path / name, shots=[2], num_seeds=1, rates=rates
        )

    alike, own = study("a", None), study("b", {"scratch": 1e-2})
    rate = recipe.train.learning_rate
    assert own["learning_rates"] == {"finetuned": rate, "scratch": 1e-2, "fno": rate}
    assert own["errors"]["fno"] == alike["errors"]["fno"]
    assert own["errors"]["scratch"] != alike["errors"]["scratch"]
