"""From what sensors saw to a correction of a forecast: a gain that is linear in the innovations."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

SHORTEST, LONGEST = 1 / 64, 1 / 4
"""Lengths of the kernels at first, as parts of the domain."""


def smooth(
    values: Float[Tensor, "batch channel *space"],
    length: Tensor,
    periodic: Sequence[bool],
) -> Float[Tensor, "batch channel *space"]:
    """Convolution with a Gaussian of standard deviation ``length``, as a part of the domain.

    Args:
        values: On cells of equal size.
        length: Scalar; gradients pass.
        periodic: Per axis; along the others the values are mirrored at the walls.
    """
    shape = values.shape[2:]
    for axis, wraps in enumerate(periodic, 2):
        if not wraps:
            values = torch.cat([values, values.flip(axis)], axis)
    sizes, axes = values.shape[2:], tuple(range(2, values.ndim))
    spectrum = torch.fft.rfftn(values.float(), dim=axes)
    for axis, (size, wraps) in enumerate(zip(sizes, periodic, strict=True)):
        last = axis == len(sizes) - 1
        frequencies = (torch.fft.rfftfreq if last else torch.fft.fftfreq)(size, 1 / size)
        turns = frequencies.to(values.device) / (1 if wraps else 2)  # periods per domain
        decay = torch.exp(-2 * (math.pi * length * turns).square())
        spectrum = spectrum * decay.view(-1, *(1,) * (len(sizes) - 1 - axis))
    smoothed = torch.fft.irfftn(spectrum, s=tuple(sizes), dim=axes)
    return smoothed[(..., *(slice(size) for size in shape))]


class GainHead(nn.Module):
    r"""From a forecast f to an analysis ``a_c = f_c + sum_{s, c'} g_{s c c'}(x; f, m) I_s[d_c']``.

    ``d = m (y - f)`` are the innovations at the sensors m, and
    ``I_s[d] = (G_s * d) / (G_s * m + e_s)`` interpolates them with a Gaussian ``G_s`` of trained
    length; ``e_s`` lets the correction fall where no sensor is near. The weights g come from
    pointwise layers that see the forecast and the density of the sensors at every length. So a
    correction is exactly zero where the sensors agree with the forecast, and without sensors. The
    weights g start at zero: at first nothing is corrected.

    Source: the gain of optimal interpolation (Daley 1991, Atmospheric Data Analysis, chapter 4);
    correction beside a learned forecast: Semilinear Neural Operators (arXiv 2402.15656), section 3.

    Args:
        num_fields: Fields of the model; each owns its slices.
        hidden_size: Width of the pointwise layers.
        num_lengths: Gaussians.
    """

    def __init__(self, num_fields: int, hidden_size: int, num_lengths: int) -> None:
        super().__init__()
        lengths = torch.linspace(math.log(SHORTEST), math.log(LONGEST), num_lengths)
        self.log_length = nn.Parameter(lengths)
        self.log_floor = nn.Parameter(torch.full((num_lengths,), math.log(0.01)))
        self.field_weight = nn.Parameter(torch.randn(num_fields, hidden_size) * 0.5)
        self.density_weight = nn.Parameter(torch.randn(num_lengths, hidden_size) * 0.5)
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.fc = nn.Linear(hidden_size, hidden_size)
        self.gain_weight = nn.Parameter(
            torch.zeros(num_fields, num_fields, num_lengths, hidden_size)
        )
        self.gain_bias = nn.Parameter(torch.zeros(num_fields, num_fields, num_lengths))

    def forward(
        self,
        forecast: Float[Tensor, "batch channel *space"],
        innovation: Float[Tensor, "batch channel *space"],
        sensors: Bool[Tensor, "batch *space"],
        field_ids: list[int],
        periodic: Sequence[bool],
    ) -> Float[Tensor, "batch channel *space"]:
        """The correction, in the units of the innovation.

        Args:
            forecast: Normalised.
            innovation: Observation less forecast; only read at sensors.
            sensors: Where there is one.
            field_ids: Slice of each channel.
            periodic: Per axis.
        """
        inside = sensors[:, None]
        seen = torch.cat([innovation.masked_fill(~inside, 0.0), inside.to(forecast.dtype)], 1)
        interpolated, densities = [], []
        for log_length, log_floor in zip(self.log_length, self.log_floor, strict=True):
            parts = smooth(seen, log_length.exp(), periodic)
            density = parts[:, -1:].clamp(min=0.0)
            interpolated.append(parts[:, :-1] / (density + log_floor.exp()))
            densities.append(density / (density + log_floor.exp()))
        hidden = torch.einsum("bc...,ch->b...h", forecast, self.field_weight[field_ids])
        hidden = hidden + torch.einsum(
            "bs...,sh->b...h", torch.cat(densities, 1), self.density_weight
        )
        hidden = F.gelu(self.fc(F.gelu(hidden + self.bias)))  # [B, *space, H]
        weight = self.gain_weight[field_ids][:, field_ids]  # [C, C, S, H]
        gain = torch.einsum("b...h,cdsh->bcds...", hidden, weight)
        bias = self.gain_bias[field_ids][:, field_ids]
        gain = gain + bias[(None, ..., *(None,) * (forecast.ndim - 2))]
        return torch.einsum("bcds...,bds...->bc...", gain, torch.stack(interpolated, 2))
