"""The Fourier layer: an operator on functions, with its own matrix at every frequency."""

import math

import pytest
import torch
from torch import nn

from pdefm.errors import ModelError
from pdefm.models.mixers.fno import FNOMixer
from pdefm.tuners.lora import LoraOptions, LoraTuner
from tests.tiny_dpot import frames, randomize, tiny_config, tiny_model


def mixer(num_dims=2, **changes):
    config = tiny_config(**({"mixer": "fno", "num_modes": 3, "position_size": None} | changes))
    config.num_dims = num_dims
    built = FNOMixer(config)
    randomize(built)
    return built


def band_limited(size, reach=2, seed=0):
    """Samples of a function with frequencies up to ``reach``, ``[2, *size, 16]``."""
    random = torch.Generator().manual_seed(seed)
    lines = [torch.arange(n, dtype=torch.float64) / n for n in size]
    mesh = torch.meshgrid(*lines, indexing="ij")
    field = torch.zeros(2, *size, 16, dtype=torch.float64)
    grid = torch.cartesian_prod(*[torch.arange(-reach, reach + 1)] * len(size))
    for frequency in grid.view(-1, len(size)):
        wave = 2 * math.pi * sum(k * x for k, x in zip(frequency, mesh, strict=True))
        a, b = torch.randn(2, 2, *(1,) * len(size), 16, generator=random, dtype=torch.float64)
        field += a * wave.cos()[..., None] + b * wave.sin()[..., None]
    return field.float()


def close(a, b, tolerance=1e-5):
    return (a - b).norm() < tolerance * b.norm()


