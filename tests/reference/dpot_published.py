"""The published 2-D DPOT as it was built from layers: what our speed is measured against.

Same operations in the same order as the published model runs them (frames folded into the batch,
one convolution and projection a frame, four real products and four zero buffers a complex layer),
under the published parameter names. Written from the equations in the paper (arXiv 2403.03542,
section 4); the class head, which nothing trains, is left out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralMixer(nn.Module):
    """Complex two-layer network on the kept frequencies, channels last, every part on its own."""

    def __init__(self, width: int, heads: int, modes: int) -> None:
        super().__init__()
        d = width // heads
        self.heads, self.modes = heads, modes
        self.w1 = nn.Parameter(torch.rand(2, heads, d, d) / d**2)
        self.b1 = nn.Parameter(torch.rand(2, heads, d) / d**2)
        self.w2 = nn.Parameter(torch.rand(2, heads, d, d) / d**2)
        self.b2 = nn.Parameter(torch.rand(2, heads, d) / d**2)

    def forward(self, u: Tensor) -> Tensor:
        B, D, H, W = u.shape
        x = u.permute(0, 2, 3, 1)  # [B, H, W, D]
        spectrum = torch.fft.rfft2(x, dim=(1, 2), norm="ortho")
        spectrum = spectrum.reshape(B, H, W // 2 + 1, self.heads, -1)
        shape, where = spectrum.shape, (slice(None), slice(self.modes), slice(self.modes))
        parts = [torch.zeros(shape, device=u.device, dtype=u.dtype) for _ in range(4)]
        first_real, first_imag, second_real, second_imag = parts

        def product(values: Tensor, weight: Tensor) -> Tensor:
            return torch.einsum("...hi,hio->...ho", values, weight)

        kept = spectrum[where]
        w1, b1, w2, b2 = self.w1, self.b1, self.w2, self.b2
        first_real[where] = F.gelu(product(kept.real, w1[0]) - product(kept.imag, w1[1]) + b1[0])
        first_imag[where] = F.gelu(product(kept.imag, w1[0]) + product(kept.real, w1[1]) + b1[1])
        real, imag = first_real[where], first_imag[where]
        second_real[where] = product(real, w2[0]) - product(imag, w2[1]) + b2[0]
        second_imag[where] = product(imag, w2[0]) + product(real, w2[1]) + b2[1]
        mixed = torch.view_as_complex(torch.stack([second_real, second_imag], -1))
        mixed = mixed.reshape(B, H, W // 2 + 1, D)
        branch = torch.fft.irfft2(mixed, s=(H, W), dim=(1, 2), norm="ortho")
        return (branch + x).permute(0, 3, 1, 2)  # [B, D, H, W]


class Block(nn.Module):
    """``z + MLP(GN(mixer(GN(z))))``."""

    def __init__(self, width: int, heads: int, modes: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.filter = SpectralMixer(width, heads, modes)
        self.norm2 = nn.GroupNorm(8, width)
        self.mlp = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1)
        )

    def forward(self, z: Tensor) -> Tensor:
        return z + self.mlp(self.norm2(self.filter(self.norm1(z))))


class PublishedDPOT(nn.Module):
    """Fields ``[B, X, Y, T, C]`` to ``[B, X, Y, T', C]``; GELU, ``exp_mlp``, square grids only."""

    def __init__(
        self,
        *,
        size: int,
        patch: int,
        fields: int,
        frames: int,
        width: int,
        depth: int,
        heads: int,
        modes: int,
        mlp_ratio: float,
        decoder: int,
        frames_out: int = 1,
    ) -> None:
        super().__init__()
        E = fields * patch + 3
        embed = [nn.Conv2d(fields + 3, E, patch, patch), nn.GELU(), nn.Conv2d(E, width, 1)]
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Sequential(*embed)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, width, size // patch, size // patch))
        self.time_agg_layer = nn.Module()
        self.time_agg_layer.w = nn.Parameter(
            torch.randn(frames, width, width) / (frames * width**0.5)
        )
        self.time_agg_layer.gamma = nn.Parameter(2 ** torch.linspace(-10, 10, width)[None])
        hidden = int(width * mlp_ratio)
        self.blocks = nn.ModuleList(Block(width, heads, modes, hidden) for _ in range(depth))
        self.out_layer = nn.Sequential(
            nn.ConvTranspose2d(width, decoder, patch, patch),
            nn.GELU(),
            nn.Conv2d(decoder, decoder, 1),
            nn.GELU(),
            nn.Conv2d(decoder, fields * frames_out, 1),
        )
        self.frames_out = frames_out

    def forward(self, x: Tensor) -> Tensor:
        B, X, Y, T, C = x.shape
        lines = [torch.linspace(0, 1, n, device=x.device, dtype=x.dtype) for n in (X, Y, T)]
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)
        x = torch.cat([x, grid.expand(B, X, Y, T, 3)], -1)
        x = x.permute(0, 3, 4, 1, 2).reshape(B * T, C + 3, X, Y)
        z = self.patch_embed.proj(x) + self.pos_embed  # [B T, D, H, W]
        z = z.unflatten(0, (B, T)).permute(0, 3, 4, 1, 2)  # [B, H, W, T, D]
        tau = torch.linspace(0, 1, T, device=x.device, dtype=x.dtype)[:, None]
        z = z * torch.cos(tau * self.time_agg_layer.gamma)
        z = torch.einsum("tij,...ti->...j", self.time_agg_layer.w, z).permute(0, 3, 1, 2)
        for block in self.blocks:
            z = block(z)
        y = self.out_layer(z).permute(0, 2, 3, 1)  # [B, X, Y, T' C]
        return y.unflatten(-1, (self.frames_out, C))
