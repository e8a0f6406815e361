"""``pdefm evaluate`` and ``pdefm compare`` as a user calls them."""

import json

import pytest

from tests.tiny import write_waves

USE = ("--axes", "N T C X Y", "--names", "velocity_x,velocity_y")


def write_results(path, shift, names=("lake", "sea")):
    values = [0.1, 0.3, 0.5, 0.2, 0.4, 0.6, 0.3, 0.2]
    entry = {"num_trajectories": 8, "num_steps": 4, "data_sha256": "ab", "baselines": {}}
    datasets = {}
    for sign, name in zip((1, 0), names, strict=False):
        moved = [v + sign * (shift + 0.001 * i) for i, v in enumerate(values)]
        datasets[name] = entry | {"per_trajectory": {"relative_l2": moved}}
    path.write_text(json.dumps({"protocol": {"history": 3}, "datasets": datasets}))
    return path


def test_an_ensemble_is_measured_and_compared_with_what_it_came_from(call, tiny_run, tmp_path):
    path = write_waves(tmp_path / "air.npy", 3, 6, 2, 16, 16)
    use = ("evaluate", "--model", tiny_run.model, "--data", path, *USE)
    assert call(*use, "--out", tmp_path / "one.json").status == 0
    said = call(*use, "--out", tmp_path / "many.json", "--ensemble", 3)
    assert said.status == 0, said.err
    assert "CRPS" in said.out
    assert "spread over error" in said.out
    found = json.loads((tmp_path / "many.json").read_text())
    assert found["protocol"]["noise"] == {"model": 0.02}
    both = call(
        "compare", tmp_path / "one.json", tmp_path / "many.json", "--metric", "crps", "--json"
    )
    assert both.result["datasets"]["air"]["num_trajectories"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--noise", "0.1"), "noise is of an ensemble"),
        (("--ensemble", "2", "--noise", "0"), "noise must be positive"),
    ],
)
def test_noise_without_an_ensemble_is_refused(call, tiny_run, tmp_path, options, words):
    path = write_waves(tmp_path / "air.npy", 2, 6, 2, 16, 16)
    use = ("evaluate", "--model", tiny_run.model, "--data", path, *USE, "--out", tmp_path / "r")
    said = call(*use, *options)
    assert said.status == 2
    assert words in said.err


def test_several_models_and_datasets_are_compared_with_the_first(call, tmp_path):
    a = write_results(tmp_path / "a.json", 0.0)
    b = write_results(tmp_path / "b.json", 0.05)
    c = write_results(tmp_path / "c.json", 0.0)
    said = call("compare", a, b, c)
    assert said.status == 0, said.err
    assert said.out.count("A is better") == 1
    assert said.out.count("not resolved") == 3
    assert said.out.count("equal bit for bit, times aside") == 1
    assert "1 of 4 differences are real" in said.out
    found = call("compare", a, b, c, "--json").result["comparisons"]
    assert found[str(b)]["datasets"]["lake"]["verdict"] == "A is better"
    assert call("compare", a).status == 3
