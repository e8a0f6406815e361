"""DPOT: patches, temporal aggregation, Fourier attention blocks, patch decoder, named fields."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.generic import ModelOutput

from pdefm.errors import ModelError
from pdefm.models.auto import register_auto_classes
from pdefm.models.dpot.configuration_dpot import NUM_GROUPS, DPOTConfig
from pdefm.models.mixers import MIXERS
from pdefm.registry import nearest_name_hint

NUM_COORDINATES = 3  # x, y, t


@dataclass
class DPOTOutput(ModelOutput):
    """What the model returns.

    Args:
        prediction: The next ``horizon`` frames, normalised, ``[batch, horizon, channel, nx, ny]``.
        last_hidden_state: Output of the last block, ``[batch, hidden_size, height, width]``.
    """

    # ModelOutput asks for a default, and the model always sets both.
    prediction: Tensor = None  # pyright: ignore[reportAssignmentType]
    last_hidden_state: Tensor = None  # pyright: ignore[reportAssignmentType]


def coordinates(history: int, nx: int, ny: int, like: Tensor) -> Float[Tensor, "history 3 nx ny"]:
    """Channels x, y, t in [0, 1], both ends included, with the dtype and device of ``like``."""
    t, x, y = (
        torch.linspace(0, 1, n, dtype=torch.float64, device=like.device) for n in (history, nx, ny)
    )
    full = (history, nx, ny)
    stacked = [x[None, :, None].expand(full), y.expand(full), t[:, None, None].expand(full)]
    return torch.stack(stacked, 1).to(like.dtype)  # [T, 3, nx, ny]


class DPOTPatchEmbedding(nn.Module):
    """Patch features of named fields: ``act(sum_c K_c * u_c + K_xyt * (x, y, t) + b)``.

    Each field owns one kernel ``[E, p, p]``, so any subset of the vocabulary can be embedded. The
    coordinates are the same for every sample and are convolved once.
    """

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        E, p = config.patch_feature_size, config.patch_size
        self.patch_size = p
        self.field_weight = nn.Parameter(torch.empty(len(config.field_names or ()), E, p, p))
        self.coordinate_weight = (
            nn.Parameter(torch.empty(NUM_COORDINATES, E, p, p))
            if config.coordinate_channels
            else None
        )
        self.bias = nn.Parameter(torch.empty(E))
        self.activation = ACT2FN[config.hidden_act]

    def initialize(self) -> None:
        """Uniform with the usual fan-in bound of a strided convolution."""
        bound = (self.patch_size**2 * 4) ** -0.5  # a handful of channels is the usual fan-in
        init.uniform_(self.field_weight, -bound, bound)
        if self.coordinate_weight is not None:
            init.uniform_(self.coordinate_weight, -bound, bound)
        init.zeros_(self.bias)

    def forward(
        self, history: Float[Tensor, "batch time channel nx ny"], field_ids: list[int]
    ) -> Float[Tensor, "batch height width time feature"]:
        """Fields to patch features.

        Kernel equals stride, so the convolution is one matrix product over patches.
        """
        _, T, _, nx, ny = history.shape
        kernel = self.field_weight[field_ids].transpose(0, 1).flatten(1)  # [E, C p p]
        features = F.linear(self._patches(history), kernel, self.bias)  # [B, H, W, T, E]
        if self.coordinate_weight is not None:
            grid = coordinates(T, nx, ny, history)[None]
            kernel = self.coordinate_weight.transpose(0, 1).flatten(1)  # [E, 3 p p]
            features = features + F.linear(self._patches(grid), kernel)
        return self.activation(features)

    def _patches(self, frames: Tensor) -> Tensor:
        """``[B, T, C, nx, ny]`` to ``[B, H, W, T, C p p]``."""
        p = self.patch_size
        blocks = frames.unflatten(4, (-1, p)).unflatten(3, (-1, p))  # [B, T, C, H, p, W, p]
        return blocks.permute(0, 3, 5, 1, 2, 4, 6).flatten(4)  # [B, H, W, T, C p p]


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

    def _frame_weights(self) -> Tensor:
        """``W[t,i,j] cos(tau_t gamma_i)``, in float32: the argument reaches 1024."""
        if self.gamma is None:
            return self.weight
        T = self.weight.shape[0]
        tau = torch.linspace(0, 1, T, device=self.weight.device)[:, None]
        phase = torch.cos(tau * self.gamma.float())  # [T, D]
        return self.weight * phase[:, :, None].to(self.weight.dtype)

    def forward(
        self, features: Float[Tensor, "batch height width time feature"]
    ) -> Float[Tensor, "batch hidden height width"]:
        """Patch features to the latent grid."""
        weights = self._frame_weights()
        folded = torch.einsum("ie,tij->jte", self.projection.weight, weights)  # [D, T, E]
        tokens = F.linear(features.flatten(3), folded.flatten(1))  # [B, H, W, D]
        hidden_states = tokens.permute(0, 3, 1, 2)  # [B, D, H, W]
        summed = weights.sum(0)  # [D, D]
        if self.position is None:
            return hidden_states + (self.projection.bias @ summed)[:, None, None]
        latent = hidden_states.shape[-2:]
        position = self.position
        if position.shape[-2:] != latent:
            position = F.interpolate(position, latent, mode="bicubic", align_corners=False)
        position = position + self.projection.bias[:, None, None]
        return hidden_states + torch.einsum("bihw,ij->bjhw", position, summed)


class DPOTLayer(GradientCheckpointingLayer):
    """Fourier block: ``z + MLP(GN2(mixer(GN1(z))))``; the residual wraps the whole block."""

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        D, hidden = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
        self.norm1 = nn.GroupNorm(NUM_GROUPS, D)
        self.mixer = MIXERS[config.mixer](config)
        self.norm2 = nn.GroupNorm(NUM_GROUPS, D)
        self.fc1 = nn.Conv2d(D, hidden, 1)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Conv2d(hidden, D, 1)

    def forward(
        self, hidden_states: Float[Tensor, "batch hidden height width"]
    ) -> Float[Tensor, "batch hidden height width"]:
        """Latent grid in and out."""
        mixed = self.norm2(self.mixer(self.norm1(hidden_states)))
        return hidden_states + self.fc2(self.activation(self.fc1(mixed)))


class DPOTDecoder(nn.Module):
    """Latent grid to fields: transposed patch convolution, then two pointwise layers."""

    def __init__(self, config: DPOTConfig) -> None:
        super().__init__()
        L, p, num_fields = config.decoder_size, config.patch_size, len(config.field_names or ())
        self.upsample = nn.ConvTranspose2d(config.hidden_size, L, p, stride=p)
        self.projection = nn.Conv2d(L, L, 1)
        self.field_weight = nn.Parameter(torch.empty(num_fields, config.horizon, L))
        self.field_bias = nn.Parameter(torch.empty(num_fields, config.horizon))
        self.activation = ACT2FN[config.hidden_act]
        self.starts_at_zero = config.prediction == "increment"

    def initialize(self) -> None:
        """An increment starts at zero, so an untrained model is the persistence forecast."""
        bound = 0.0 if self.starts_at_zero else self.projection.in_channels**-0.5
        init.uniform_(self.field_weight, -bound, bound)
        init.zeros_(self.field_bias)

    def forward(
        self, hidden_states: Float[Tensor, "batch hidden height width"], field_ids: list[int]
    ) -> Float[Tensor, "batch horizon channel nx ny"]:
        """Latent grid to frames of the named fields.

        Kernel equals stride and all that follows is pointwise, so every pixel of a patch is a row
        of matrix products, and only the finished fields are put in place.
        """
        L, p = self.projection.in_channels, self.upsample.stride[0]
        tokens = hidden_states.permute(0, 2, 3, 1)  # [B, H, W, D]
        kernel = self.upsample.weight.permute(0, 2, 3, 1).flatten(1)  # [D, p p L]
        pixels = (tokens @ kernel).unflatten(-1, (p, p, L))  # [B, H, W, p, p, L]
        pixels = self.activation(pixels + cast(Tensor, self.upsample.bias))
        pixels = self.activation(F.linear(pixels, *self._pointwise()))
        weight = self.field_weight[field_ids].transpose(0, 1)  # [T', C, L]
        bias = self.field_bias[field_ids].T  # [T', C]
        frames = F.linear(pixels, weight.flatten(0, 1), bias.flatten())  # [B, H, W, p, p, T' C]
        frames = frames.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)  # [B, T' C, nx, ny]
        return frames.unflatten(1, weight.shape[:2])  # [B, T', C, nx, ny]

    def _pointwise(self) -> tuple[Tensor, Tensor | None]:
        return self.projection.weight[:, :, 0, 0], self.projection.bias


class DPOTPreTrainedModel(PreTrainedModel):
    """Weight initialisation and the names that transformers asks for."""

    config_class = DPOTConfig
    base_model_prefix = "dpot"
    main_input_name = "history"
    supports_gradient_checkpointing = True
    _no_split_modules: set[str] | list[str] | None = ["DPOTLayer"]  # noqa: RUF012  # as the base has it

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Our own modules say how; the rest starts as PyTorch's fan-in uniform."""
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fan_in = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):
                fan_in = module.in_channels
            init.uniform_(module.weight, -(fan_in**-0.5), fan_in**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.GroupNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif hasattr(module, "initialize"):
            cast(Any, module).initialize()


class DPOTModel(DPOTPreTrainedModel):
    """Auto-regressive denoising operator transformer on named fields, 2-D.

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
        if history.ndim != 5:
            raise ModelError(
                "DPOT needs a history [batch, frames, channel, nx, ny]",
                got=list(history.shape),
                do="Add the missing axes; only two space axes can be modelled",
            )
        p = self.config.patch_size
        _, T, C, nx, ny = history.shape
        if nx % p or ny % p:
            raise ModelError(
                f"resolution must be divisible by the patch size {p}",
                got=f"{nx} x {ny}",
                do=f"Crop or resample to multiples of {p}",
            )
        if self.config.history != T:
            raise ModelError(
                f"the model needs {self.config.history} frames of history",
                got=T,
                do="Give exactly that many frames",
            )
        if len(field_ids) != C or len(set(field_ids)) != C:
            raise ModelError(
                f"the history has {C} channels for {len(field_ids)} field names",
                got=[cast(list[str], self.config.field_names)[i] for i in field_ids],
                do="Name every channel once with field_names",
            )

    def forward(
        self,
        history: Float[Tensor, "batch history channel nx ny"],
        field_names: tuple[str, ...] | list[str] | None = None,
        mask: Bool[Tensor, "batch nx ny"] | None = None,
    ) -> DPOTOutput:
        """Predict the next frames.

        Args:
            history: Normalised frames, oldest first.
            field_names: Name of each channel; may be left out when all fields are given in order.
            mask: True inside the domain; what lies outside never reaches the network.

        Returns:
            Normalised ``prediction`` ``[batch, horizon, channel, nx, ny]`` and the last hidden
            state.

        Raises:
            ModelError: Unknown or repeated field, wrong history length, grid that is not 2-D or not
                divisible by the patch size.
        """
        field_ids = self.field_ids(field_names)
        self._check(history, field_ids)
        if mask is not None:
            history = history.masked_fill(~mask[:, None, None], 0.0)
        hidden_states = self.time_aggregation(self.patch_embedding(history, field_ids))
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        prediction = self.decoder(hidden_states, field_ids)
        if self.config.prediction == "increment":
            prediction = history[:, -1:] + prediction
        return DPOTOutput(prediction=prediction, last_hidden_state=hidden_states)

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
        for module, name in (
            (self.patch_embedding, "field_weight"),
            (self.decoder, "field_weight"),
            (self.decoder, "field_bias"),
        ):
            old = getattr(module, name)
            rows = [torch.zeros_like(old[0]) if i is None else old[i] for i in ids]
            grown = nn.Parameter(torch.cat([old, torch.stack(rows)]), old.requires_grad)
            setattr(module, name, grown)
        self.config.field_names = [*known, *new]


register_auto_classes(finished=__name__)
