"""What is known of an equation besides its fields: time step, boundaries, parameters."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from pdefm.data.trajectory import Boundary
from pdefm.domain import BoundaryCondition
from pdefm.models.dpot.configuration_dpot import DPOTConfig

BOUNDARY = "boundary"
KINDS = tuple(BoundaryCondition)


class DPOTConditioning(nn.Module):
    r"""One vector a sample from everything that is known of it.

    ``c = sum_k silu(w_k v_k + b_k) + sum_s e_s[kind of side s]``, where k runs over the scalars
    that are given (each owns its slices, so any subset may be) and s over the sides of the domain.
    What is not given adds nothing.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        conditions = config.conditions or []
        self.names = [name for name in conditions if name != BOUNDARY]
        S, num_sides = config.condition_size, 2 * config.num_dims
        self.weight = nn.Parameter(torch.empty(len(self.names), S)) if self.names else None
        self.bias = nn.Parameter(torch.empty(len(self.names), S)) if self.names else None
        sides = BOUNDARY in conditions
        self.side = nn.Parameter(torch.empty(num_sides, len(KINDS), S)) if sides else None

    def initialize(self) -> None:
        """Random features of every condition; the blocks start by ignoring them."""
        for parameter in self.parameters(recurse=False):
            init.normal_(parameter)

    def forward(
        self,
        scalars: Mapping[str, Tensor],
        boundary: Boundary | None,
        like: Tensor,
    ) -> Float[Tensor, "batch condition"]:
        """Sum over what is given.

        Args:
            scalars: Normalised values by name, ``[batch]``; names that the model does not know are
                not used.
            boundary: Conditions at both sides of every axis.
            like: Gives batch size, dtype and device.
        """
        total = like.new_zeros(like.shape[0], 1)
        if self.weight is not None and self.bias is not None:
            zero = like.new_zeros(like.shape[0])
            values = torch.stack([scalars.get(name, zero).to(like) for name in self.names], 1)
            given = like.new_tensor([name in scalars for name in self.names])
            features = F.silu(values[..., None] * self.weight + self.bias)  # [B, K, S]
            total = total + (features * given[:, None]).sum(1)
        if self.side is not None:
            codes = [KINDS.index(side) for pair in boundary or () for side in pair]
            given = like.new_zeros(self.side.shape[:2])
            for side, code in enumerate(codes):
                given[side, code] = 1.0
            total = total + (given[..., None] * self.side).sum((0, 1))
        return total
