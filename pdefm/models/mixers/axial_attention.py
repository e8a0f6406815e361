"""Self-attention along one axis of the latent grid after the other."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init

from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.spectral import cached


@cached
def periodic_rotation(
    size: int, num_frequencies: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "size frequency"], Float[Tensor, "size frequency"]]:
    """Cosine and sine of ``2 pi k x / size`` for whole ``k < num_frequencies`` and points x.

    Whole numbers of turns make differences of two angles depend on the periodic distance alone.

    Args:
        size: Points of the axis.
        num_frequencies: How many k, from 0.
        dtype: Of the result; the angles are computed in float32.
        device: Where the result shall be.
    """
    points = torch.arange(size, device=device)
    frequencies = torch.arange(num_frequencies, device=device)
    angle = (torch.outer(points, frequencies) % size).float() * (2 * math.pi / size)
    return angle.cos().to(dtype), angle.sin().to(dtype)


class AxisAttention(nn.Module):
    """Multi-head self-attention of the points on each line along one axis."""

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.head_size = D // self.num_heads
        self.query_key_value = nn.Linear(D, 3 * D)
        self.output = nn.Linear(D, D)

    def _rotate(self, x: Tensor) -> Tensor:
        """Turn every channel pair of ``[..., point, d]`` by the angle of its point."""
        cos, sin = periodic_rotation(x.shape[-2], self.head_size // 2, x.dtype, x.device)
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def forward(
        self, hidden_states: Float[Tensor, "batch *latent channel"], axis: int
    ) -> Float[Tensor, "batch *latent channel"]:
        """Attend along ``axis``."""
        lines = self.query_key_value(hidden_states).movedim(axis, -2)  # [B, *others, n, 3 D]
        others, n = lines.shape[:-2], lines.shape[-2]
        lines = lines.reshape(-1, n, 3, self.num_heads, self.head_size)
        query, key, value = lines.permute(2, 0, 3, 1, 4)  # each [lines, h, n, d]
        query, key = self._rotate(query), self._rotate(key)
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(1, 2).reshape(*others, n, -1)  # [B, *others, n, D]
        return self.output(mixed.movedim(-2, axis))


class AxialAttentionMixer(nn.Module):
    r"""Self-attention along one axis after the other, with periodic relative positions.

    ``u <- u + A_a(u)`` for every axis a in turn, where

    ``A_a(u)_x = W_o sum_y softmax_y(q_x^T T(y - x) k_y / sqrt(d)) v_y`` with y on the line through
    x along a, per head of d channels. ``T`` turns channel pair m by ``2 pi m (y - x) / n``: the
    positions are relative and periodic, and m counts waves per domain, so the layer commutes with
    shifts, takes any grid and means the same on a finer one. With the biases of query and key the
    score holds a learned function of the distance alone.

    After all axes a point has seen the whole grid. The keys of the Fourier mixers (``num_modes``,
    ``spectral_act``, ...) mean nothing here.

    Source: Axial attention (arXiv 1912.12180), section 3; on PDEs in MPP (arXiv 2310.02994).

    Raises:
        ModelError: The heads have an odd number of channels.
    """

    linear_names: ClassVar[tuple[str, ...]] = ("query_key_value", "output")
    matrix_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        if config.hidden_size // config.num_attention_heads % 2:
            raise ModelError(
                "axial attention turns pairs of channels, so hidden_size / num_attention_heads"
                " must be even",
                got=f"{config.hidden_size} / {config.num_attention_heads}",
                do="Use fewer heads",
            )
        self.axes = nn.ModuleList(AxisAttention(config) for _ in range(config.num_dims))

    def initialize(self) -> None:
        """Scores and values of variance one for inputs of variance one; biases zero."""
        for linear in self.modules():
            if isinstance(linear, nn.Linear):
                init.normal_(linear.weight, std=linear.in_features**-0.5)
                init.zeros_(linear.bias)

    def forward(
        self, hidden_states: Float[Tensor, "batch *latent channel"]
    ) -> Float[Tensor, "batch *latent channel"]:
        """Mix all positions of the latent grid."""
        for axis, attention in enumerate(self.axes, start=1):
            hidden_states = hidden_states + attention(hidden_states, axis)
        return hidden_states
