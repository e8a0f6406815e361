"""Fourier attention: one small complex network, shared by all kept frequencies."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import initialization as init

from pdefm.models.activations import make_activation
from pdefm.models.dpot.configuration_dpot import DPOTConfig


def kept_rows(size: int, num_modes: int | None, truncation: str) -> list[int]:
    """Indices of the kept frequencies on a full (two-sided) FFT axis of ``size`` points.

    ``symmetric``: all k with ``|k| < num_modes``. ``one_sided``: the first ``num_modes`` entries.
    """
    if num_modes is None or num_modes >= size:
        return list(range(size))
    if truncation == "one_sided":
        return list(range(num_modes))
    frequency = [k if k <= size // 2 else k - size for k in range(size)]
    return [row for row, k in enumerate(frequency) if abs(k) < num_modes]


class AFNOMixer(nn.Module):
    r"""Adaptive Fourier neural operator mixing, without soft-shrink.

    With ``F = rfftn(u)`` over the space axes (orthonormal), channels split into h heads of d: for
    every kept frequency and head, ``a = W1 F + b1``, the activation acts on real and imaginary part
    separately, ``c = W2 a [+ b2]``; every other frequency is zero. Returns ``u + irfftn(c)``.

    The complex matrices are stored as real tensors ``[2 h, d, d]`` (real half first), which
    ZeRO can flatten and PEFT can target.

    Source: DPOT (arXiv 2403.03542), eq. 12; truncation and bias switches in :class:`DPOTConfig`.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        heads = config.num_attention_heads
        width = config.hidden_size // heads
        self.num_heads, self.head_size = heads, width
        self.num_modes = config.num_modes
        self.last_axis_modes = config.last_axis_modes or config.num_modes
        self.truncation = config.mode_truncation
        self.weight1 = nn.Parameter(torch.empty(2 * heads, width, width))
        self.bias1 = nn.Parameter(torch.empty(2 * heads, width))
        self.weight2 = nn.Parameter(torch.empty(2 * heads, width, width))
        self.bias2 = (
            nn.Parameter(torch.empty(2 * heads, width)) if config.spectral_output_bias else None
        )
        self.activation = make_activation(config.spectral_act or config.hidden_act)

    def initialize(self) -> None:
        """Complex matrices with the scale that keeps the variance of a random spectrum."""
        for weight in (self.weight1, self.weight2):
            init.normal_(weight, std=math.sqrt(0.5 / self.head_size))
        init.zeros_(self.bias1)
        if self.bias2 is not None:
            init.zeros_(self.bias2)

    def _real_matrix(self, weight: Tensor) -> Tensor:
        """Complex ``[2h, d, d]`` as the real ``[h, 2d, 2d]`` that acts on (real, imaginary)."""
        real, imaginary = weight.view(2, self.num_heads, self.head_size, self.head_size)
        return torch.cat([torch.cat([real, imaginary], -1), torch.cat([-imaginary, real], -1)], -2)

    def _real_bias(self, bias: Tensor) -> Tensor:
        return torch.cat(list(bias.view(2, self.num_heads, 1, self.head_size)), -1)  # [h, 1, 2d]

    def _transform(self, kept: Tensor) -> Tensor:
        """The shared network on ``[batch, h, d, frequency]``, complex in and out."""
        B, _, _, M = kept.shape
        x = torch.cat([kept.real, kept.imag], 2)  # [B, h, 2d, M]
        x = x.permute(1, 0, 3, 2).reshape(self.num_heads, B * M, -1)  # [h, B M, 2d]
        x = torch.baddbmm(self._real_bias(self.bias1), x, self._real_matrix(self.weight1))
        x = self.activation(x)
        if self.bias2 is None:
            x = torch.bmm(x, self._real_matrix(self.weight2))
        else:
            x = torch.baddbmm(self._real_bias(self.bias2), x, self._real_matrix(self.weight2))
        x = x.view(self.num_heads, B, M, 2, self.head_size).permute(1, 0, 4, 2, 3)
        return torch.view_as_complex(x.contiguous())  # [B, h, d, M]

    def _kept(self, latent: tuple[int, ...], device: torch.device) -> tuple[Any, ...] | None:
        """Index of the kept part of a spectrum ``[B, D, *latent]``; ``None`` if that is all."""
        columns = latent[-1] // 2 + 1
        last = min(self.last_axis_modes or columns, columns)
        rows = [kept_rows(size, self.num_modes, self.truncation) for size in latent[:-1]]
        if last == columns and all(
            len(kept) == size for kept, size in zip(rows, latent[:-1], strict=True)
        ):
            return None
        # One index vector an axis, each along its own direction, selects their product.
        vectors = [
            torch.tensor(kept, device=device).view(-1, *(1,) * (len(rows) - 1 - i))
            for i, kept in enumerate(rows)
        ]
        return (slice(None), slice(None), *vectors, slice(last))

    def forward(
        self, hidden_states: Float[Tensor, "batch channel *latent"]
    ) -> Float[Tensor, "batch channel *latent"]:
        """Mix all positions of the latent grid."""
        B, _, *latent = hidden_states.shape
        axes = tuple(range(2, hidden_states.ndim))
        # FFTs have no bfloat16 kernels, and their accumulation needs float32 anyway.
        device_type = "cpu" if hidden_states.is_meta else hidden_states.device.type
        with torch.autocast(device_type, enabled=False):
            spectrum = torch.fft.rfftn(hidden_states.float(), dim=axes, norm="ortho")
            index = self._kept(tuple(latent), spectrum.device)
            kept = spectrum if index is None else spectrum[index]
            heads = kept.reshape(B, self.num_heads, self.head_size, -1)  # [B, h, d, frequency]
            mixed = self._transform(heads).reshape(kept.shape)
            if index is not None:
                full = torch.zeros_like(spectrum)
                full[index] = mixed
                mixed = full
            branch = torch.fft.irfftn(mixed, s=latent, dim=axes, norm="ortho")
        return hidden_states + branch.to(hidden_states.dtype)
