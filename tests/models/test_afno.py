"""The Fourier mixer: which frequencies it keeps, and which symmetries follow."""

import math

import pytest
import torch

from pdefm.models.mixers.afno import AFNOMixer, kept_rows
from tests.tiny_dpot import frames, randomize, tiny_config, tiny_model


def mixer(seed=0, **changes):
    built = AFNOMixer(tiny_config(**changes))
    randomize(built, seed)
    torch.nn.init.zeros_(built.bias1)  # a bias excites every kept frequency
    return built


def plane_wave(kx, ky, nx=8, ny=8):
    x = torch.arange(nx)[:, None] / nx
    y = torch.arange(ny)[None] / ny
    return torch.cos(2 * math.pi * (kx * x + ky * y)).expand(1, 16, nx, ny).clone()


def response(module, kx, ky):
    wave = plane_wave(kx, ky)
    return (module(wave) - wave).norm().item()


@pytest.mark.parametrize(
    ("size", "num_modes", "truncation", "rows"),
    [
        (8, 3, "symmetric", [0, 1, 2, 6, 7]),
        (7, 3, "symmetric", [0, 1, 2, 5, 6]),
        (8, 1, "symmetric", [0]),
        (8, 5, "symmetric", list(range(8))),
        (8, 3, "one_sided", [0, 1, 2]),
        (4, 9, "symmetric", [0, 1, 2, 3]),
        (4, None, "one_sided", [0, 1, 2, 3]),
    ],
)
def test_kept_rows_are_the_frequencies_of_the_truncation(size, num_modes, truncation, rows):
    assert kept_rows(size, num_modes, truncation) == rows


def test_symmetric_truncation_answers_a_wave_and_its_mirror_image_alike():
    module = mixer(num_modes=2)
    assert response(module, 1, 1) > 1.0
    assert response(module, -1, 1) == pytest.approx(response(module, 1, 1), rel=1e-5)
    mirrored = module(plane_wave(1, 1)).flip(2).roll(1, 2)
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
    wave = frames(16, batch=1)[:, 0]
    everything, kept = mixer(num_modes=None), mixer(num_modes=9)
    torch.testing.assert_close(everything(wave), kept(wave))


def test_the_real_matrices_are_a_complex_product():
    module = mixer(hidden_act="linear")
    spectrum = torch.randn(2, 2, 8, 5, dtype=torch.complex64)  # [B, h, d, frequency]
    first, second = (
        torch.complex(*weight.detach().view(2, 2, 8, 8))
        for weight in (module.weight1, module.weight2)
    )
    expected = torch.einsum("bhif,hij,hjk->bhkf", spectrum, first, second)
    torch.testing.assert_close(module._transform(spectrum), expected, atol=1e-5, rtol=1e-4)


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
