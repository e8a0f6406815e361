"""``pdefm evaluate --baselines``: trained on the data's own training part, beside the model."""

import json

import pytest

from tests.tiny import write_waves

DESCRIBED = ("--axes", "N T C X Y", "--names", "height")
FEW = ("--baselines", "fno,scratch", "--baseline-steps", 2)


@pytest.fixture
def recipe(tmp_path):
    path = write_waves(tmp_path / "sea.npy", 6, 6, 1, 16, 16)
    source = {
        **{"name": "sea", "path": str(path), "axes": "N T C X Y", "names": ["height"]},
        "validation_fraction": 0.4,
    }
    values = {"name": "lake", "seed": 3, "baseline_trajectories": 3, "sources": [source]}
    (tmp_path / "lake.yaml").write_text(json.dumps(values))
    return tmp_path / "lake.yaml"


@pytest.fixture
def with_solved(recipe):
    """The same with an equation, of which the recipe has one training trajectory."""
    values = json.loads(recipe.read_text())
    shape = {"family": "shallow_water", "resolution": 16, "num_frames": 6}
    solved = {"name": "solved", "generate": {**shape, "num_trajectories": 1, "num_validation": 1}}
    recipe.write_text(json.dumps(values | {"sources": [*values["sources"], solved]}))
    return recipe


def test_a_benchmark_trains_them_on_other_samples_of_each_dataset(
    call, with_solved, tiny_run, tmp_path
):
    command = ("evaluate", with_solved, "--model", tiny_run.model, "--json")
    results = call(*command, *FEW, "--out", tmp_path / "a.json").result
    assert json.loads((tmp_path / "a.json").read_text()) == results
    for name in ("sea", "solved"):
        baselines = results["datasets"][name]["baselines"]
        assert set(baselines) == {"fno", "scratch", "persistence", "linear_extrapolation"}
        for label, version in (("fno", "2."), ("scratch", "No")):
            training = baselines[label]["training"]
            assert training["num_trajectories"] == 3
            assert (training["steps"], training["seed"]) == (2, 3)
            assert str(training["version"]).startswith(version)
            assert len(baselines[label]["per_step"]["relative_l2"]["mean"]) == 3


def test_seed_and_rate_of_the_command_line_replace_the_recipes(call, recipe, tiny_run, tmp_path):
    few = ("--baselines", "scratch", "--baseline-steps", 2)
    command = ("evaluate", recipe, "--model", tiny_run.model, *few, "--json", "--out")
    one = call(*command, tmp_path / "a.json").result
    given = ("--seed", 4, "--baseline-learning-rate", 0.005)
    other = call(*command, tmp_path / "b.json", *given).result
    assert (one["seed"], other["seed"]) == (3, 4)
    trainings = [r["datasets"]["sea"]["baselines"]["scratch"]["training"] for r in (one, other)]
    assert [training["seed"] for training in trainings] == [3, 4]
    assert [training["learning_rate"] for training in trainings] == [0.01, 0.005]
    assert trainings[0]["last_loss"] != trainings[1]["last_loss"]


def test_the_table_says_what_they_are(call, recipe, tiny_run, tmp_path):
    few = ("--baselines", "unet", "--baseline-steps", 1, "--baseline-trajectories", 2)
    called = call("evaluate", recipe, "--model", tiny_run.model, *few, "--out", tmp_path / "a.json")
    assert called.status == 0, called.err
    assert "unet: U-Net, " in called.out
    assert "weights, trained on 2 trajectories for " in called.out
    assert "train unet on sea: 100/100 %" in called.err


def test_data_of_its_own_are_given_beside_those_that_are_measured_on(call, tiny_run, tmp_path):
    held_out = write_waves(tmp_path / "calm.npy", 2, 6, 1, 16, 16, seed=8)
    train = write_waves(tmp_path / "rough.npy", 5, 6, 1, 16, 16, seed=9)
    command = ("evaluate", "--model", tiny_run.model, *DESCRIBED, *FEW, "--data", held_out)
    result = call(
        *command, "--baseline-data", train, "--seed", 7, "--json", "--out", tmp_path / "r.json"
    ).result
    training = result["datasets"]["calm"]["baselines"]["fno"]["training"]
    assert training["num_trajectories"] == 5
    assert training["seed"] == result["seed"] == 7
    for more, message in (
        ([], "--baselines need data to train on: got"),
        (["--baseline-data", held_out], "calm: baselines would be measured on what they"),
        (["--baseline-data", train, "--baseline-data", train], "come once for each --data"),
    ):
        called = call(*command, *more, "--out", tmp_path / "none.json")
        assert message in called.err
        assert called.status != 0
        assert len(called.err.strip().splitlines()) == 1
        assert not (tmp_path / "none.json").exists()


def test_the_train_split_of_a_folder_is_what_they_learn_from(call, tiny_run, tmp_path):
    for seed, (split, count) in enumerate({"train": 3, "test": 1}.items()):
        (tmp_path / "water" / split).mkdir(parents=True)
        write_waves(tmp_path / "water" / split / "a.npy", count, 6, 1, 16, 16, seed=seed)
    command = ("evaluate", "--model", tiny_run.model, "--data", tmp_path / "water", *DESCRIBED)
    few = ("--baselines", "scratch", "--baseline-steps", 1)
    entry = call(*command, *few, "--json", "--out", tmp_path / "r.json").result["datasets"]["water"]
    assert entry["num_trajectories"] == 1
    assert entry["baselines"]["scratch"]["training"]["num_trajectories"] == 3
    called = call(*command, *few, "--split", "train", "--out", tmp_path / "none.json")
    assert "baselines would be measured on what they are trained on" in called.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--baselines", "unett"], "Did you mean 'unet'"),
        (["--baselines", "fno,fno"], "takes different names"),
        (["--baseline-steps", 3], "--baseline options need --baselines"),
        (["--baselines", "fno", "--baseline-budget", "soon"], "--baseline-budget is no time"),
        (["--baselines", "fno", "--baseline-budget", "1s", "--baseline-steps", 1], "one of"),
        (["--baselines", "fno", "--baseline-learning-rate", "-1"], "must be positive"),
        (["--baselines", "fno", "--baseline-data", "x"], "--baseline-data out"),
        (["--baselines", "fno", "--compare", "fno=MODEL"], "one label: got fno"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(call, recipe, tiny_run, tmp_path, more, message):
    more = [str(part).replace("MODEL", str(tiny_run.model)) for part in more]
    called = call(
        "evaluate", recipe, "--model", tiny_run.model, *more, "--out", tmp_path / "r.json"
    )
    assert message in called.err
    assert called.status != 0
    assert len(called.err.strip().splitlines()) == 1
    assert not (tmp_path / "r.json").exists()
