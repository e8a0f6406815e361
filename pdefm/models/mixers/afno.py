"""Fourier attention: one small complex network, shared by all kept frequencies."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import initialization as init

from pdefm.models.activations import make_activation
from pdefm.models.complex_product import complex_product
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.recompute import recomputed
from pdefm.models.spectral import KeptModes, from_spectrum, to_spectrum

TINY = 1e-12


def _multiplications_count(x: Tensor) -> bool:
    """True where a product takes as long as its multiplications, false where it is one kernel."""
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    return x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


class AFNOMixer(nn.Module):
    r"""Adaptive Fourier neural operator mixing, without soft-shrink.

    With ``F = rfftn(u)`` over the space axes (orthonormal), channels split into h heads of d: for
    every kept frequency and head, ``a = W1 F + b1``, the activation acts on real and imaginary part
    separately, ``c = W2 a [+ b2]``; every other frequency is zero. Returns ``u + irfftn(c)``.

    With ``spectral_nonlinearity: modulus`` instead ``a = W1 F``, ``c = W2 (sigmoid(|a| + b1) a)``
    with a real b1: phases pass unchanged, so a translated input gives the translated output.

    The complex matrices are stored as real tensors ``[2 h, d, d]`` (real half first), which
    ZeRO can flatten and PEFT can target.

    Source: DPOT (arXiv 2403.03542), eq. 12; truncation and bias switches in :class:`DPOTConfig`.
    """

    linear_names: ClassVar[tuple[str, ...]] = ()
    matrix_names: ClassVar[tuple[str, ...]] = ("weight1", "weight2")

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        heads = config.num_attention_heads
        width = config.hidden_size // heads
        self.num_heads, self.head_size = heads, width
        self.num_modes = config.num_modes
        self.last_axis_modes = config.last_axis_modes or config.num_modes
        self.truncation = config.mode_truncation
        self.transform = "auto"
        self.weight1 = nn.Parameter(torch.empty(2 * heads, width, width))
        self.by_parts = config.spectral_nonlinearity == "parts"
        self.bias1 = nn.Parameter(torch.empty(2 * heads if self.by_parts else heads, width))
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
        h, d = self.num_heads, self.head_size
        real, imaginary = weight.view(2, h, d, d)
        rows = torch.cat([real, imaginary, -imaginary, real], -1)  # [h, d, 4d]
        return rows.view(h, d, 2, 2 * d).transpose(1, 2).reshape(h, 2 * d, 2 * d)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One complex layer on ``[h, rows, 2d]``."""
        if bias is not None:
            bias = bias.view(2, self.num_heads, self.head_size).transpose(0, 1)  # [h, 2, d]
        if _multiplications_count(x):
            return complex_product(x, weight, bias)
        matrix = self._real_matrix(weight)
        with recomputed(matrix, lambda: self._real_matrix(weight)):
            if bias is None:
                return torch.bmm(x, matrix)
            return torch.baddbmm(bias.reshape(self.num_heads, 1, -1), x, matrix)

    def _activate(self, x: Tensor) -> Tensor:
        """Nonlinearity on ``[h, rows, 2d]``."""
        if self.by_parts:
            return self.activation(x)
        pairs = x.unflatten(-1, (2, -1))  # [h, rows, 2, d]
        modulus = (pairs.square().sum(2) + TINY).sqrt()  # its slope at 0 would be infinite
        gate = torch.sigmoid(modulus + self.bias1[:, None])
        return (pairs * gate[:, :, None]).flatten(2)

    def _transform_heads(self, spectrum: Tensor) -> Tensor:
        """The shared network on a spectrum ``[batch, 2, *kept, channel]``."""
        B, _, *kept, D = spectrum.shape
        x = spectrum.view(B, 2, -1, self.num_heads, self.head_size)
        # [h, B kept, 2d]
        x = x.permute(3, 0, 2, 1, 4).reshape(self.num_heads, -1, 2 * self.head_size)
        first_bias = self.bias1 if self.by_parts else None
        x = self._product(x.to(self.weight1.dtype), self.weight1, first_bias)
        activated = self._activate(x)
        with recomputed(activated, lambda: self._activate(x)):
            y = self._product(activated, self.weight2, self.bias2)
        y = y.view(self.num_heads, B, -1, 2, self.head_size).permute(1, 3, 2, 0, 4)
        return y.reshape(B, 2, *kept, D)

    def forward(
        self, hidden_states: Float[Tensor, "batch *latent channel"]
    ) -> Float[Tensor, "batch *latent channel"]:
        """Mix all positions of the latent grid."""
        kept = KeptModes(
            tuple(hidden_states.shape[1:-1]), self.num_modes, self.last_axis_modes, self.truncation
        )
        spectrum = self._transform_heads(to_spectrum(hidden_states, kept, self.transform))
        branch = from_spectrum(spectrum, kept, self.transform)
        return hidden_states + branch.to(hidden_states.dtype)