def shared_points(size, other):
    """Points of the grid ``size`` that the grid ``other`` has too."""
    pairs = zip(size, other, strict=True)
    return (slice(None), *(slice(None, None, n // math.gcd(n, m)) for n, m in pairs))


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        ((5,), (10,)),
        ((6,), (15,)),
        ((6, 8), (18, 16)),
        ((5, 5), (15, 20)),
        ((5, 6, 7), (10, 6, 14)),
    ],
)
@pytest.mark.parametrize("num_modes", [2, 3, 6])
def test_a_finer_grid_samples_the_same_function(coarse, fine, num_modes):
    module = mixer(num_dims=len(coarse), num_modes=num_modes)
    on_coarse, on_fine = shared_points(coarse, fine), shared_points(fine, coarse)
    assert close(band_limited(fine)[on_fine], band_limited(coarse)[on_coarse])
    assert close(module(band_limited(fine))[on_fine], module(band_limited(coarse))[on_coarse])


@pytest.mark.parametrize("size", [(9,), (8, 6), (5, 7), (4, 3, 6)])
def test_it_commutes_with_every_shift_of_a_periodic_grid(size):
    module, latent = mixer(num_dims=len(size)), torch.randn(2, *size, 16)
    cells, axes = tuple(range(1, len(size) + 1)), tuple(range(1, len(size) + 1))
    assert close(module(latent.roll(cells, axes)), module(latent).roll(cells, axes))


def test_each_frequency_is_multiplied_by_its_own_complex_matrix():
    module = mixer(num_modes=3, last_axis_modes=2)
    assert module.weight.shape == (2 * 5 * 2 * 2, 8, 8)
    latent = torch.randn(2, 8, 6, 16)
    table = torch.complex(*module.weight.detach().view(2, 5, 2, 2, 8, 8))
    spectrum = torch.fft.rfftn(latent, dim=(1, 2))
    expected = torch.zeros_like(spectrum)
    for kx in range(-2, 3):
        for ky in range(2):
            heads = spectrum[:, kx, ky].unflatten(-1, (2, 8))
            expected[:, kx, ky] = torch.einsum("bhi,hij->bhj", heads, table[kx, ky]).flatten(-2)
    inverse = torch.fft.ifft(expected, dim=1)
    inverse[:, :, 0] = inverse[:, :, 0].real.to(inverse.dtype)
    assert close(module(latent), latent + torch.fft.irfft(inverse, n=6, dim=2))


@pytest.mark.parametrize("frequency", [(1, 1), (-1, 1), (2, 0), (0, 2), (-2, 1)])
def test_only_the_weights_of_a_frequency_touch_its_wave(frequency):
    module = mixer()
    size, (kx, ky) = (8, 8), frequency
    x, y = (torch.arange(n)[s] / n for n, s in zip(size, [(slice(None), None), None], strict=True))
    wave = (2 * math.pi * (kx * x + ky * y)).cos()[None, ..., None].repeat(1, 1, 1, 16)
    module(wave).square().sum().backward()
    slices = module.weight.grad.view(2, 5, 3, -1).abs().amax((0, -1))
    touched = (slices > 1e-4 * slices.max()).nonzero().tolist()
    # A real wave holds k and -k, and both have a row where the last axis has k = 0.
    mirrored = [[-kx % 5, 0]] if ky == 0 else []
    assert sorted(touched) == sorted([[kx % 5, ky], *mirrored])


@pytest.mark.parametrize("size", [(2, 2), (3, 4), (4, 9), (1, 1)])
def test_a_coarse_grid_leaves_the_weights_of_missing_frequencies_alone(size):
    module = mixer(num_modes=4)
    module(torch.randn(2, *size, 16)).square().sum().backward()
    touched = module.weight.grad.view(2, 7, 4, -1).abs().amax((0, -1)) > 0
    rows = {k % 7 for k in range(-(size[0] // 2), (size[0] + 1) // 2)}
    columns = range(min(4, size[1] // 2 + 1))
    expected = torch.tensor([[k in rows and c in columns for c in range(4)] for k in range(7)])
    assert torch.equal(touched, expected)


@pytest.mark.parametrize("size", [(8, 8), (3, 4), (2, 7)])
def test_both_transforms_give_the_same_numbers_and_gradients(size):
    module, latent, results = mixer(), torch.randn(2, *size, 16), []
    for transform in ("fft", "products"):
        module.transform = transform
        module.zero_grad()
        mixed = module(latent)
        mixed.square().sum().backward()
        results.append((mixed.detach(), module.weight.grad.clone()))
    assert all(close(a, b) for a, b in zip(*results, strict=True))


def test_the_variance_of_a_random_field_is_kept():
    torch.manual_seed(0)
    module = mixer(hidden_size=64, num_modes=9)
    module.initialize()
    latent = torch.randn(8, 16, 16, 64)
    branch = module(latent).detach() - latent
    # The columns of k = 0 and Nyquist lose half: there k and -k share what a real field can hold.
    assert (branch.var() / latent.var()).item() == pytest.approx(15 / 16, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_modes": None}, "got num_modes null. Set num_modes"),
        ({"mode_truncation": "one_sided"}, "mode_truncation: got 'one_sided'. Leave"),
        ({"spectral_output_bias": True}, "spectral_output_bias: got True. Leave"),
        ({"spectral_act": "gelu"}, "spectral_act: got 'gelu'. Leave"),
        ({"spectral_nonlinearity": "modulus"}, "nonlinearity: got 'modulus'. Leave"),
    ],
)
def test_what_it_does_not_know_is_refused_in_one_line(changes, message):
    with pytest.raises(ModelError) as caught:
        mixer(**changes)
    assert message in str(caught.value)


def test_an_adapter_can_move_its_weights():
    options = LoraOptions(r=2, target_parameters=("mixer.weight",))
    base = tiny_model(mixer="fno", num_modes=2)
    expected = base(frames()).prediction
    model = LoraTuner(options).apply(base).eval()
    assert torch.equal(model(frames()).prediction, expected)
    trained = [p for n, p in model.named_parameters() if "mixer" in n and p.requires_grad]
    assert trained
    for parameter in trained:
        nn.init.normal_(parameter, std=0.1)
    assert (model(frames()).prediction - expected).norm() > 1e-3 * expected.norm()
    with model.disable_adapter():
        assert torch.equal(model(frames()).prediction, expected)
