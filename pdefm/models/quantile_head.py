"""Scalars read from the latent grid, each with an interval."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

NORMAL_HALF_WIDTH = 1.645
"""Half the 90 % interval of a standard normal distribution: what an untrained head answers."""


class QuantileHead(nn.Module):
    """Median, 5 % and 95 % quantile of each scalar, in normalised units.

    Mean and deviation of every latent channel over the positions pass two layers; the quantiles
    are ``m``, ``m - softplus(a)`` and ``m + softplus(b)``, so that they never cross. The last layer
    starts such that the answer is the distribution of the training data, if that is normal.

    Args:
        hidden_size: Channels of the latent grid.
        num_scalars: Scalars to answer for.
        head_size: Width between the two layers.
    """

    def __init__(self, hidden_size: int, num_scalars: int, head_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * hidden_size)
        self.fc1 = nn.Linear(2 * hidden_size, head_size)
        self.fc2 = nn.Linear(head_size, 3 * num_scalars)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)
        inverse_softplus = torch.tensor(NORMAL_HALF_WIDTH).expm1().log()
        with torch.no_grad():
            self.fc2.bias[num_scalars:] = inverse_softplus

    def forward(
        self, last_hidden_state: Float[Tensor, "batch hidden *latent"]
    ) -> Float[Tensor, "batch scalar 3"]:
        """Quantiles in the order median, low, high."""
        positions = last_hidden_state.flatten(2)  # [B, D, positions]
        pooled = torch.cat([positions.mean(2), positions.std(2, correction=0)], 1)
        middle, below, above = self.fc2(F.gelu(self.fc1(self.norm(pooled)))).chunk(3, 1)
        return torch.stack([middle, middle - F.softplus(below), middle + F.softplus(above)], 2)
