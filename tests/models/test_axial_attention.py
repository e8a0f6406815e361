"""Axial attention: periodic relative positions, and what they leave unchanged."""

import math

import pytest
import torch

from pdefm.errors import ModelError
from pdefm.models.mixers.axial_attention import AxialAttentionMixer, periodic_rotation
from pdefm.tuners.lora import LoraOptions, LoraTuner
from tests.tiny_dpot import frames, randomize, tiny_config, tiny_model


def mixer(num_dims=2, **changes):
    config = tiny_config(**({"mixer": "axial_attention", "position_size": None} | changes))
    config.num_dims = num_dims
    built = AxialAttentionMixer(config)
    randomize(built)
    return built


def close(a, b, tolerance=1e-5):
    return (a - b).norm() < tolerance * b.norm()


@pytest.mark.parametrize("size", [(9,), (8, 6), (1, 7), (4, 3, 6)])
def test_it_commutes_with_every_shift_of_a_periodic_grid(size):
    module, latent = mixer(num_dims=len(size)), torch.randn(2, *size, 16)
    cells, axes = tuple(range(1, len(size) + 1)), tuple(range(1, len(size) + 1))
    assert close(module(latent.roll(cells, axes)), module(latent).roll(cells, axes))


def test_one_axis_is_attention_with_a_score_of_content_and_periodic_distance():
    module, n = mixer(num_dims=1), 7
    latent = torch.randn(1, n, 16)
    axis = module.axes[0]
    query, key, value = (
        part.view(n, 2, 8) for part in axis.query_key_value(latent)[0].chunk(3, -1)
    )
    expected = torch.zeros(n, 2, 8)
    for x in range(n):
        for head in range(2):
            scores = torch.zeros(n)
            for y in range(n):
                for pair in range(4):  # channels pair and pair + 4 are one complex number
                    q, k = (
                        torch.complex(part[head, pair], part[head, pair + 4])
                        for part in (query[x], key[y])
                    )
                    turn = torch.polar(
                        torch.tensor(1.0), torch.tensor(2 * math.pi * pair * ((y - x) % n) / n)
                    )
                    scores[y] += (q.conj() * turn * k).real
            expected[x, head] = (scores / math.sqrt(8)).softmax(0) @ value[:, head]
    assert close(module(latent), latent + axis.output(expected.flatten(1))[None])


def test_one_pass_moves_content_along_its_own_axis_only():
    module, latent = mixer(), torch.randn(2, 5, 6, 16, requires_grad=True)
    for axis in (1, 2):
        (gradient,) = torch.autograd.grad(module.axes[0](latent, axis)[0, 2, 3].sum(), latent)
        seen = gradient.abs().sum(-1) > 0
        expected = torch.zeros(2, 5, 6, dtype=torch.bool)
        expected[(0, slice(None), 3) if axis == 1 else (0, 2)] = True
        assert torch.equal(seen, expected)


def test_the_position_matters():
    module, latent = mixer(), torch.randn(1, 6, 6, 16)
    order = torch.tensor([0, 2, 1, 3, 4, 5])
    assert not close(module(latent[:, order]), module(latent)[:, order], 1e-3)


def test_left_and_right_are_different_neighbours():
    module, latent = mixer(), torch.randn(1, 6, 6, 16)
    assert not close(module(latent.flip(1)), module(latent).flip(1), 1e-3)


def test_a_finer_grid_samples_nearly_the_same_function():
    """The mean over a line of smooth values converges faster than any power of its points."""

    def smooth(n):
        random = torch.Generator().manual_seed(0)
        phases = 2 * math.pi * torch.rand(2, 16, generator=random)
        x, y = (2 * math.pi * torch.arange(n) / n for _ in range(2))
        return (x[:, None, None] + phases[0]).sin() * (y[None, :, None] + phases[1]).cos()

    module = mixer()
    coarse, fine, finest = (module(smooth(n)[None]) for n in (16, 32, 64))
    assert close(coarse, fine[:, ::2, ::2], 1e-2)
    assert close(fine, finest[:, ::2, ::2], 1e-4)


@pytest.mark.parametrize("size", [1, 6, 7, 1000])
def test_the_rotation_is_exact_at_any_size(size):
    cos, sin = periodic_rotation(size, 300, torch.float32, torch.device("cpu"))
    turns = torch.outer(torch.arange(size).double(), torch.arange(300).double()) / size
    torch.testing.assert_close(cos.double(), (2 * math.pi * turns).cos(), atol=1e-6, rtol=0)
    torch.testing.assert_close(sin.double(), (2 * math.pi * turns).sin(), atol=1e-6, rtol=0)


def test_the_rotation_is_computed_once_and_training_can_use_what_inference_stored():
    key = (13, 5, torch.float32, torch.device("cpu"))  # a size that no other test uses
    with torch.inference_mode():
        first = periodic_rotation(*key)
    assert all(a is b for a, b in zip(periodic_rotation(*key), first, strict=True))
    assert not any(part.is_inference() for part in first)


def test_heads_of_an_odd_number_of_channels_are_refused_in_one_line():
    with pytest.raises(ModelError, match=r"must be even: got 24 / 8. Use fewer heads"):
        mixer(hidden_size=24, num_attention_heads=8)


def test_an_adapter_can_move_its_projections():
    options = LoraOptions(
        r=2, target_modules=("query_key_value", "output", "fc1"), target_parameters=()
    )
    base = tiny_model(mixer="axial_attention")
    expected = base(frames()).prediction
    model = LoraTuner(options).apply(base).eval()
    assert torch.equal(model(frames()).prediction, expected)
    randomize(model, 1, trainable_only=True)
    model(frames()).prediction.square().sum().backward()
    adapted = [n for n, p in model.named_parameters() if "mixer" in n and p.grad is not None]
    assert len(adapted) == 2 * 2 * 2 * 2  # layers, axes, projections, A and B
