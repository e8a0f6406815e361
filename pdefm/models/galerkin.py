"""Decoder that answers queries anywhere: features of a coarse grid, and Galerkin attention."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from pdefm.errors import ModelError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.resampling import along_axes, along_axis, linear_matrix, side_matrices

NUM_GUESSES = 3  # values a field that a query is told: interpolated, deconvolved, forecast


@dataclass(frozen=True)
class GalerkinSizes:
    """Sizes of a :class:`GalerkinDecoder`.

    Args:
        width: Features of a coarse cell and of a query.
        num_encoder_blocks: Convolutional blocks on the coarse grid.
        num_attention_layers: Attention layers among the queries.
        num_heads: Heads of each; they divide the width.
    """

    width: int = 48
    num_encoder_blocks: int = 2
    num_attention_layers: int = 2
    num_heads: int = 4


def _pad(values: Tensor, periodic: Sequence[bool]) -> Tensor:
    """One more point at both ends of every space axis: around the corner, or the same again."""
    for axis, wraps in enumerate(periodic, start=values.ndim - len(periodic)):
        size = values.shape[axis]
        index = torch.arange(-1, size + 1, device=values.device)
        index = index % size if wraps else index.clamp(0, size - 1)
        values = values.index_select(axis, index)
    return values


class CoarseEncoder(nn.Module):
    """Frames of named fields on a coarse grid to features: ``z + K_2 * act(K_1 * act(z))``.

    Kernels are 3 wide and see around the axes that wrap. In the first one each field owns its
    slices, one a frame, so that no channel is padded.
    """

    def __init__(
        self, num_fields: int, num_frames: int, num_dims: int, sizes: GalerkinSizes
    ) -> None:
        super().__init__()
        width, kernel = sizes.width, (3,) * num_dims
        self.convolution = (F.conv1d, F.conv2d, F.conv3d)[num_dims - 1]
        bound = (3**num_dims * num_frames) ** -0.5
        self.field_weight = nn.Parameter(
            torch.empty(num_fields, num_frames, width, *kernel).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.zeros(width))
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[num_dims - 1]
        self.blocks = nn.ModuleList(
            nn.ModuleList([kind(width, width, 3), kind(width, width, 3)])
            for _ in range(sizes.num_encoder_blocks)
        )

    def forward(
        self,
        coarse: Float[Tensor, "batch time channel *coarse"],
        field_ids: list[int],
        periodic: Sequence[bool],
    ) -> Float[Tensor, "batch width *coarse"]:
        """Features of every coarse cell; fewer frames than the history are its newest ones."""
        weight = self.field_weight[field_ids, -coarse.shape[1] :]  # [C, T, W, *kernel]
        kernel = weight.flatten(0, 1).transpose(0, 1)  # [W, C T, *kernel]
        values = coarse.transpose(1, 2).flatten(1, 2)  # [B, C T, *coarse]
        features = self.convolution(_pad(values, periodic), kernel, self.bias)
        for block in self.blocks:
            update = features
            for convolution in block.children():
                update = convolution(_pad(F.gelu(update), periodic))
            features = features + update
        return features


class GalerkinAttention(nn.Module):
    """Attention without softmax: ``z + P(Q (K^T V) / n)``, then ``z + MLP(z)``.

    K and V are layer-normalised in each head, and the sum runs over the n queries inside the mask,
    so the cost is linear in n.

    Source: Cao, "Choose a Transformer: Fourier or Galerkin" (arXiv 2105.14995), section 3.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.key_norm = nn.LayerNorm(width // num_heads)
        self.value_norm = nn.LayerNorm(width // num_heads)
        self.projection = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self,
        queries: Float[Tensor, "batch query width"],
        inside: Bool[Tensor, "batch query"] | None = None,
    ) -> Float[Tensor, "batch query width"]:
        """Let the queries see each other; what lies outside is seen by none."""
        parts = self.query_key_value(queries).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = (part.transpose(1, 2) for part in parts.unbind(2))  # [B, H, n, w]
        key, value = self.key_norm(key), self.value_norm(value)
        if inside is None:
            value = value / value.shape[2]
        else:
            share = inside / inside.sum(1, keepdim=True)  # [B, n]
            value = value * share[:, None, :, None].to(value)
        mixed = query @ (key.transpose(2, 3) @ value)  # [B, H, n, w]
        queries = queries + self.projection(mixed.transpose(1, 2).flatten(2))
        return queries + self.mlp(queries)


class LocalLift(nn.Module):
    """Features of the ``2^n`` cells around each query, to one feature vector.

    ``sum_c w_c(x) L_c z_c + M (place, size)``: every corner c has its own linear map, and the
    weights w are those of linear interpolation. The maps are applied on the coarse grid, where
    there are fewer points, and corners are joined axis by axis.
    """

    def __init__(self, num_dims: int, width: int) -> None:
        super().__init__()
        self.num_corners = 2**num_dims
        self.corners = nn.Linear(width, self.num_corners * width)
        self.place = nn.Linear(2 * num_dims, width)

    def forward(
        self,
        features: Float[Tensor, "batch width *coarse"],
        positions: Sequence[Float[Tensor, " _"]],
        periodic: Sequence[bool],
    ) -> Float[Tensor, "batch *queries width"]:
        """Features at every combination of positions."""
        values = self.corners(features.movedim(1, -1))  # [B, *coarse, corners W]
        parts = list(values.unflatten(-1, (self.num_corners, -1)).unbind(-2))
        known = []
        for axis, (size, at, wraps) in enumerate(
            zip(features.shape[2:], positions, periodic, strict=True)
        ):
            lower, upper = side_matrices(size, at, wraps)
            both = torch.cat([lower, upper], 1)  # [query, 2 size]
            half = len(parts) // 2
            parts = [
                along_axis(torch.cat([parts[i], parts[i + half]], 1 + axis), both, 1 + axis)
                for i in range(half)
            ]
            place = (at * size - 0.5).remainder(1.0)
            # How far apart queries are, in units of the cells; a single one is as wide as a cell.
            apart = size * (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else at.new_ones(())
            spacing = apart.expand_as(place)
            line = (*(1,) * axis, -1, *(1,) * (len(positions) - 1 - axis), 1)
            known += [v.to(features).view(line) for v in (place, spacing)]
        space = [len(at) for at in positions]
        told = torch.cat([v.expand(*space, 1) for v in known], -1)  # [*queries, 2 n]
        return parts[0] + self.place(told)


class GalerkinDecoder(nn.Module):
    """Named fields at any positions, from their past on a coarse grid; zero at first.

    A query is told the features of the ``2^n`` coarse cells around it, weighted as in linear
    interpolation; where it lies between them and how large they are; the base's latent grid at its
    position; and of each field what simpler ways make of it there. Queries then attend to each
    other. Fields own slices of what goes in and what comes out.

    Source: Super-Resolution Neural Operator (arXiv 2303.02584), section 3.
    """

    def __init__(self, config: DPOTConfig, sizes: GalerkinSizes) -> None:
        super().__init__()
        self.field_names = list(config.field_names or ())
        fields, n, width = len(self.field_names), config.num_dims, sizes.width
        self.encoder = CoarseEncoder(fields, config.history, n, sizes)
        self.lift = LocalLift(n, width)
        self.latent = nn.Linear(config.hidden_size, width)
        bound = NUM_GUESSES**-0.5
        self.guess_weight = nn.Parameter(
            torch.empty(fields, NUM_GUESSES, width).uniform_(-bound, bound)
        )
        self.mlp = nn.Sequential(nn.GELU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(
            GalerkinAttention(width, sizes.num_heads) for _ in range(sizes.num_attention_layers)
        )
        self.output = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.field_weight = nn.Parameter(torch.zeros(fields, width))
        self.field_bias = nn.Parameter(torch.zeros(fields))

    def field_ids(self, names: Sequence[str]) -> list[int]:
        """Slices of the named fields.

        Raises:
            ModelError: A name that the adapted model does not know.
        """
        if unknown := [name for name in names if name not in self.field_names]:
            raise ModelError(
                "unknown field name", got=f"'{unknown[0]}'", do=", ".join(self.field_names)
            )
        return [self.field_names.index(name) for name in names]

    def forward(
        self,
        coarse: Float[Tensor, "batch time channel *coarse"],
        latent: Float[Tensor, "batch hidden *latent"],
        guesses: Float[Tensor, "batch 3 channel *queries"],
        positions: Sequence[Float[Tensor, " _"]],
        *,
        names: Sequence[str],
        periodic: Sequence[bool],
        mask: Bool[Tensor, "batch *queries"] | None = None,
    ) -> Float[Tensor, "batch channel *queries"]:
        """What to add to the interpolation at every combination of positions, normalised.

        Args:
            coarse: Normalised frames, oldest first.
            latent: The base's last hidden state; its grid covers the same box.
            guesses: What a query is told of each field, normalised.
            positions: Along each axis, 0 to 1, ascending; any number of them anywhere.
            names: Field of each channel.
            periodic: Which axes wrap.
            mask: True at queries inside the domain.
        """
        field_ids = self.field_ids(names)
        queries = self.lift(self.encoder(coarse, field_ids, periodic), positions, periodic)
        axes = zip(latent.shape[2:], positions, periodic, strict=True)
        matrices = [linear_matrix(*axis) for axis in axes]
        known = self.latent(latent.movedim(1, -1))  # [B, *latent, W]
        queries = queries + along_axes(known, matrices, channels_last=True)
        weight = self.guess_weight[field_ids].transpose(0, 1)  # [3, C, W]
        queries = queries + torch.einsum("bgc...,gcw->b...w", guesses, weight)
        queries = self.mlp(queries)
        space, flat = queries.shape[1:-1], queries.flatten(1, -2)  # [B, n, W]
        for layer in self.layers:
            flat = layer(flat, None if mask is None else mask.flatten(1))
        values = F.linear(
            self.output(flat), self.field_weight[field_ids], self.field_bias[field_ids]
        )
        return values.transpose(1, 2).unflatten(2, space)  # [B, C, *queries]
