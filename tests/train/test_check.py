"""What a recipe needs, told before it runs."""

import json

import pytest

from pdefm.config import load_recipe
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.train.check import check_recipe
from pdefm.train.recipe import PretrainRecipe
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
    files = (tiny_run.folder / "checkpoints" / "step-000012").rglob("*")
    counted = [f for f in files if f.name in ("state.pt", "model.safetensors")]
    found = sum(f.stat().st_size for f in counted)
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


def test_processes_share_what_their_engine_says(tiny_run):
    def check(world, **train):
        recipe = tiny_recipe(tiny_run.sources, global_batch_size=64, **train)
        return check_recipe(recipe, world_size=world)

    one, many = check(1), check(4)
    weights = one["weights, MiB"]
    assert weights == pytest.approx(4 * one["parameters"] / 2**20)
    parts = ("weights", "gradients", "optimizer", "exchange", "activations of a micro-batch")
    assert one["training memory, MiB"] == pytest.approx(sum(one[f"{p}, MiB"] for p in parts))
    assert (one["optimizer, MiB"], one["exchange, MiB"]) == pytest.approx((2 * weights, 0))
    assert many["optimizer, MiB"] == one["optimizer, MiB"]
    assert many["samples a step and process"] == 16
    assert many["micro-batches a step and process"] == 8
    first, second, third = (check(4, zero_stage=stage) for stage in (1, 2, 3))
    assert first["optimizer, MiB"] == pytest.approx(3 / 4 * weights, rel=1e-3)
    assert (first["gradients, MiB"], second["gradients, MiB"]) == pytest.approx(
        (weights, weights / 4), rel=1e-3
    )
    assert (second["weights, MiB"], third["weights, MiB"]) == pytest.approx(
        (weights, weights / 4), rel=1e-3
    )
    offloaded = check(4, zero_stage=2, offload_optimizer=True)
    assert (offloaded["optimizer, MiB"], offloaded["memory of the host, MiB"]) == pytest.approx(
        (0, weights), rel=1e-3
    )
    sharded = check(4, fsdp=True)
    assert sharded["optimizer, MiB"] == pytest.approx(2 / 4 * weights, rel=1e-3)
    assert sharded["disk, MiB"] == pytest.approx(3 * sharded["checkpoint, MiB"])


def test_activations_shrink_with_checkpointing_and_bf16(tiny_run):
    def activations(**train):
        recipe = tiny_recipe(tiny_run.sources, **train)
        layers = recipe.model.model_copy(update={"num_hidden_layers": 8})
        recipe = recipe.model_copy(update={"model": layers})
        return check_recipe(recipe)["activations of a micro-batch, MiB"]

    whole = activations()
    assert activations(gradient_checkpointing=True) < 0.5 * whole
    assert activations(bf16=True) < 0.9 * whole


def test_a_training_goes_on_after_a_dry_run(tiny_run):
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    from pdefm.models.loading import load_model

    check_recipe(tiny_recipe(tiny_run.sources))
    model, _ = load_model(tiny_run.model)
    output = model(torch.randn(1, 3, 1, 16, 20), ("height",)).prediction
    assert not isinstance(output, FakeTensor)


def test_what_does_not_fit_or_divide_is_refused(tiny_run):
    recipe = tiny_recipe(tiny_run.sources)
    with pytest.raises(RecipeError, match=r"got 4 for 2 x 4. Use train.micro_batch_size 1 or a gl"):
        check_recipe(recipe, world_size=4)
    with pytest.raises(EnvironmentFault, match=r"needs .* GPU memory: got 1e-05 GiB.*: lower"):
        check_recipe(recipe, gpu_memory=1e-5)
    assert check_recipe(recipe, gpu_memory=1.0)["parameters"]


def test_an_endless_source_is_asked_for_one_sample_only(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    online = {"family": "burgers", "resolution": 16, "num_frames": 6, "buffer": 100_000}
    report = check_recipe(tiny_recipe([{"name": "b", "online": online | {"workers": 2}}]))
    assert report["windows"] == "b endless"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", ["tiny", "small", "medium", "large", "huge"])
def test_every_published_size_passes(size, tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    weights = {"tiny": 7.0e6, "small": 31e6, "medium": 122e6, "large": 509e6, "huge": 1.03e9}
    report = check_recipe(load_recipe(f"pretrain/{size}", PretrainRecipe), world_size=8)
    assert report["parameters"] == pytest.approx(weights[size], rel=0.1)
