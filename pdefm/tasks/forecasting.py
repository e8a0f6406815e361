"""Forecasting: the next frames from the last ones, trained on noisy histories."""

from typing import Literal, cast

import torch
from pydantic import Field as Limits
from torch import Tensor, nn

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
    noise_fraction_end: float | None = Limits(default=None, ge=0.0)
    """The noise moves linearly to this over the training; by default it stays."""
    min_history: int | None = Limits(default=None, ge=1)
    """Train on histories of random length, at least this long, so that the model can start from
    few frames; by default every history is whole."""
    rollout_steps: int = Limits(default=1, ge=1)
    """Predictions in a row that a training sample is rolled out for."""
    rollout_growth: float = Limits(default=0.0, ge=0, le=1)
    """Share of the training over which the rollouts grow from one step to ``rollout_steps``."""
    rollout_gradient: Literal["last", "all"] = "last"
    """``last`` trains the last step on the errors of those before it, which get no gradient (the
    pushforward trick, arXiv 2202.03376, section 3.1); ``all`` trains through the whole rollout."""


class ForecastingTask(Task):
    r"""Predict ``horizon`` frames from ``history`` frames.

    Training input: ``u + eps * rms(u) * N(0, 1)`` with the RMS over time and the points inside the
    mask, of each sample and field. Loss: mean over samples, frames and the source's own fields of
    ``||u_hat - u|| / ||u||``, norms over the points inside the mask. With ``rollout_steps`` the
    input of the later predictions is what was predicted before.

    Source: DPOT (arXiv 2403.03542), section 4.1; there the noise is scaled by the plain L2 norm,
    and padded channels count.
    """

    name = "forecasting"
    options_class = ForecastingOptions
    forecasts = True

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
        noise = self._noise_fraction() if generator is not None else 0.0
        if noise > 0:
            rms = sample_mean(clean.square(), batch.mask).sqrt()
            # Drawn on the CPU, so that every device sees the same noise.
            draw = torch.randn(clean.shape, generator=generator).to(clean.device)
            history = clean + noise * rms * draw
        scale = self.processor.scale(clean, batch.names, batch.mask)
        inputs = {
            "history": scale.normalize(history),
            "field_names": batch.names,
            "mask": batch.mask,
            **self.processor.conditions_of(
                dt=batch.dt, boundary=batch.boundary, parameters=batch.parameters
            ),
        }
        target, horizon = batch.target, self.processor.horizon
        last = target.shape[1] if generator is None else self._num_steps() * horizon
        pushed = generator is not None and options.rollout_gradient == "last"
        target = target[:, last - horizon if pushed else 0 : last]
        return Prepared(inputs, target, scale, batch.mask, last // horizon)

    @property
    def num_target_frames(self) -> int:
        """The horizon, as often as a sample is rolled out."""
        return self.processor.horizon * cast(ForecastingOptions, self.options).rollout_steps

    def num_validation_frames(self, num_predictions: int = 1) -> int:
        """The horizon, as often as predictions come in a row."""
        return self.processor.horizon * num_predictions

    def baselines(self, prepared: Prepared) -> dict[str, Tensor]:
        """Persistence: the newest frame, repeated."""
        newest = prepared.scale.denormalize(prepared.inputs["history"][:, -1:])
        return {"persistence": newest.expand_as(prepared.target)}

    def _noise_fraction(self) -> float:
        options = cast(ForecastingOptions, self.options)
        end = options.noise_fraction_end
        if end is None:
            return options.noise_fraction
        return options.noise_fraction + (end - options.noise_fraction) * self.progress

    def _num_steps(self) -> int:
        """Rollout length at this point of the training."""
        options = cast(ForecastingOptions, self.options)
        grown = self.progress / options.rollout_growth if options.rollout_growth else 1.0
        return 1 + int((options.rollout_steps - 1) * min(grown, 1.0))

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """The frames of the target, rolled out in normalised units; physical at the end."""
        inputs = dict(prepared.inputs)
        everything = cast(ForecastingOptions, self.options).rollout_gradient == "all"
        frames: list[Tensor] = []
        for step in range(prepared.num_steps):
            last = step == prepared.num_steps - 1
            with torch.set_grad_enabled(torch.is_grad_enabled() and (everything or last)):
                frames.append(model(**inputs).prediction)
            window = torch.cat([inputs["history"], frames[-1]], 1)
            inputs["history"] = window[:, -inputs["history"].shape[1] :]
        count = prepared.target.shape[1]
        return prepared.scale.denormalize(torch.cat(frames, 1)[:, -count:])

    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Mean relative L2 error."""
        return relative_l2(prediction, prepared.target, mask=prepared.mask).mean()

    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """One-step errors of every sample, averaged over frames and fields."""
        return {
            name: metric(prediction, prepared.target, mask=prepared.mask).mean((1, 2))
            for name, metric in (("relative_l2", relative_l2), ("vrmse", vrmse))
        }
