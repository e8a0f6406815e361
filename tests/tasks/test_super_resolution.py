"""From coarse cell averages to a fine frame."""

from dataclasses import replace

import pytest
import torch

from pdefm.adapters import Adapter, BaseReference, attach_adapter, save_adapter
from pdefm.config import section_from_dict
from pdefm.data.trajectory import Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError, RecipeError
from pdefm.models.loading import weights_sha256
from pdefm.models.resampling import cell_averages, centres
from pdefm.tasks.super_resolution import (
    SuperResolutionOptions,
    SuperResolutionTask,
    coarse_shape,
)
from tests.tiny_dpot import (
    attach_head,
    randomize,
    tiny_batch,
    tiny_config,
    tiny_model,
    tiny_processor,
)


def task(processor=None, **options):
    return SuperResolutionTask(processor or tiny_processor(), SuperResolutionOptions(**options))


def batch(**changes):
    whole = tiny_batch(**changes)
    return replace(whole, target=whole.target[:, :0])


def unseen():
    """A fine pattern whose averages over 4 x 4 points are zero, in every bit."""
    signs = torch.tensor([0.5, -0.5]).repeat(8)
    return signs[:, None] * signs[None, :]


def half_mask():
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, :6, 3:9] = False
    return mask


def test_the_target_is_the_newest_frame_and_no_frame_follows():
    resolution, given = task(), batch()
    prepared = resolution.prepare(given)
    assert resolution.num_target_frames == resolution.num_validation_frames(8) == 0
    assert torch.equal(prepared.target, given.history[:, -1:])
    assert prepared.extras["coarse"].shape == (2, 3, 2, 4, 4)


@pytest.mark.parametrize("normalization", ["field", "instance"])
def test_what_the_averages_do_not_see_does_not_reach_the_model(normalization):
    resolution = task(tiny_processor(normalization=normalization))
    model = attach_head(tiny_model(), resolution)
    whole = torch.round(batch().history * 8) / 8  # sums of which are exact
    first, second = (
        resolution.prepare(replace(batch(), history=whole + part))
        for part in (torch.zeros(16, 16), unseen())
    )
    assert not torch.equal(first.target, second.target)
    assert torch.equal(first.inputs["history"], second.inputs["history"])
    assert torch.equal(first.extras["coarse"], second.extras["coarse"])
    assert torch.equal(*(resolution.predict(model, prepared) for prepared in (first, second)))


def test_an_untrained_head_is_the_cubic_interpolation():
    resolution, model = task(), tiny_model()
    model.add_module("head", resolution.head(model.config))
    prepared = resolution.prepare(batch())
    prediction = resolution.predict(model, prepared)
    assert torch.equal(prediction, resolution.baselines(prepared)["bicubic"])


def test_a_trained_head_answers_at_another_factor_and_between_the_points():
    resolution = task(factors=[4.0, 2.7])
    model = attach_head(tiny_model(), resolution)
    first = resolution.prepare(batch())
    other = task(factors=[1.6]).prepare(batch())
    assert other.extras["coarse"].shape[3:] == (10, 10)
    assert not torch.allclose(*(resolution.predict(model, p) for p in (first, other)))

    latent = torch.randn(2, 16, 4, 4)
    told = {"names": ("pressure",), "periodic": (True, True)}
    coarse = first.extras["coarse"][:, :, 1:]
    everywhere = (centres(16), centres(7))
    values = model.head(coarse, latent, torch.zeros(2, 3, 1, 16, 7), everywhere, **told)
    assert values.shape == (2, 1, 16, 7)
    assert (
        model.head(coarse, latent, torch.zeros(2, 3, 1, 1, 1), [centres(1)] * 2, **told)
        .isfinite()
        .all()
    )


def test_without_attention_a_query_s_answer_does_not_depend_on_the_others():
    head = task(num_attention_layers=0).head(tiny_config())
    randomize(head)
    given = torch.randn(2, 3, 2, 5, 5), torch.randn(2, 16, 4, 4)
    guesses = torch.randn(2, 3, 2, 20, 20)
    told = {"names": ("density", "pressure"), "periodic": (True, False)}
    whole = head(*given, guesses, [centres(20)] * 2, **told)
    part = head(*given, guesses[..., 4:9, 11:], [centres(20)[4:9], centres(20)[11:]], **told)
    assert torch.allclose(whole[..., 4:9, 11:], part, atol=1e-5)


def test_training_draws_the_factor_and_validation_takes_the_first():
    resolution = task(factors=[4.0, 2.7, 2.0])
    generators = [torch.Generator().manual_seed(seed) for seed in range(20)]
    sizes = {resolution.prepare(batch(), g).extras["coarse"].shape[3] for g in generators}
    assert sizes == {4, 6, 8}
    assert resolution.prepare(batch()).extras["coarse"].shape[3] == 4


def test_moving_a_periodic_sample_by_a_cell_moves_what_the_head_adds():
    head = task().head(tiny_config()).double()
    randomize(head, spread=0.1)
    random = torch.Generator().manual_seed(2)
    given = [
        torch.randn(shape, generator=random, dtype=torch.float64)
        for shape in ((2, 3, 2, 4, 4), (2, 16, 4, 4), (2, 3, 2, 16, 16))
    ]
    moved = [values.roll(step, -2) for values, step in zip(given, (1, 1, 4), strict=True)]
    told = {"names": ("density", "pressure"), "periodic": (True, True)}
    first, second = (head(*v, [centres(16)] * 2, **told) for v in (given, moved))
    assert torch.allclose(first.roll(4, -2), second)
    walls = told | {"periodic": (False, True)}
    first, second = (head(*v, [centres(16)] * 2, **walls) for v in (given, moved))
    assert not torch.allclose(first.roll(4, -2), second)


