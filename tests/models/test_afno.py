"""The Fourier mixer: which frequencies it keeps, and which symmetries follow."""

import math
from contextlib import nullcontext

import pytest
import torch

from pdefm.models.mixers.afno import AFNOMixer
from tests.tiny_dpot import frames, randomize, tiny_config, tiny_model


def mixer(seed=0, **changes):
    built = AFNOMixer(tiny_config(**changes))
    randomize(built, seed)
    torch.nn.init.zeros_(built.bias1)  # a bias excites every kept frequency
    return built


def plane_wave(kx, ky, nx=8, ny=8):
    x = torch.arange(nx)[:, None] / nx
    y = torch.arange(ny)[None] / ny
    wave = torch.cos(2 * math.pi * (kx * x + ky * y))
    return wave[None, :, :, None].repeat(1, 1, 1, 16)


def response(module, kx, ky):
    wave = plane_wave(kx, ky)
    return (module(wave) - wave).norm().item()


def test_symmetric_truncation_answers_a_wave_and_its_mirror_image_alike():
    module = mixer(num_modes=2)
    assert response(module, 1, 1) > 1.0
    assert response(module, -1, 1) == pytest.approx(response(module, 1, 1), rel=1e-5)
    mirrored = module(plane_wave(1, 1)).flip(1).roll(1, 1)
    torch.testing.assert_close(module(plane_wave(-1, 1)), mirrored, atol=1e-5, rtol=1e-5)


def test_one_sided_truncation_is_blind_to_one_of_the_two():
    module = mixer(num_modes=2, mode_truncation="one_sided")
    assert response(module, 1, 1) > 1.0
    assert response(module, -1, 1) < 1e-4


def test_frequencies_that_are_not_kept_pass_by():
    module = mixer(num_modes=2)
    assert response(module, 2, 0) < 1e-4
    assert response(module, 0, 3) < 1e-4


def test_truncation_to_all_frequencies_changes_nothing():
    wave = torch.randn(1, 16, 16, 16)
    everything, kept = mixer(num_modes=None), mixer(num_modes=9)
    torch.testing.assert_close(everything(wave), kept(wave))


def test_the_real_matrices_are_a_complex_product():
    module = mixer(hidden_act="linear")
    spectrum = torch.randn(2, 2, 5, 3, 16)  # [B, part, *kept, channel]
    first, second = (
        torch.complex(*weight.detach().view(2, 2, 8, 8))
        for weight in (module.weight1, module.weight2)
    )
    heads = torch.complex(spectrum[:, 0], spectrum[:, 1]).unflatten(-1, (2, 8))
    expected = torch.einsum("bxyhi,hij,hjk->bxyhk", heads, first, second).flatten(-2)
    expected = torch.stack([expected.real, expected.imag], 1)
    torch.testing.assert_close(module._transform_heads(spectrum), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(9,), (8, 6), (4, 5, 6)])
@pytest.mark.parametrize("truncation", ["symmetric", "one_sided"])
def test_both_transforms_give_the_same_numbers_and_gradients(size, truncation):
    config = tiny_config(num_modes=2, mode_truncation=truncation)
    module = AFNOMixer(config)
    randomize(module)
    latent, results = torch.randn(2, *size, 16), []
    for transform in ("fft", "products"):
        module.transform = transform
        module.zero_grad()
        mixed = module(latent)
        mixed.square().sum().backward()
        results.append([mixed, *[p.grad.clone() for p in module.parameters()]])
    for a, b in zip(*results, strict=True):
        assert (a - b).norm() < 1e-5 * a.norm()


def test_what_is_computed_again_gives_the_same_gradients_as_what_is_kept(monkeypatch):
    module, latent = mixer(), torch.randn(2, 8, 6, 16)
    gradients = []
    for keep in (False, True):
        if keep:
            monkeypatch.setattr("pdefm.models.mixers.afno.recomputed", lambda *_: nullcontext())
        module.zero_grad()
        module(latent).square().sum().backward()
        gradients.append([p.grad.clone() for p in module.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


def symmetric_model(**changes):
    model = tiny_model(coordinate_channels=False, position_size=None, num_modes=2, **changes)
    for layer in model.layers:
        torch.nn.init.zeros_(layer.mixer.bias1)
    return model


def shift_error(model, cells=4, size=(16, 16)):
    """Largest difference between shifting before and after the model, over the answer."""
    history = frames(size=size)
    answer = model(history).prediction
    before = model(history.roll((cells, -cells), (3, 4))).prediction
    increment = answer - history[:, -1:]
    return ((before - answer.roll((cells, -cells), (3, 4))).abs().max() / increment.std()).item()


def test_a_shift_by_one_patch_commutes_with_a_linear_mixer():
    model = symmetric_model()
    for layer in model.layers:
        layer.mixer.activation = torch.nn.Identity()
    assert shift_error(model, size=(24, 32)) < 1e-4
    assert shift_error(model, cells=2, size=(24, 32)) > 1e-2  # half a patch does not


def test_a_shift_by_a_quarter_of_the_grid_commutes_with_an_odd_activation():
    """There every phase is a power of i, which only swaps real and imaginary part and signs."""
    assert shift_error(symmetric_model(hidden_act="tanh")) < 1e-4


@pytest.mark.parametrize(
    "changes",
    [{"spectral_output_bias": True}, {"coordinate_channels": True}, {"position_size": [4, 4]}],
)
def test_output_bias_coordinates_and_positions_each_break_that_symmetry(changes):
    fixed = {"coordinate_channels": False, "position_size": None, "num_modes": 2}
    model = tiny_model(**(fixed | {"hidden_act": "tanh"} | changes))
    for layer in model.layers:
        torch.nn.init.zeros_(layer.mixer.bias1)
    assert shift_error(model) > 1e-2


@pytest.mark.parametrize("size", [(8, 8), (7, 6)])
@pytest.mark.parametrize("num_modes", [None, 2])
def test_the_modulus_nonlinearity_commutes_with_every_shift(size, num_modes):
    changes = {"num_modes": num_modes, "hidden_act": "gelu"}
    latent = torch.randn(2, *size, 16)
    errors = {}
    for nonlinearity in ("modulus", "parts"):
        module = AFNOMixer(tiny_config(spectral_nonlinearity=nonlinearity, **changes))
        randomize(module)
        before = module(latent.roll((1, 2), (1, 2)))
        after = module(latent).roll((1, 2), (1, 2))
        errors[nonlinearity] = ((before - after).norm() / after.norm()).item()
    assert errors["modulus"] < 1e-5
    assert errors["parts"] > 1e-2


def test_the_modulus_of_nothing_has_a_finite_gradient():
    module = mixer(spectral_nonlinearity="modulus")
    latent = torch.zeros(1, 4, 4, 16, requires_grad=True)
    module(latent).sum().backward()
    assert latent.grad.isfinite().all()
    module(torch.randn(1, 4, 4, 16)).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in module.parameters())
