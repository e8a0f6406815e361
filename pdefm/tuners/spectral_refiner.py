"""A spectral layer after the frozen base, on the physical grid and at every frequency."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from pydantic import Field as Limits
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.metrics import sobolev_error
from pdefm.models.dpot.modeling_dpot import DPOTModel, DPOTOutput
from pdefm.models.spectral import KeptModes, cached, from_spectrum, to_spectrum
from pdefm.tuners.base import Tuner, load_trainable_state, trainable_state

FIELDS_NDIM = 4  # batch, time, channel and one space axis; less is no field
SINGLES = 8
KNOTS_PER_OCTAVE = 4


class SpectralRefinerOptions(Section):
    """Options of the spectral refiner."""

    sobolev_order: float = Limits(default=1.0, ge=-4, le=4)
    """Order s of the norm that the error is trained in: below 0 large scales weigh more, above 0
    small ones; 0 is the loss of the task."""
    max_wave_number: int = Limits(default=64, ge=1)
    """Periods per domain up to which the layer is drawn; beyond, it stays as it is there."""
    gain: float = Limits(default=10.0, gt=0)
    """The stored numbers are multiplied by this, so that learning rates which suit the other tuners
    suit this one."""
    field_slices: bool = False
    """Train the slices of the fields too, for fields that are new to the base."""


def knots(max_wave_number: int) -> list[float]:
    """Wave numbers at which the layer has weights: 0 to 8, then four in each octave."""
    found = [float(k) for k in range(min(max_wave_number, SINGLES) + 1)]
    while found[-1] < max_wave_number:
        octave = SINGLES * 2 ** ((len(found) - SINGLES - 1) // KNOTS_PER_OCTAVE)
        found.append(min(found[-1] + octave / KNOTS_PER_OCTAVE, float(max_wave_number)))
    return found


@cached
def symbols(kept: KeptModes, max_wave_number: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What each frequency makes of the weights: ``[*kept, knot]`` and ``[*kept, harmonic]``.

    The first interpolates linearly between the knots in ``|k|``. The second are functions of the
    direction ``d = k / |k|``: first the even ones ``1, d_i^2`` (all axes but the last) and ``d_i
    d_j``, then the odd ones ``d_i``. Where a grid cannot tell ``k_i`` from ``-k_i`` that component
    is left out of products and of the odd ones, so that real fields stay real.
    """
    n = len(kept.latent)
    sizes = kept.latent
    rows = [torch.fft.fftfreq(size, 1 / size) for size in sizes[:-1]]
    grids = torch.meshgrid(*rows, torch.arange(kept.columns) + 0.0, indexing="ij")
    numbers = torch.stack(grids, -1)  # [*kept, n]
    length = numbers.square().sum(-1).sqrt()
    at = torch.tensor(knots(max_wave_number))
    right = torch.bucketize(length, at).clamp(1, len(at) - 1)
    share = ((length - at[right - 1]) / (at[right] - at[right - 1])).clamp(0, 1)[..., None]
    one_hot = torch.eye(len(at))
    radial = one_hot[right - 1] * (1 - share) + one_hot[right] * share
    direction = numbers / length.clamp(min=1)[..., None]
    signed = direction.masked_fill(2 * numbers.abs() == torch.tensor(sizes), 0.0)
    pairs = [signed[..., i] * signed[..., j] for i in range(n) for j in range(i)]
    even = [torch.ones_like(length), *direction.square().unbind(-1)[:-1], *pairs]
    angular = torch.stack([*even, *signed.unbind(-1)], -1)
    return radial.to(device), angular.to(device)


