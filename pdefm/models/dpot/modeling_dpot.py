"""DPOT: patches, temporal aggregation, Fourier attention blocks, patch decoder, named fields."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.generic import ModelOutput

from pdefm.data.trajectory import Boundary
from pdefm.errors import ModelError
from pdefm.models.activations import make_activation
from pdefm.models.auto import register_auto_classes
from pdefm.models.dpot.conditioning import DPOTConditioning
from pdefm.models.dpot.configuration_dpot import NUM_GROUPS, DPOTConfig
from pdefm.models.dpot.fold import fold_frame_weights
from pdefm.models.mixers import MIXERS
from pdefm.models.pretrained import StrictPreTrainedModel
from pdefm.models.processing_pde import sample_mean
from pdefm.models.recompute import recomputed
from pdefm.models.spectral import known_equal
from pdefm.registry import nearest_name_hint

PUBLISHED_STD_OFFSET = 1e-6  # added to a sample's deviation by the published ``normalize`` switch


@dataclass
class DPOTOutput(ModelOutput):
    """What the model returns.

    Args:
        prediction: The next ``horizon`` frames, normalised, ``[batch, horizon, channel, *space]``.
        last_hidden_state: Output of the last block, ``[batch, hidden_size, *latent]``.
    """

    # ModelOutput asks for a default, and the model always sets both.
    prediction: Tensor = None  # pyright: ignore[reportAssignmentType]
    last_hidden_state: Tensor = None  # pyright: ignore[reportAssignmentType]


def coordinates(
    times: Float[Tensor, " history"], shape: tuple[int, ...], encoding: str
) -> Float[Tensor, "history coordinate *space"]:
    """Coordinate channels of every frame, time last.

    Args:
        times: Position of every frame in [0, 1]; gives dtype and device.
        shape: Points per space axis.
        encoding: ``linear`` (x in [0, 1], both ends included) or ``fourier`` (sine and cosine of
            ``2 pi i / n`` at point i, the same at every resolution).
    """
    double = {"dtype": torch.float64, "device": times.device}
    if encoding == "linear":
        # Not linspace, which would fix the number of points in an exported graph.
        lines = [[torch.arange(n, **double) / max(n - 1, 1)] for n in shape]
    else:
        angles = [torch.arange(n, **double) * (2 * math.pi / n) for n in shape]
        lines = [[angle.sin(), angle.cos()] for angle in angles]
    channels = [
        line.view(-1, *(1,) * (len(shape) - 1 - axis)).expand(shape)
        for axis, pair in enumerate(lines)
        for line in pair
    ]
    space = torch.stack(channels).to(times.dtype)  # [coordinate, *space]
    time = times.view(-1, 1, *(1,) * len(shape)).expand(-1, 1, *shape)  # [T, 1, *space]
    return torch.cat([space.expand(times.shape[0], *space.shape), time], 1)


class DPOTPatchEmbedding(nn.Module):
    """Patch features of named fields: ``act(sum_c K_c * u_c + K_xyt * (x, y, t) + b)``.

    Each field owns one kernel ``[E, p, p]``, so any subset of the vocabulary can be embedded. The
    coordinates are the same for every sample and are convolved once. With ``mask_channel`` what
    lies outside of the domain is one more channel, 1 there and 0 inside.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        E, p, n = config.patch_feature_size, config.patch_size, config.num_dims
        self.patch_size, self.num_dims = p, n
        self.encoding = config.coordinate_encoding
        self.field_weight = nn.Parameter(torch.empty(len(config.field_names or ()), E, *[p] * n))
        count = 1 + (n if self.encoding == "linear" else 2 * n)
        self.coordinate_weight = (
            nn.Parameter(torch.empty(count, E, *[p] * n)) if config.coordinate_channels else None
        )
        self.mask_weight = nn.Parameter(torch.empty(E, *[p] * n)) if config.mask_channel else None
        self.bias = nn.Parameter(torch.empty(E))
        self.activation = make_activation(config.hidden_act)

    def initialize(self) -> None:
        """Uniform with the usual fan-in bound of a strided convolution."""
        # The fan-in of a handful of channels, whatever the size of the vocabulary.
        bound = (self.patch_size**self.num_dims * 4) ** -0.5
        init.uniform_(self.field_weight, -bound, bound)
        if self.coordinate_weight is not None:
            init.uniform_(self.coordinate_weight, -bound, bound)
        if self.mask_weight is not None:
            init.uniform_(self.mask_weight, -bound, bound)
        init.zeros_(self.bias)

    def forward(
        self,
        history: Float[Tensor, "batch time channel *space"],
        times: Float[Tensor, " time"],
        field_ids: list[int],
        mask: Bool[Tensor, "batch *space"] | None = None,
    ) -> Float[Tensor, "batch *latent time feature"]:
        """Fields to patch features; kernel equals stride, so each patch is a row of a product."""
        kernel = self.field_weight[field_ids].transpose(0, 1).flatten(1)  # [E, C p^n]
        features = self._features(history, kernel, self.bias)
        if self.coordinate_weight is not None:
            grid = coordinates(times, tuple(history.shape[3:]), self.encoding)[None]
            kernel = self.coordinate_weight.transpose(0, 1).flatten(1)  # [E, coordinate p^n]
            features = features + self._features(grid, kernel)
        if self.mask_weight is not None:
            kernel = self.mask_weight.flatten(1)  # [E, p^n]
            if mask is None:
                # Nothing is outside; the weight still takes its part in a gradient exchange.
                features = features + 0.0 * kernel.sum()
            else:
                outside = (~mask)[:, None, None].to(history.dtype)  # [B, 1, 1, *space]
                features = features + self._features(outside, kernel)
        return self.activation(features)

    def _features(self, frames: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Product of every patch of ``[B, T, C, *space]``: ``[B, *latent, T, E]``."""
        if frames.device.type != "cpu":
            return F.linear(self._patches(frames), kernel, bias)
        return self._convolved(frames, kernel, bias)

    def _convolved(self, frames: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """The same without cutting the patches out."""
        n = self.num_dims
        convolution = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
        kernel = kernel.unflatten(1, (-1, *[self.patch_size] * n))  # [E, C, *patch]
        features = convolution(frames.flatten(0, 1), kernel, bias, stride=self.patch_size)
        features = features.unflatten(0, frames.shape[:2])  # [B, T, E, *latent]
        return features.permute(0, *range(3, n + 3), 1, 2)

    def _patches(self, frames: Tensor) -> Tensor:
        """``[B, T, C, *space]`` to ``[B, *latent, T, C p^n]``."""
        n = self.num_dims
        for axis in range(n + 2, 2, -1):
            frames = frames.unflatten(axis, (-1, self.patch_size))
        # now [B, T, C, X / p, p, Y / p, p, ...]
        latent, inner = range(3, 2 * n + 3, 2), range(4, 2 * n + 4, 2)
        return frames.permute(0, *latent, 1, 2, *inner).flatten(n + 2)  # [B, *latent, T, C p^n]


class DPOTTimeAggregation(nn.Module):
    """One latent grid from T frames: ``z_j = sum_{t,i} W[t,i,j] cos(tau_t gamma_i) h[t,i]``.

    ``tau = linspace(0, 1, T)``; ``mlp`` leaves the cosine out. The projection A of patch features
    and the positions come before it and are linear too, so all three are folded into one product:
    ``sum_t W_t^T (A f_t + b + pos) = sum_t (A^T W_t)^T f_t + (sum_t W_t)^T (b + pos)``.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        T, D = config.history, config.hidden_size
        self.projection = nn.Linear(config.patch_feature_size, D)
        self.weight = nn.Parameter(torch.empty(T, D, D))
        exponential = config.time_aggregation == "exp_mlp"
        self.gamma = nn.Parameter(torch.empty(1, D)) if exponential else None
        size = config.position_size
        self.position = None if size is None else nn.Parameter(torch.empty(1, D, *size))

    def initialize(self) -> None:
        """Published initialisation; gamma is the geometric ladder from 2^-10 to 2^10."""
        T, D, _ = self.weight.shape
        init.normal_(self.weight, std=1.0 / (T * D**0.5))
        if self.gamma is not None:
            init.copy_(self.gamma, 2.0 ** torch.linspace(-10, 10, D)[None])
        if self.position is not None:
            init.trunc_normal_(self.position, std=0.02)

    def frame_times(self) -> Float[Tensor, " history"]:
        """``tau`` in float32: 0 for the oldest frame of a whole history, 1 for the newest."""
        return torch.linspace(0, 1, len(self.weight), device=self.weight.device)

    def _phase(self) -> Tensor:
        """``cos(tau_t gamma_i)`` ``[T, D]``, always in float32: gamma reaches 1024."""
        if self.gamma is None:
            return self.weight.new_ones(self.weight.shape[:2])
        phase = torch.cos(self.frame_times()[:, None] * self.gamma.float())
        return phase.to(self.weight.dtype)

    def forward(
        self, features: Float[Tensor, "batch *latent time feature"]
    ) -> Float[Tensor, "batch *latent hidden"]:
        """Patch features to the latent grid; fewer frames than the history are its newest ones."""
        weight, phase = self.weight, self._phase()
        missing = weight.shape[0] - features.shape[-2]
        if missing:  # a slice has a gradient as large as the whole
            weight, phase = weight[missing:], phase[missing:]
        folded, summed = fold_frame_weights(weight, phase, self.projection.weight)
        # Sample by sample, for there the features may have their axes in another order.
        rows = features.flatten(1, -3).flatten(2)  # [B, positions, T E]
        tokens = torch.bmm(rows, folded.flatten(0, 1).expand(rows.shape[0], -1, -1))
        tokens = tokens.view(*features.shape[:-2], -1)  # [B, *latent, D]
        return tokens + (self._position(features.shape[1:-2]) + self.projection.bias) @ summed

    def _position(self, latent: torch.Size) -> Tensor:
        """Position table on this latent grid, ``[*latent, D]``."""
        position = self.position
        if position is None:
            return self.weight.new_zeros(())
        if not all(map(known_equal, position.shape[2:], latent)):
            mode = {1: "linear", 2: "bicubic", 3: "trilinear"}[len(latent)]
            position = F.interpolate(position, latent, mode=mode, align_corners=False)
        return position[0].movedim(0, -1)


class TokenGroupNorm(nn.GroupNorm):
    """Group normalisation of ``[batch, *latent, channel]``."""

    def forward(
        self,
        input: Float[Tensor, "batch *latent channel"],
    ) -> Float[Tensor, "batch *latent channel"]:
        """Normalise each sample and group over its channels and all positions."""
        # As an image of height 1 that has its channels last: nothing is copied.
        image = input.flatten(1, -2).transpose(1, 2).unsqueeze(2)  # [B, D, 1, positions]
        trained = self.weight.requires_grad or self.bias.requires_grad
        if trained and torch.is_grad_enabled() and not input.requires_grad:
            # On CPUs the backward pass for the weight alone crashes in that layout (torch 2.13).
            image = image.contiguous()
        return super().forward(image).squeeze(2).transpose(1, 2).reshape(input.shape)


class DPOTLayerModulation(nn.Module):
    """Scale and shift after both norms of a block, linear in the conditions; zero at first."""

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4 * config.hidden_size, config.condition_size))

    def initialize(self) -> None:
        """An untrained model does not listen to its conditions."""
        init.zeros_(self.weight)

    def forward(self, condition: Float[Tensor, "batch condition"], ndim: int) -> tuple[Tensor, ...]:
        """Four tensors ``[batch, 1, ..., hidden]`` of ``ndim`` axes."""
        values = F.linear(condition, self.weight)  # [B, 4 D]
        return values.view(values.shape[0], *(1,) * (ndim - 2), -1).chunk(4, -1)