def test_points_outside_the_mask_are_seen_by_nothing():
    mask = half_mask()
    resolution = task()
    model = attach_head(tiny_model(), resolution)
    losses, metrics = [], []
    for filling in (0.0, float("nan"), 1e6):
        history = batch().history.masked_fill(~mask[:, None, None], filling)
        prepared = resolution.prepare(batch(history=history, mask=mask))
        prediction = resolution.predict(model, prepared)
        assert prediction.isfinite().all()
        losses.append(resolution.loss(prediction, prepared))
        metrics.append(resolution.metrics(prediction, prepared)["lost_relative_l2"])
    assert losses[0] == losses[1] == losses[2]
    assert torch.equal(metrics[0], metrics[1])
    assert metrics[0].isfinite().all()


@pytest.mark.parametrize("condition", list(BoundaryCondition))
def test_the_baselines_agree_on_a_level_field_whatever_the_boundary(condition):
    level = replace(
        batch(boundary=uniform_boundary(condition, 2)), history=torch.full((2, 3, 2, 16, 16), 3.5)
    )
    resolution = task(factors=[2.7])
    baselines = resolution.baselines(resolution.prepare(level))
    assert set(baselines) == {"bicubic", "spectral", "deconvolution"}
    for prediction in baselines.values():
        assert torch.allclose(prediction, level.history[:, -1:], atol=1e-5)


@pytest.mark.parametrize("factor", [4.0, 2.7])
def test_averages_are_conserved_if_asked_for(factor):
    given = batch()
    errors = []
    for conserve in (False, True):
        resolution = task(factors=[factor], conserve=conserve)
        prepared = resolution.prepare(given)
        prediction = resolution.predict(attach_head(tiny_model(), resolution), prepared)
        averages = cell_averages(prediction, prepared.extras["coarse"].shape[3:])
        wanted = prepared.scale.denormalize(prepared.extras["coarse"][:, -1:])
        errors.append((averages - wanted).abs().max().item())
    assert errors[0] > 0.01
    assert errors[1] < 1e-4


def test_averages_cannot_be_conserved_under_a_mask():
    with pytest.raises(DataError, match="has a mask"):
        task(conserve=True).prepare(batch(mask=half_mask()))


def test_the_error_of_the_lost_part_is_one_for_a_field_without_it():
    resolution, mean = task(), batch().history.unflatten(3, (4, 4)).unflatten(5, (4, 4))
    flat = mean.mean((4, 6), keepdim=True).expand_as(mean).flatten(5).unflatten(5, (16,))
    prepared = resolution.prepare(batch())
    prediction = flat.flatten(3, 4)[:, -1:]
    errors = resolution.metrics(prediction, prepared)
    assert torch.allclose(errors["lost_relative_l2"], torch.ones(2), atol=1e-5)
    assert torch.equal(resolution.metrics(prepared.target, prepared)["relative_l2"], torch.zeros(2))


@pytest.mark.parametrize("num_dims", [1, 2, 3])
def test_the_head_serves_one_two_and_three_dimensions(num_dims):
    config = tiny_config(num_dims=max(num_dims, 2), position_size=None)
    config.num_dims = num_dims
    head = task().head(config)
    randomize(head)
    space = (8,) * num_dims
    detail = head(
        torch.randn(2, 3, 1, *(4,) * num_dims),
        torch.randn(2, 16, *(2,) * num_dims),
        torch.randn(2, 3, 1, *space),
        [centres(8)] * num_dims,
        names=("density",),
        periodic=(True, False, True)[:num_dims],
    )
    assert detail.shape == (2, 1, *space)
    assert detail.isfinite().all()


@pytest.mark.parametrize("tuner", ["full", "lora", "head"])
def test_a_saved_adapter_gives_the_same_frames_in_every_bit(tuner, tmp_path):
    base = tiny_model()
    options = {"factors": [2.7], "width": 16}
    reference = BaseReference("tiny", weights_sha256(base))
    adapter = Adapter(reference, "super_resolution", tuner, task_options=options)
    model = adapter.attach(base, tiny_processor()).eval()
    randomize(model, 5, trainable_only=True)
    save_adapter(tmp_path, adapter, model, tiny_processor())
    loaded, processor = attach_adapter(tiny_model(), tmp_path)
    resolution = adapter.make_task(processor)
    prepared = resolution.prepare(batch())
    assert torch.equal(resolution.predict(model, prepared), resolution.predict(loaded, prepared))
    assert (resolution.predict(model, prepared) - prepared.extras["interpolated"]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factors": [1.0]}, "greater than 1"),
        ({"factors": [4.0, float("nan")]}, "greater than 1"),
        ({"factors": []}, "factors"),
        ({"width": 12}, "width"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(options, said):
    with pytest.raises(RecipeError, match=said) as caught:
        section_from_dict(SuperResolutionOptions, options, "task_options")
    assert "\n" not in str(caught.value)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(RecipeError, match="must divide the width 16"):
        task(width=16, num_heads=3).head(tiny_config())


def test_grids_that_the_factor_leaves_too_little_of_are_refused_before_training():
    example = Trajectory(
        fields=torch.ones(2, 1, 16, 16),
        names=("density",),
        grid=Grid.regular((16, 16)),
        times=torch.arange(2.0),
    )
    task(factors=[4.0]).check(example)
    with pytest.raises(DataError, match="factor 8 makes 2 x 2 points of 16 x 16"):
        task(factors=[4.0, 8.0]).check(example)
    with pytest.raises(DataError, match="fewer than there are"):
        coarse_shape((16, 16), 1.01)
