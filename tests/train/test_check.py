"""What a recipe needs, told before it runs."""

import json

import pytest

from pdefm.errors import DataError, RecipeError
from pdefm.train.check import check_recipe
from tests.tiny import tiny_recipe, write_waves


def test_the_report_agrees_with_the_run(tiny_run):
    report = check_recipe(tiny_recipe(tiny_run.sources))
    assert report["parameters"] == tiny_run.summary["num_parameters"]
    assert report["fields"] == "height, velocity_x, velocity_y"
    assert report["samples a step"] == 4
    assert report["history"] in ("2 x 3 x 1 x 16 x 16", "2 x 3 x 2 x 16 x 24")
    assert report["prediction"] == report["history"].replace("2 x 3 x", "2 x 1 x", 1)
    assert report["windows"] == "sea 24, air 15"
    assert json.loads(json.dumps(report)) == report


def test_the_checkpoint_has_the_size_that_was_said(tiny_run):
    files = (tiny_run.folder / "checkpoints" / "step-000012").rglob("*.*t*")
    found = sum(f.stat().st_size for f in files if f.suffix in (".pt", ".safetensors"))
    said = check_recipe(tiny_recipe(tiny_run.sources))["checkpoint, MiB"] * 2**20
    assert found == pytest.approx(said, abs=30_000)  # file headers, which matter in a tiny model


def test_more_samples_take_more_memory(tiny_run):
    small, large = (
        check_recipe(tiny_recipe(tiny_run.sources, global_batch_size=8, micro_batch_size=size))
        for size in (2, 4)
    )
    key = "activations of a micro-batch, MiB"
    assert large[key] > 1.5 * small[key] > 0
    assert large["parameters"] == small["parameters"]


def test_a_batch_that_cannot_be_divided_is_refused(tiny_run):
    with pytest.raises(RecipeError, match=r"global_batch_size must be a multiple.*: got 5 and 2"):
        check_recipe(tiny_recipe(tiny_run.sources, global_batch_size=5))


def test_what_a_run_would_refuse_is_refused(tmp_path):
    path = write_waves(tmp_path / "sea.npy", 3, 8, 1, 18, 16)
    source = {"name": "sea", "path": str(path), "axes": "N T C X Y", "names": ["height"]}
    with pytest.raises(DataError, match="divisible by the patch size 4: got 18 x 16"):
        check_recipe(tiny_recipe([source]))