class SpectralLayer(nn.Module):
    r"""``v + F^-1[A(k) v_hat + B(k) u_hat]``, v a predicted frame and u the newest known one.

    ``A_ij(k) = sum_{q, h} w_{ijqh} radial_q(|k|) angular_h(k / |k|)`` for fields i, j, likewise B;
    harmonics that are odd in k are multiplied by the imaginary unit. The weights do not depend on
    the grid and start at zero.
    """

    def __init__(
        self, num_fields: int, horizon: int, num_dims: int, options: SpectralRefinerOptions
    ) -> None:
        super().__init__()
        self.max_wave_number, self.gain = options.max_wave_number, options.gain
        self.num_even = num_dims + num_dims * (num_dims - 1) // 2
        shape = (len(knots(options.max_wave_number)), self.num_even + num_dims)
        self.weight = nn.Parameter(torch.zeros(horizon, num_fields, num_fields, 2, *shape))

    def forward(
        self,
        prediction: Float[Tensor, "batch horizon channel *space"],
        newest: Float[Tensor, "batch channel *space"],
        field_ids: list[int],
    ) -> Float[Tensor, "batch horizon channel *space"]:
        """Refined frames of the named fields."""
        kept = KeptModes(tuple(prediction.shape[3:]))
        radial, angular = symbols(kept, self.max_wave_number, prediction.device)
        weight = self.gain * self.weight.float()[:, field_ids][:, :, field_ids]
        known = self._spectrum(newest, kept)
        refined = []
        for frame, own in zip(prediction.unbind(1), weight, strict=True):
            both = torch.cat([self._spectrum(frame, kept), known], -1)  # [B, 2, *kept, 2 C]
            parts = torch.einsum("ijpqh,...q,...h->...pjih", own, radial, angular)
            even, odd = (
                part.sum(-1).flatten(-3, -2)  # [*kept, 2 C, C]
                for part in (parts[..., : self.num_even], parts[..., self.num_even :])
            )
            straight, turned = (torch.einsum("b...j,...ji->b...i", both, m) for m in (even, odd))
            real = straight[:, 0] - turned[:, 1]
            imaginary = straight[:, 1] + turned[:, 0]
            change = from_spectrum(torch.stack([real, imaginary], 1), kept)
            refined.append(frame + change.movedim(-1, 1).to(frame.dtype))
        return torch.stack(refined, 1)

    def _spectrum(self, frame: Tensor, kept: KeptModes) -> Tensor:
        """``[B, C, *space]`` to ``[B, 2, *kept, C]``."""
        return to_spectrum(frame.movedim(1, -1), kept)


class RefinedModel(nn.Module):
    """A model and the spectral layer behind it."""

    def __init__(self, model: DPOTModel, options: SpectralRefinerOptions) -> None:
        super().__init__()
        config = cast(Any, model.config)
        self.model = model
        # It makes the prediction, so it freezes with the decoder where a task needs neither.
        self.decoder = SpectralLayer(
            len(config.field_names), config.horizon, config.num_dims, options
        )

    @property
    def config(self) -> Any:
        """Of the model."""
        return self.model.config

    def forward(
        self,
        history: Float[Tensor, "batch history channel *space"],
        field_names: tuple[str, ...] | list[str] | None = None,
        mask: Tensor | None = None,
        **others: Any,
    ) -> DPOTOutput:
        """As the model, with a refined ``prediction``; the newest frame is zero outside a mask."""
        output = self.model(history, field_names, mask, **others)
        newest = history[:, -1]
        if mask is not None:
            newest = newest.masked_fill(~mask[:, None], 0.0)
        ids = self.model.field_ids(field_names)
        output.prediction = self.decoder(output.prediction, newest, ids)
        return output


class SpectralRefinerTuner(Tuner):
    r"""The base is frozen; a linear spectral layer behind it, without truncation, is trained.

    With ``sobolev_order`` s the training minimises ``||e||_s / ||u||_s``, e the error of the
    prediction and ``||e||_s^2 = sum_k (1 + |k|^2)^s |e_hat(k)|^2`` over the wave numbers k (periods
    per domain), mean over samples, frames and fields; predictions that are no fields keep the loss
    of their task.

    The source takes a negative order of the equation's *residual*, which measures the error in a
    positive order. Here the error itself is known, and of it a negative order weighs the large
    scales. As every knot has its own weights the minimum hardly depends on the order; the speed of
    each scale does. ``pdefm/tuners/README.md`` has the measurements behind the default.

    Source: Spectral-Refiner (arXiv 2405.17211): all but the last spectral layer frozen, no
    truncation, Sobolev norm. The layer's form, on the physical grid of another architecture and
    independent of the resolution, is ours.
    """

    name = "spectral_refiner"
    options_class = SpectralRefinerOptions

    def apply(self, model: DPOTModel) -> nn.Module:
        """Freeze the base and put the layer behind it."""
        options = cast(SpectralRefinerOptions, self.options)
        model.requires_grad_(False)
        if options.field_slices:
            for module, name in model.field_slices():
                getattr(module, name).requires_grad_(True)
        return RefinedModel(model, options).to(next(model.parameters()).device)

    def loss(
        self, of_task: Callable[[], Tensor], prediction: Tensor, target: Tensor, mask: Tensor | None
    ) -> Tensor:
        """The error in the chosen norm."""
        order = cast(SpectralRefinerOptions, self.options).sobolev_order
        if order == 0 or target.ndim < FIELDS_NDIM:
            return of_task()
        return sobolev_error(prediction, target, order=order, mask=mask).mean()

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The layer's weights."""
        return trainable_state(model)

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Put the layer's weights back."""
        load_trainable_state(model, state)