class DPOTLayer(GradientCheckpointingLayer):
    """Fourier block: ``z + MLP(GN2(mixer(GN1(z))))``; the residual wraps the whole block.

    With conditions c both norms are followed by ``u <- (1 + A c) u + B c``, A and B zero at first.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        D, hidden = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
        self.norm1 = TokenGroupNorm(NUM_GROUPS, D)
        self.mixer = MIXERS[config.mixer](config)
        self.norm2 = TokenGroupNorm(NUM_GROUPS, D)
        self.fc1 = nn.Linear(D, hidden)
        self.activation = make_activation(config.hidden_act)
        self.fc2 = nn.Linear(hidden, D)
        self.condition_modulation = DPOTLayerModulation(config) if config.conditions else None

    def forward(
        self,
        hidden_states: Float[Tensor, "batch *latent hidden"],
        condition: Float[Tensor, "batch condition"] | None = None,
    ) -> Float[Tensor, "batch *latent hidden"]:
        """Latent grid in and out."""
        update = self.norm1(hidden_states)
        if self.condition_modulation is None or condition is None:
            update = self.norm2(self.mixer(update))
        else:
            scale1, shift1, scale2, shift2 = self.condition_modulation(
                condition, hidden_states.ndim
            )
            update = self.mixer(update * (1 + scale1) + shift1)
            update = self.norm2(update) * (1 + scale2) + shift2
        update = self.fc1(update)
        activated = self.activation(update)
        with recomputed(activated, lambda: self.activation(update)):
            return hidden_states + self.fc2(activated)


class DPOTDecoder(nn.Module):
    """Latent grid to fields: transposed patch convolution, then two pointwise layers.

    Kernel equals stride and all that follows is pointwise, so every pixel of a patch is a row of
    matrix products, and only the finished fields are put in place.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        L, p, num_fields = config.decoder_size, config.patch_size, len(config.field_names or ())
        self.patch = (p,) * config.num_dims
        self.upsample = nn.Linear(config.hidden_size, p**config.num_dims * L, bias=False)
        self.upsample_bias = nn.Parameter(torch.empty(L))
        self.projection = nn.Linear(L, L)
        self.field_weight = nn.Parameter(torch.empty(num_fields, config.horizon, L))
        self.field_bias = nn.Parameter(torch.empty(num_fields, config.horizon))
        self.activation = make_activation(config.hidden_act)
        self.starts_at_zero = config.prediction == "increment"

    def initialize(self) -> None:
        """An increment starts at zero, so an untrained model is the persistence forecast."""
        L = len(self.upsample_bias)
        init.zeros_(self.upsample_bias)
        bound = 0.0 if self.starts_at_zero else L**-0.5
        init.uniform_(self.field_weight, -bound, bound)
        init.zeros_(self.field_bias)

    def _pixels(self, hidden_states: Tensor) -> Tensor:
        """``[B, *latent, D]`` to features of every pixel, ``[B, *latent, pixels, L]``."""
        L = len(self.upsample_bias)
        # In place: these are the largest tensors of all.
        pixels = self.upsample(hidden_states).unflatten(-1, (-1, L)).add_(self.upsample_bias)
        activated = self.activation(pixels)
        with recomputed(activated, lambda: self.activation(pixels)):
            return self.projection(activated)

    def forward(
        self, hidden_states: Float[Tensor, "batch *latent hidden"], field_ids: list[int]
    ) -> Float[Tensor, "batch horizon channel *space"]:
        """Latent grid to frames of the named fields."""
        n = len(self.patch)
        pixels = self._pixels(hidden_states)
        weight = self.field_weight[field_ids].transpose(0, 1)  # [T', C, L]
        bias = self.field_bias[field_ids].T  # [T', C]
        activated = self.activation(pixels)
        with recomputed(activated, lambda: self.activation(pixels)):
            frames = F.linear(activated, weight.flatten(0, 1), bias.flatten())
        frames = frames.unflatten(-2, self.patch)  # [B, *latent, *patch, T' C]
        pairs = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]
        frames = frames.permute(0, 2 * n + 1, *pairs)  # [B, T' C, X / p, p, Y / p, p, ...]
        for axis in range(2, n + 2):
            frames = frames.flatten(axis, axis + 1)
        return frames.unflatten(1, weight.shape[:2])  # [B, T', C, *space]


