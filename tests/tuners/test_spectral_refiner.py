"""The spectral refiner: a frozen base, a layer at every frequency of any grid, and its norm."""

import pytest
import torch

from pdefm.adapters import tuner_loss
from pdefm.metrics import relative_l2, sobolev_error, spectral_band_error
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.spectral import KeptModes
from pdefm.tasks.forecasting import ForecastingOptions, ForecastingTask
from pdefm.tuners.base import trainable_share
from pdefm.tuners.spectral_refiner import (
    SpectralLayer,
    SpectralRefinerOptions,
    SpectralRefinerTuner,
    knots,
    symbols,
)
from tests.tiny_dpot import frames, randomize, tiny_batch, tiny_model, tiny_processor


def tuner(**options):
    return SpectralRefinerTuner(SpectralRefinerOptions(**options))


def layer(num_fields=2, num_dims=2, seed=0, **options):
    made = SpectralLayer(num_fields, 1, num_dims, SpectralRefinerOptions(**options))
    randomize(made, seed)
    return made


def test_only_the_layer_trains_and_the_slices_if_asked():
    def trained(**options):
        model = tuner(**options).apply(tiny_model())
        return {name for name, p in model.named_parameters() if p.requires_grad}

    assert trained() == {"decoder.weight"}
    assert trained(field_slices=True) == {
        "decoder.weight",
        "model.patch_embedding.field_weight",
        "model.decoder.field_weight",
        "model.decoder.field_bias",
    }


def test_knots_are_single_wave_numbers_then_four_an_octave():
    assert knots(3) == [0, 1, 2, 3]
    assert knots(25) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 25]
    assert knots(64)[-5:] == [32, 40, 48, 56, 64]


def test_weights_of_one_knot_reach_the_wave_numbers_around_it_and_no_others():
    radial, _ = symbols(KeptModes((32, 32)), 12, torch.device("cpu"))
    assert radial.shape[:2] == (32, 17)
    torch.testing.assert_close(radial.sum(-1), torch.ones(32, 17))
    assert radial[3, 0].nonzero().flatten().tolist() == [3]
    assert radial[9, 0, 8:10].tolist() == [0.5, 0.5]  # between 8 and 10
    assert radial[0, 16].nonzero().flatten().tolist() == [10]  # beyond the last, as at the last


@pytest.mark.parametrize("space", [(16,), (16, 16), (12, 20), (8, 8, 12)])
def test_every_frequency_is_changed_and_a_translation_comes_through(space):
    made = layer(num_dims=len(space), max_wave_number=4)
    random = torch.Generator().manual_seed(0)
    prediction = torch.randn(2, 1, 2, *space, generator=random)
    newest = torch.randn(2, 2, *space, generator=random)
    refined = made(prediction, newest, [0, 1])
    axes = tuple(range(-len(space), 0))
    change = torch.fft.fftn(refined - prediction, dim=axes).abs()
    assert change.amin() > 1e-3
    moved = made(prediction.roll(3, -1), newest.roll(3, -1), [0, 1])
    torch.testing.assert_close(moved, refined.roll(3, -1), rtol=1e-4, atol=1e-4)


def test_the_layer_is_the_same_operator_on_a_finer_grid():
    made = layer(max_wave_number=16)
    x = torch.arange(32) / 32 * 2 * torch.pi
    wave = (3 * x[:, None] + 2 * x[None] + 0.4).cos() + (x[:, None] - 5 * x[None]).sin()
    both = torch.stack([wave, 0.5 * wave.roll(5, 0)])
    fine = made(both[None, None], both[None], [0, 1])
    coarse = both[:, ::2, ::2]
    assert torch.allclose(
        made(coarse[None, None], coarse[None], [0, 1]), fine[..., ::2, ::2], atol=1e-4
    )


def test_a_field_has_its_own_weights():
    made = layer(num_fields=3)
    prediction, newest = torch.randn(1, 1, 1, 8, 8), torch.randn(1, 1, 8, 8)
    first = made(prediction, newest, [2])
    with torch.no_grad():
        made.weight[:, :2] += 1.0
        made.weight[:, :, :2] += 1.0
    assert torch.equal(made(prediction, newest, [2]), first)
    assert not torch.equal(made(prediction, newest, [0]), first)


