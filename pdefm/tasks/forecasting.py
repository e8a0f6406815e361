"""Forecasting: the next frames from the last ones, trained on noisy histories."""

from typing import cast

import torch
from pydantic import Field as Limits
from torch import Tensor

from pdefm.config import Section
from pdefm.data.batch import Batch
from pdefm.metrics import relative_l2, vrmse
from pdefm.models.processing_pde import sample_mean
from pdefm.tasks.base import Prepared, Task


class ForecastingOptions(Section):
    """Options of the forecasting task."""

    noise_fraction: float = Limits(default=0.02, ge=0.0)
    """Standard deviation of the training noise over the RMS of each field in the history
    (0.02 is near the optimum that the paper reports, 0.2 its released small models)."""
    min_history: int | None = Limits(default=None, ge=1)
    """Train on histories of random length, at least this long, so that the model can start from
    few frames; by default every history is whole."""


class ForecastingTask(Task):
    r"""Predict ``horizon`` frames from ``history`` frames.

    Training input: ``u + eps * rms(u) * N(0, 1)`` with the RMS over time and the points inside the
    mask, of each sample and field. Loss: mean over samples, frames and the source's own fields of
    ``||u_hat - u|| / ||u||``, norms over the points inside the mask.

    Source: DPOT (arXiv 2403.03542), section 4.1; there the noise is scaled by the plain L2 norm,
    and padded channels count.
    """

    name = "forecasting"
    options_class = ForecastingOptions

    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """Normalised history (noisy if a generator is given) and the physical target."""
        options = cast(ForecastingOptions, self.options)
        clean = batch.history
        if generator is not None and options.min_history is not None:
            longest = clean.shape[1]
            shortest = min(options.min_history, longest)
            length = int(torch.randint(shortest, longest + 1, (), generator=generator))
            clean = clean[:, longest - length :]
        history = clean
        if generator is not None and options.noise_fraction > 0:
            rms = sample_mean(clean.square(), batch.mask).sqrt()
            # Drawn on the CPU, so that every device sees the same noise.
            draw = torch.randn(clean.shape, generator=generator).to(clean.device)
            history = clean + options.noise_fraction * rms * draw
        scale = self.processor.scale(clean, batch.names, batch.mask)
        inputs = {
            "history": scale.normalize(history),
            "field_names": batch.names,
            "mask": batch.mask,
            **self.processor.conditions_of(
                dt=batch.dt, boundary=batch.boundary, parameters=batch.parameters
            ),
        }
        return Prepared(inputs, batch.target, scale, batch.mask)

    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Mean relative L2 error."""
        return relative_l2(prediction, prepared.target, mask=prepared.mask).mean()

    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """One-step errors of every sample, averaged over frames and fields."""
        return {
            name: metric(prediction, prepared.target, mask=prepared.mask).mean((1, 2))
            for name, metric in (("relative_l2", relative_l2), ("vrmse", vrmse))
        }
