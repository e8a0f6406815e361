"""Folding frames into the projection changes nothing but the time it takes."""

import pytest
import torch

from pdefm.models.dpot.fold import fold_frame_weights


def inputs(num_frames=3):
    random = torch.Generator().manual_seed(0)
    shapes = ((num_frames, 5, 4), (num_frames, 5), (5, 2))
    return [
        torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]


@pytest.mark.parametrize("num_frames", [1, 3])
def test_both_results_are_the_sums_they_stand_for(num_frames):
    weight, phase, projection = inputs(num_frames)
    folded, summed = fold_frame_weights(weight, phase, projection)
    torch.testing.assert_close(folded, torch.einsum("ie,ti,tij->tej", projection, phase, weight))
    torch.testing.assert_close(summed, torch.einsum("ti,tij->ij", phase, weight))


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(fold_frame_weights, inputs())


def test_frozen_weights_get_no_gradient():
    weight, phase, projection = inputs()
    weight.requires_grad_(False)
    phase.requires_grad_(False)
    folded, summed = fold_frame_weights(weight, phase, projection)
    (folded.sum() + summed.sum()).backward()
    assert weight.grad is None
    assert phase.grad is None
    assert projection.grad.any()
