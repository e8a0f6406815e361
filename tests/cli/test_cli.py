"""Every verb explains itself, and the verbs fit together."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

from tests.models.test_convert_dpot import load_fixture, save_checkpoint
from tests.tiny import MODEL, TRAIN, write_waves

VERBS = (
    "quickstart",
    "data generate",
    "data inspect",
    "data doctor",
    "data convert",
    "data stats",
    "data publish",
    "data gallery",
    "check",
    "pretrain",
    "runs",
    "finetune",
    "evaluate",
    "compare",
    "rollout",
    "report",
    "demo",
    "convert",
    "publish",
    "card",
    "list",
)
INSPECT_KEYS = {
    *("format", "num_trajectories", "num_frames", "shape", "names"),
    *("units", "dt", "extent", "boundary", "statistics"),
}


def test_the_tested_verbs_are_all_verbs():
    from pdefm.cli.app import app
    from pdefm.cli.data import app as data

    names = {command.name for command in app.registered_commands}
    below = {
        f"data {c.name or c.callback.__name__}" for c in data.registered_commands if c.callback
    }
    assert names | below == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example_and_what_options_mean(call, verb):
    done = call(*verb.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert f"Example: pdefm {verb}" in done.out


def test_the_example_of_every_verb_parses():
    """No option in an example is misspelt."""
    import shlex

    import typer.main

    from pdefm.cli.app import app

    root = typer.main.get_command(app)
    for verb in VERBS:
        command = root
        for word in verb.split():
            command = command.commands[word]
        text = (command.help or "").partition("Example:")[2].partition(";")[0]
        words = shlex.split(text)[1 + len(verb.split()) :]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_without_a_verb_the_help_is_shown(call):
    done = call()
    assert "pretrain" in done.out + done.err
    assert "Traceback" not in done.err


def test_as_a_module_it_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "pdefm", "data", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "inspect" in done.stdout


def write_recipe(path, data):
    sources = [{"name": "phases", "path": str(data), "validation_fraction": 0.4}]
    recipe = {
        "name": "tiny",
        "model": MODEL,
        "data": {"sources": sources},
        "train": TRAIN | {"max_steps": 4},
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_the_whole_journey(call, tmp_path):
    data = tmp_path / "data"
    made = call(
        *("data", "generate", "allen_cahn", "--num-trajectories", 3, "--resolution", 16),
        *("--num-frames", 7, "--seed", 1, "--out", data, "--set", "dt=0.1", "--json"),
    ).result
    assert made["out"] == str(data)
    seen = call("data", "inspect", data, "--picture", tmp_path / "data.png", "--json").result
    assert set(seen) >= INSPECT_KEYS
    assert (seen["shape"], seen["names"], seen["num_frames"]) == ([7, 1, 16, 16], ["phase"], [7, 7])
    assert seen["dt"] == pytest.approx(0.1)
    assert set(seen["statistics"]["phase"]) >= {"mean", "std", "min", "max"}
    assert Image.open(tmp_path / "data.png").size > (100, 100)

    recipe = write_recipe(tmp_path / "tiny.yaml", data)
    checked = call("check", recipe, "--json").result
    run = tmp_path / "run"
    trained = call("pretrain", recipe, "--out", run, "--seed", 5, "--json").result
    assert trained["num_parameters"] == checked["parameters"]
    assert yaml.safe_load((run / "recipe.yaml").read_text())["seed"] == 5

    results = call(
        *("evaluate", "--model", run, "--data", data, "--out", run / "results.json", "--json")
    ).result
    assert results == json.loads((run / "results.json").read_text())
    model = tmp_path / "model"
    published = call("publish", run, "--out", model, "--json").result
    assert set(published["files"]) == {path.name for path in model.iterdir()}
    card = call("card", model, "--overwrite", "--json").result["card"]
    value = results["datasets"]["data"]["metrics"]["relative_l2"]
    assert f"{value:.3g}"[:4] in (model / "README.md").read_text()
    assert card == str(model / "README.md")

    call("publish", run, "--name", "tiny", "--json")
    listed = call("list", "--json").result["models"]
    mine = next(entry for entry in listed if entry["name"] == "tiny")
    assert (mine["source"], mine["num_parameters"]) == ("published", trained["num_parameters"])

    predict = ("rollout", "--model", "tiny", "--data", data, "--steps", 3)
    told = call(*predict, "--out", tmp_path / "r.hdf5", "--json").result
    assert len(told["times"]) == len(told["relative_l2"]) == 3
    with h5py.File(tmp_path / "r.hdf5") as file:
        assert file["t0_fields/phase"].shape == (1, 3, 16, 16)
    for suffix in ("gif", "png"):
        told = call(*predict, "--out", tmp_path / f"r.{suffix}")
        assert told.status == 0, told.err
        assert Image.open(tmp_path / f"r.{suffix}").size > (100, 100)
    assert call("data", "inspect", tmp_path / "r.hdf5", "--json").result["num_trajectories"] == 1


@pytest.fixture
def arrays(tmp_path):
    path = write_waves(tmp_path / "mine.npy", 3, 7, 1, 16, 16)
    np.save(path, np.moveaxis(np.load(path)[:, :, 0], 1, -1))
    return path, ("--data", path, "--axes", "N X Y T", "--dt", "0.5")


def test_arrays_of_ones_own_become_an_adapter(call, tiny_run, arrays, tmp_path):
    _, data = arrays
    run = tmp_path / "adapted"
    tuned = call(
        *("finetune", "--model", tiny_run.folder, *data, "--names", "depth", "--extent", "1,2"),
        *("--add-field", "depth=height", "--steps", 3, "--out", run, "--json"),
        *("--set", "train.report_to=none", "--set", "train.warmup_steps=1"),
    ).result
    assert tuned["step"] == 3
    assert tuned["num_trainable"] < tuned["num_parameters"]
    use = ("--model", tiny_run.folder, "--adapter", run, *data, "--names", "depth")
    results = call("evaluate", *use, "--out", tmp_path / "r.json", "--json").result
    assert results["model"]["adapter"]["added_fields"] == {"depth": "height"}
    told = call("rollout", *use, "--steps", 2, "--start-frame", -1, "--out", tmp_path / "r.png")
    assert told.status == 0, told.err
    assert "the data end where the prediction starts" in told.out
    assert call("publish", run, "--out", tmp_path / "adapter").status == 0


@pytest.mark.parametrize("arguments", [["pretrain"], ["finetune"]])
def test_what_comes_next_is_said(call, tiny_run, arrays, tmp_path, arguments):
    out = tmp_path / "out"
    if arguments == ["pretrain"]:
        recipe = tiny_run.folder / "recipe.yaml"
        done = call("pretrain", recipe, "--out", out, "--set", "train.max_steps=1")
        assert f"next: pdefm publish {out}" in done.out
    else:
        done = call(
            *("finetune", "--model", tiny_run.folder, *arrays[1], "--names", "height"),
            *("--steps", 1, "--out", out, "--set", "train.report_to=none"),
        )
        assert f"next: pdefm rollout --model {tiny_run.folder} --adapter {out}" in done.out
    assert done.status == 0, done.err
    assert "relative L2 on held-out data" in done.out


def test_a_published_checkpoint_is_converted(call, tmp_path):
    state, _, _, config = load_fixture("a2_2d_allmodes")
    file = save_checkpoint(tmp_path / "m.pth", state)
    out = tmp_path / "converted"
    report = call(
        *("convert", "dpot", file, "--out", out, "--modes", config["modes"], "--json")
    ).result
    assert report["history"] >= 1
    assert {"config.json", "model.safetensors", "processor_config.json"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.parametrize("what", ["pdes", "formats", "mixers", "tasks", "tuners", "recipes"])
def test_names_that_a_recipe_can_say_are_listed(call, what):
    names = call("list", what, "--json").result[what]
    assert names
    assert all(names.values())
    shown = call("list", what)
    assert all(name in shown.out for name in names)


def test_tables_for_people_hold_the_numbers(call, tiny_run, arrays, tmp_path):
    path, _ = arrays
    inspected = call("data", "inspect", path, "--axes", "N X Y T", "--names", "depth")
    assert "3 trajectories of 7 frames, 1 fields on 16 x 16 (arrays)" in inspected.out
    checked = call("check", tiny_run.folder / "recipe.yaml")
    assert f"{tiny_run.summary['num_parameters']}" in checked.out
    results = call(
        *("evaluate", "--model", tiny_run.folder, "--data", path, "--axes", "N X Y T"),
        *("--names", "height", "--out", tmp_path / "r.json"),
    )
    assert "persistence" in results.out
    assert results.status == 0


def test_stdout_holds_the_result_alone_even_if_a_library_talks(call, monkeypatch, tiny_run):
    from pdefm.train import check

    def talkative(_, **__):
        sys.stdout.write("a library says hello\n")
        return {"parameters": 1}

    monkeypatch.setattr(check, "check_recipe", talkative)
    done = call("check", tiny_run.folder / "recipe.yaml", "--json")
    assert done.result == {"parameters": 1}
    assert "hello" in done.err


def test_only_the_first_of_many_processes_prints(call, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert call("list", "tasks", "--json").out == ""


def test_control_c_is_one_line(call, monkeypatch, tiny_run):
    from pdefm.train import check

    def interrupt(_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "check_recipe", interrupt)
    done = call("check", tiny_run.folder / "recipe.yaml")
    assert done.status == 130
    assert done.err == "pdefm: interrupted; the same command goes on where it can\n"
