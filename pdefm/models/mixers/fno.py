"""Fourier layer: every kept frequency has its own complex matrix."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import initialization as init

from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.spectral import KeptModes, from_spectrum, to_spectrum


class FNOMixer(nn.Module):
    r"""Fourier layer: every kept frequency has its own complex matrix.

    ``v = u + sum_k R_k c_k exp(2 pi i k x)``, where ``c_k = mean_x u(x) exp(-2 pi i k x)`` are the
    Fourier coefficients of u on a unit box. So ``R`` is an operator on functions: every grid that
    resolves u samples the same v. (Orthonormal transforms give the same, for their factors cancel.)

    ``|k| < num_modes`` on the leading axes, where k and -k have their own weights, and
    ``0 <= k < last_axis_modes`` on the last one. A grid without some of these frequencies leaves
    their weights unused; at its Nyquist frequency, which stands for k and -k, -k is taken.

    The matrices are block diagonal in ``num_attention_heads`` heads of d channels and stored as
    real tensors ``[2 frequencies heads, d, d]``, real half first, frequencies in FFT order.

    Source: Fourier neural operator (arXiv 2010.08895), definition 3.

    Raises:
        ModelError: The configuration fixes no number of modes, or has a switch that only the AFNO
            mixer knows.
    """

    linear_names: ClassVar[tuple[str, ...]] = ()
    matrix_names: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        self.num_modes = _checked_num_modes(config)
        self.last_axis_modes = config.last_axis_modes or self.num_modes
        leading = (2 * self.num_modes - 1,) * (config.num_dims - 1)
        self.table = (*leading, self.last_axis_modes)
        self.num_heads = config.num_attention_heads
        self.head_size = config.hidden_size // self.num_heads
        self.transform = "auto"
        slices = 2 * math.prod(self.table) * self.num_heads
        self.weight = nn.Parameter(torch.empty(slices, self.head_size, self.head_size))

    def initialize(self) -> None:
        """Complex matrices with the scale that keeps the variance of a random spectrum."""
        init.normal_(self.weight, std=math.sqrt(0.5 / self.head_size))

    def _matrices(self, kept: KeptModes) -> tuple[Tensor, Tensor]:
        """Real and imaginary part for the frequencies of this grid, ``[kept heads, d, d]``."""
        weight = self.weight.view(2, *self.table, -1)
        for axis, size in enumerate(kept.latent[:-1], start=1):
            if kept.num_rows(axis - 1) < weight.shape[axis]:
                first, last = (size + 1) // 2, size // 2  # k >= 0, k < 0
                behind = weight.shape[axis] - last
                parts = [weight.narrow(axis, 0, first), weight.narrow(axis, behind, last)]
                weight = torch.cat(parts, axis)
        weight = weight.narrow(-2, 0, kept.columns)  # [2, *kept, h d d]
        real, imaginary = weight.reshape(2, -1, self.head_size, self.head_size)
        return real, imaginary

    def _transform_heads(self, spectrum: Tensor, kept: KeptModes) -> Tensor:
        """``R_k F_k`` on ``[batch, 2, *kept, channel]``."""
        real, imaginary = self._matrices(kept)
        B = spectrum.shape[0]
        x = spectrum.flatten(2, -2).unflatten(-1, (self.num_heads, self.head_size))
        x = x.permute(2, 3, 1, 0, 4).reshape(-1, 2 * B, self.head_size)  # [kept h, (2, B), d]
        x = x.to(real.dtype)
        by_real, by_imaginary = torch.bmm(x, real), torch.bmm(x, imaginary)
        y = torch.stack(
            [by_real[:, :B] - by_imaginary[:, B:], by_real[:, B:] + by_imaginary[:, :B]]
        )  # [2, kept h, B, d]
        y = y.unflatten(1, (-1, self.num_heads)).permute(3, 0, 1, 2, 4)  # [B, 2, kept, h, d]
        return y.reshape(spectrum.shape)

    def forward(
        self, hidden_states: Float[Tensor, "batch *latent channel"]
    ) -> Float[Tensor, "batch *latent channel"]:
        """Mix all positions of the latent grid."""
        kept = KeptModes(tuple(hidden_states.shape[1:-1]), self.num_modes, self.last_axis_modes)
        spectrum = to_spectrum(hidden_states, kept, self.transform)
        branch = from_spectrum(self._transform_heads(spectrum, kept), kept, self.transform)
        return hidden_states + branch.to(hidden_states.dtype)


def _checked_num_modes(config: DPOTConfig) -> int:
    """Number of modes of a configuration that this mixer can be built from."""
    if config.num_modes is None:
        raise ModelError(
            "the fno mixer has weights for every frequency and needs to know their number",
            got="num_modes null",
            do="Set num_modes, for instance to half of the latent points per axis",
        )
    for key, value in (
        ("mode_truncation", "symmetric"),
        ("spectral_output_bias", False),
        ("spectral_act", None),
        ("spectral_nonlinearity", "parts"),
    ):
        if (got := getattr(config, key)) != value:
            raise ModelError(
                f"the fno mixer is linear and symmetric: it does not know {key}",
                got=repr(got),
                do=f"Leave {key} out, or use the mixer 'afno'",
            )
    return config.num_modes
