"""Three real products are one complex product, and so are its gradients."""

import pytest
import torch

from pdefm.models.complex_product import complex_product
from pdefm.models.mixers import afno
from tests.tiny_dpot import frames, tiny_model

HEADS, ROWS, INSIDE, OUTSIDE = 3, 5, 4, 2


def operands():
    random = torch.Generator().manual_seed(0)
    shapes = [(HEADS, ROWS, 2 * INSIDE), (2 * HEADS, INSIDE, OUTSIDE), (HEADS, 2, OUTSIDE)]
    return [
        torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


@pytest.mark.parametrize("biased", [True, False])
def test_it_is_the_product_of_complex_numbers(biased):
    x, weight, bias = operands()
    expected = torch.bmm(torch.complex(*x.chunk(2, -1)), torch.complex(*weight.chunk(2)))
    if biased:
        expected = expected + torch.complex(bias[:, 0], bias[:, 1])[:, None]
    found = complex_product(x, weight, bias if biased else None)
    torch.testing.assert_close(found, torch.cat([expected.real, expected.imag], -1))


@pytest.mark.parametrize("trained", [(0, 1, 2), (0,), (1,), (2,)])
def test_the_gradients_are_those_of_small_differences(trained):
    inputs = [value.requires_grad_(i in trained) for i, value in enumerate(operands())]
    assert torch.autograd.gradcheck(complex_product, inputs)
    assert torch.autograd.gradgradcheck(complex_product, inputs)


@pytest.mark.parametrize("changes", [{}, {"spectral_output_bias": True}])
def test_the_mixer_takes_either_way_to_the_same_numbers(changes, monkeypatch):
    results = []
    for few in (True, False):
        monkeypatch.setattr(afno, "_multiplications_count", lambda _, few=few: few)
        model = tiny_model(**changes)
        prediction = model(frames()).prediction
        prediction.square().sum().backward()
        results.append([prediction, *(parameter.grad for parameter in model.parameters())])
    for few, many in zip(*results, strict=True):
        assert (few - many).norm() < 1e-5 * many.norm()
