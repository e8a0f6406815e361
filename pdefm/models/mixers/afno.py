"""Fourier attention: one small complex network, shared by all kept frequencies."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import initialization as init
from transformers.activations import ACT2FN

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

    With ``F = rfft2(u)`` (orthonormal), channels split into h heads of d: for every kept frequency
    and head, ``a = W1 F + b1``, the activation acts on real and imaginary part separately,
    ``c = W2 a [+ b2]``; every other frequency is zero. Returns ``u + irfft2(c)``.

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
        self.truncation = config.mode_truncation
        self.weight1 = nn.Parameter(torch.empty(2 * heads, width, width))
        self.bias1 = nn.Parameter(torch.empty(2 * heads, width))
        self.weight2 = nn.Parameter(torch.empty(2 * heads, width, width))
        self.bias2 = (
            nn.Parameter(torch.empty(2 * heads, width)) if config.spectral_output_bias else None
        )
        self.activation = ACT2FN[config.hidden_act]

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

    def forward(
        self, hidden_states: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Mix all positions of the latent grid."""
        B, D, H, W = hidden_states.shape
        # FFTs have no bfloat16 kernels, and their accumulation needs float32 anyway.
        device_type = "cpu" if hidden_states.is_meta else hidden_states.device.type
        with torch.autocast(device_type, enabled=False):
            spectrum = torch.fft.rfft2(hidden_states.float(), norm="ortho")  # [B, D, H, W/2+1]
            columns = min(self.num_modes or W, spectrum.shape[-1])
            rows = kept_rows(H, self.num_modes, self.truncation)
            everything = len(rows) == H and columns == spectrum.shape[-1]
            kept = spectrum if everything else spectrum[:, :, rows, :columns]
            kept = kept.reshape(B, self.num_heads, self.head_size, len(rows) * columns)
            mixed = self._transform(kept).reshape(B, D, len(rows), columns)
            if not everything:
                full = torch.zeros_like(spectrum)
                full[:, :, rows, :columns] = mixed
                mixed = full
            branch = torch.fft.irfft2(mixed, s=(H, W), norm="ortho")
        return hidden_states + branch.to(hidden_states.dtype)