def test_it_learns_a_filter_and_a_shift_from_the_newest_frame():
    torch.manual_seed(0)
    made = layer(num_fields=1, seed=1)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    errors = []
    for _ in range(400):
        newest = torch.randn(4, 1, 16, 16)
        target = newest.roll(1, -1)[:, None]  # only harmonics that are odd in k can turn phases
        refined = made(torch.randn(4, 1, 1, 16, 16), newest, [0])
        loss = relative_l2(refined, target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert sum(errors[-20:]) / 20 < 0.6 < 1.2 < errors[0]


def test_what_lies_outside_a_mask_does_not_reach_it():
    model = tuner().apply(tiny_model()).eval()
    randomize(model, 1, trainable_only=True)
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, :4] = False
    history = frames()
    spoilt = history.masked_fill(~mask[:, None, None], 1e6)
    assert torch.equal(model(history, mask=mask).prediction, model(spoilt, mask=mask).prediction)


@pytest.mark.parametrize("names", [["pressure"], ["pressure", "density"]])
def test_fields_are_found_by_name(names):
    model = tuner().apply(tiny_model()).eval()
    randomize(model, 1, trainable_only=True)
    prediction = model(frames(len(names)), names).prediction
    assert prediction.shape == (2, 1, len(names), 16, 16)
    ids = [["density", "pressure"].index(name) for name in names]
    base = tiny_model()(frames(len(names)), names).prediction
    expected = model.decoder(base, frames(len(names))[:, -1], ids)
    torch.testing.assert_close(prediction, expected)


def test_the_loss_is_the_norm_of_its_order_and_else_the_loss_of_the_task():
    task = ForecastingTask(tiny_processor(), ForecastingOptions())
    prepared = task.prepare(tiny_batch())
    prediction = prepared.target + torch.randn(
        prepared.target.shape, generator=torch.Generator().manual_seed(0)
    )
    plain = task.loss(prediction, prepared)
    assert torch.equal(
        tuner_loss("spectral_refiner", {"sobolev_order": 0})(task, prediction, prepared), plain
    )
    found = [
        tuner_loss("spectral_refiner", {"sobolev_order": s})(task, prediction, prepared).item()
        for s in (-1, 1e-9, 1)
    ]
    assert found[1] == pytest.approx(plain.item(), rel=1e-4)
    assert found[0] < found[1] < found[2]  # the noise is rough, the mean of the target smooth
    assert found[2] == pytest.approx(
        sobolev_error(prediction, prepared.target, order=1.0).mean().item()
    )


def test_a_prediction_that_is_no_field_keeps_the_loss_of_its_task():
    loss = tuner(sobolev_order=1).loss(lambda: torch.tensor(6.0), torch.ones(2, 1, 3),
                                       torch.ones(2, 1), None)  # fmt: skip
    assert loss == 6


def test_noise_that_a_base_adds_at_high_frequencies_is_filtered_out():
    """A training step by hand: the truth is smooth, the prediction has the seams of patches."""
    torch.manual_seed(0)
    made = SpectralLayer(1, 1, 2, SpectralRefinerOptions())
    optimizer = torch.optim.AdamW(made.parameters(), lr=3e-3)
    x = torch.arange(32) / 32 * 2 * torch.pi

    def sample():
        phase = torch.rand(8, 1, 1) * 6
        truth = ((x[:, None] + phase).sin() * (2 * x + phase).cos())[:, None, None]
        seams = torch.randn(8, 1, 1, 8, 8).repeat_interleave(4, -1).repeat_interleave(4, -2)
        return truth, truth + 0.1 * seams * torch.randn(8, 1, 1, 32, 32)

    truth, rough = sample()
    before = spectral_band_error(rough, truth)
    for _ in range(60):
        target, prediction = sample()
        loss = sobolev_error(made(prediction, prediction[:, 0] * 0, [0]), target, order=1.0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = spectral_band_error(made(rough, rough[:, 0] * 0, [0]), truth)
    assert after["high"].mean() < 0.3 * before["high"].mean()
    assert after["low"].mean() < 1.1 * before["low"].mean()


def test_the_adapter_of_the_tiny_shape_is_small():
    config = DPOTConfig(
        field_names=["a", "b", "c", "d"], patch_size=8, hidden_size=512, num_hidden_layers=4,
        num_attention_heads=4, patch_feature_size=35, decoder_size=32, history=10,
    )  # fmt: skip
    model = tuner().apply(DPOTModel(config))
    assert sum(t.numel() * t.element_size() for t in tuner().state(model).values()) < 100_000
    trained, total = trainable_share(model)
    assert trained < 0.01 * total