class DPOTInstanceModulation(nn.Module):
    """Tells the latent grid how a sample was scaled: ``z <- a z + b``.

    ``a`` and ``b`` are linear in mean and deviation of every field; each field owns its slices.
    Source: DPOT (arXiv 2403.03542), the published ``normalize`` switch.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        num_fields, D = len(config.field_names or ()), config.hidden_size
        self.scale_weight = nn.Parameter(torch.empty(num_fields, 2, D))
        self.scale_bias = nn.Parameter(torch.empty(D))
        self.shift_weight = nn.Parameter(torch.empty(num_fields, 2, D))
        self.shift_bias = nn.Parameter(torch.empty(D))

    def initialize(self) -> None:
        """Starts as the identity: ``a = 1``, ``b = 0``."""
        init.zeros_(self.scale_weight)
        init.zeros_(self.shift_weight)
        init.ones_(self.scale_bias)
        init.zeros_(self.shift_bias)

    def forward(
        self,
        hidden_states: Float[Tensor, "batch *latent hidden"],
        mean: Float[Tensor, "batch 1 channel *ones"],
        std: Float[Tensor, "batch 1 channel *ones"],
        field_ids: list[int],
    ) -> Float[Tensor, "batch *latent hidden"]:
        """Modulate by the statistics of the sample."""
        statistics = torch.stack([mean.flatten(1), std.flatten(1)], -1)  # [B, C, 2]
        weights = (self.scale_weight[field_ids], self.shift_weight[field_ids])  # [C, 2, D]
        a, b = (torch.einsum("bcs,csd->bd", statistics, weight) for weight in weights)
        shape = (a.shape[0], *(1,) * (hidden_states.ndim - 2), -1)
        return (a + self.scale_bias).view(shape) * hidden_states + (b + self.shift_bias).view(shape)


class DPOTPreTrainedModel(StrictPreTrainedModel):
    """Weight initialisation and the names that transformers asks for."""

    config_class = DPOTConfig
    base_model_prefix = "dpot"
    main_input_name = "history"
    supports_gradient_checkpointing = True
    # Phases are gamma times time, up to 1024: half precision would be a whole turn off.
    _keep_in_fp32_modules_strict: set[str] | list[str] | None = ["gamma"]  # noqa: RUF012
    _no_split_modules: set[str] | list[str] | None = ["DPOTLayer"]  # noqa: RUF012  # as the base has it

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Our own modules say how; the rest starts as PyTorch's fan-in uniform."""
        if isinstance(module, nn.Linear):
            fan_in = module.weight[0].numel()
            init.uniform_(module.weight, -(fan_in**-0.5), fan_in**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif hasattr(module, "initialize"):
            cast(Any, module).initialize()


class DPOTModel(DPOTPreTrainedModel):
    """Auto-regressive denoising operator transformer on named fields, 2-D and 3-D.

    Maps the last ``history`` frames to the next ``horizon`` frames, in normalised units;
    :class:`~pdefm.models.processing_pde.PDEProcessor` holds the units and statistics.

    Source: DPOT (arXiv 2403.03542), section 4. The published models are reproduced by the
    configuration that :mod:`~pdefm.models.dpot.convert_dpot` writes.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__(config)
        self.patch_embedding = DPOTPatchEmbedding(config)
        self.time_aggregation = DPOTTimeAggregation(config)
        self.layers = nn.ModuleList(DPOTLayer(config) for _ in range(config.num_hidden_layers))
        self.decoder = DPOTDecoder(config)
        self.modulation = DPOTInstanceModulation(config) if config.instance_normalization else None
        self.conditioning = DPOTConditioning(config) if config.conditions else None
        self.post_init()

    def field_ids(self, field_names: tuple[str, ...] | list[str] | None) -> list[int]:
        """Slices of the named fields; ``None`` is the whole vocabulary, in order.

        Raises:
            ModelError: A name that the model does not know.
        """
        known = cast(list[str], self.config.field_names)
        if field_names is None:
            return list(range(len(known)))
        for name in field_names:
            if name not in known:
                raise ModelError(
                    "unknown field name",
                    got=f"'{name}'",
                    do=f"{nearest_name_hint(name, known)}. A new field joins with"
                    " model.add_fields or --add-field",
                )
        return [known.index(name) for name in field_names]

    def _check(self, history: Tensor, field_ids: list[int]) -> None:
        n, p = self.config.num_dims, self.config.patch_size
        if history.ndim != n + 3:
            raise ModelError(
                f"this DPOT needs a history [batch, frames, channel, {', '.join('xyz'[:n])}]",
                got=list(history.shape),
                do=f"Add the missing axes; the model has {n} space axes",
            )
        _, T, C, *space = history.shape
        if any(size % p for size in space):
            raise ModelError(
                f"resolution must be divisible by the patch size {p}",
                got=" x ".join(map(str, space)),
                do=f"Crop or resample to multiples of {p}",
            )
        if not 1 <= T <= self.config.history:
            raise ModelError(
                f"the model takes up to {self.config.history} frames of history",
                got=T,
                do="Give the newest frames, at least one",
            )
        if len(field_ids) != C or len(set(field_ids)) != C:
            raise ModelError(
                f"the history has {C} channels for {len(field_ids)} field names",
                got=[cast(list[str], self.config.field_names)[i] for i in field_ids],
                do="Name every channel once with field_names",
            )

    def forward(
        self,
        history: Float[Tensor, "batch history channel *space"],
        field_names: tuple[str, ...] | list[str] | None = None,
        mask: Bool[Tensor, "batch *space"] | None = None,
        dt: Float[Tensor, " batch"] | None = None,
        boundary: Boundary | None = None,
        parameters: Mapping[str, Float[Tensor, " batch"]] | None = None,
    ) -> DPOTOutput:
        """Predict the next frames.

        ``dt``, ``boundary`` and ``parameters`` matter to models that name them in
        ``config.conditions``; others do not use them.

        Args:
            history: Normalised frames, oldest first; fewer than ``config.history`` are its newest.
            field_names: Name of each channel; may be left out when all fields are given in order.
            mask: True inside the domain; what lies outside never reaches the network.
            dt: Time between frames, as
                :meth:`~pdefm.models.processing_pde.PDEProcessor.conditions_of` normalises it.
            boundary: Conditions at both sides of every axis.
            parameters: Scalars of the equation by name, normalised in the same way.

        Returns:
            Normalised ``prediction`` ``[batch, horizon, channel, *space]`` and the last hidden
            state.

        Raises:
            ModelError: Unknown or repeated field, wrong history length, wrong number of space axes,
                or a grid not divisible by the patch size.
        """
        field_ids = self.field_ids(field_names)
        self._check(history, field_ids)
        scale = None if self.modulation is None else self._instance_scale(history, mask)
        if scale is not None:
            history = (history - scale[0]) / scale[1]
        if mask is not None:
            history = history.masked_fill(~mask[:, None, None], 0.0)
        hidden_states = self._embed(history, field_ids, mask)
        if self.modulation is not None and scale is not None:
            hidden_states = self.modulation(hidden_states, *scale, field_ids)
        condition = None
        if self.conditioning is not None:
            scalars = {**(parameters or {}), **({} if dt is None else {"dt": dt})}
            condition = self.conditioning(scalars, boundary, hidden_states)
        for layer in self.layers:
            hidden_states = layer(hidden_states, condition)
        prediction = self.decoder(hidden_states, field_ids)
        if self.config.prediction == "increment":
            prediction = history[:, -1:] + prediction
        if scale is not None:
            prediction = prediction * scale[1] + scale[0]
        return DPOTOutput(prediction=prediction, last_hidden_state=hidden_states.movedim(-1, 1))

    def _embed(self, history: Tensor, field_ids: list[int], mask: Tensor | None) -> Tensor:
        """Frames to the latent grid ``[B, *latent, D]``."""
        missing = self.config.history - history.shape[1]
        if missing and self.config.short_history == "repeat":
            oldest = history[:, :1].expand(-1, missing, *history.shape[2:])
            history = torch.cat([oldest, history], 1)
        times = self.time_aggregation.frame_times()[-history.shape[1] :].to(history.dtype)
        features = self.patch_embedding(history, times, field_ids, mask)
        return self.time_aggregation(features)

    def _instance_scale(self, history: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and unbiased deviation of each sample and field, ``[B, 1, C, 1, ...]``."""
        mean = sample_mean(history, mask)
        variance = sample_mean((history - mean).square(), mask)
        points = history.shape[1] * history[0, 0, 0].numel()
        if mask is not None:
            count = history.shape[1] * mask.flatten(1).sum(1)  # [B]
            points = count.view(-1, *(1,) * (history.ndim - 1))
        std = (variance * points / (points - 1)).sqrt()
        std = torch.maximum(std, self.config.instance_std_floor * mean.abs())
        return mean, std + PUBLISHED_STD_OFFSET

    @torch.no_grad()
    def add_fields(self, new: dict[str, str | None]) -> None:
        """Append named fields; the outputs for the fields known before do not change by a bit.

        Args:
            new: Name of each new field, and the known field whose weights it starts from, or
                ``None`` to start from zero.

        Raises:
            ModelError: A name that is known already, or a source that is not.
        """
        known = cast(list[str], self.config.field_names)
        if not new:
            return
        if taken := [name for name in new if name in known]:
            raise ModelError("field is known already", got=taken[0], do="Leave it out")
        ids = [None if like is None else self.field_ids([like])[0] for like in new.values()]
        for module, name in self.field_slices():
            old = getattr(module, name)
            rows = [torch.zeros_like(old[0]) if i is None else old[i] for i in ids]
            grown = nn.Parameter(torch.cat([old, torch.stack(rows)]), old.requires_grad)
            setattr(module, name, grown)
        self.config.field_names = [*known, *new]

    @torch.no_grad()
    def drop_fields(self, names: Sequence[str]) -> None:
        """Forget named fields; what the model makes of the others does not change by a bit.

        Args:
            names: Known fields, not all of them.

        Raises:
            ModelError: A name that is not known, or no field would be left.
        """
        dropped = set(self.field_ids(list(names)))
        known = cast(list[str], self.config.field_names)
        kept = [i for i in range(len(known)) if i not in dropped]
        if not kept:
            raise ModelError("a model needs at least one field", got=f"dropping all of {known}")
        for module, name in self.field_slices():
            old = getattr(module, name)
            setattr(module, name, nn.Parameter(old[kept], old.requires_grad))
        self.config.field_names = [known[i] for i in kept]

    def export(self, path: str | Path, format: str = "onnx", **options: Any) -> Path:
        """Write the model as one file that runs without pdefm.

        Args:
            path: File to write, ``.onnx`` or ``.pt2``.
            format: ``onnx`` or ``torch``.
            **options: Of :func:`~pdefm.models.export.export_model`, which says more.
        """
        from pdefm.models.export import export_model  # it needs this class

        return export_model(self, path, format=format, **options)

    def field_slices(self) -> list[tuple[nn.Module, str]]:
        """Parameters whose first axis is the vocabulary: their module and name."""
        owners: list[tuple[nn.Module, str]] = [
            (self.patch_embedding, "field_weight"),
            (self.decoder, "field_weight"),
            (self.decoder, "field_bias"),
        ]
        if self.modulation is not None:
            owners += [(self.modulation, "scale_weight"), (self.modulation, "shift_weight")]
        return owners


register_auto_classes(finished=__name__)
