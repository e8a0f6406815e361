"""Time aggregation folded into the projection before it, without any intermediate ``[T, D, D]``."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.models.spectral import full_precision


class _Fold(torch.autograd.Function):
    """Both results of :func:`fold_frame_weights`, with one gradient of the large weight."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, phase: Tensor, projection: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(weight, phase, projection)
        column = phase[:, :, None]  # [T, D, 1]
        folded = torch.bmm((column * projection).mT, weight)  # [T, E, D]
        summed = column[0] * weight[0]
        for t in range(1, len(weight)):
            summed.addcmul_(column[t], weight[t])
        return folded, summed

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad_folded: Tensor, grad_summed: Tensor
    ) -> tuple[Tensor | None, ...]:
        weight, phase, projection = ctx.saved_tensors
        column = phase[:, :, None]
        scaled = column * projection  # [T, D, E]
        grad_scaled = torch.bmm(weight, grad_folded.mT)  # [T, D, E]
        grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_weight = (column * grad_summed).baddbmm_(scaled, grad_folded)
        grad_phase = None
        if ctx.needs_input_grad[1]:
            rows = [(frame * grad_summed).sum(-1) for frame in weight]
            grad_phase = torch.stack(rows) + (grad_scaled * projection).sum(-1)
        return grad_weight, grad_phase, (grad_scaled * column).sum(0)


def fold_frame_weights(
    weight: Float[Tensor, "time hidden_in hidden"],
    phase: Float[Tensor, "time hidden_in"],
    projection: Float[Tensor, "hidden_in feature"],
) -> tuple[Float[Tensor, "time feature hidden"], Float[Tensor, "hidden_in hidden"]]:
    """``A^T (phi_t W_t)`` for every frame, and ``sum_t phi_t W_t``.

    Args:
        weight: W, aggregation of every frame.
        phase: Factor phi of every frame and input channel.
        projection: A, what the patch features pass before they are aggregated.
    """
    with full_precision(weight.device):  # or the gradients would meet another precision
        return _Fold.apply(weight, phase, projection)
