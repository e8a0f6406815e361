"""Assimilation: forecasts that are corrected by sparse, noisy sensors at irregular times."""

from typing import Any, cast

import torch
from pydantic import Field as Limits
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.data.batch import Batch
from pdefm.data.trajectory import periodic_axes
from pdefm.metrics import relative_l2
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.gain_head import GainHead, smooth
from pdefm.models.processing_pde import sample_mean
from pdefm.tasks.base import Prepared, Task, head_of

EVALUATION_SEED = 0
NUDGING_LENGTH = 1 / 16  # of the domain


class AssimilationOptions(Section):
    """Options of the assimilation task."""

    num_steps: int = Limits(default=8, ge=2)
    """Predictions in a row; the sensors report during the first of them."""
    num_free_steps: int = Limits(default=3, ge=0)
    """Predictions at the end without sensors: the forecast that the corrections are for."""
    sensor_fraction: float = Limits(default=0.02, gt=0, le=1)
    """Share of the grid points that have a sensor; where, is drawn for every sample."""
    report_probability: float = Limits(default=0.5, gt=0, le=1)
    """Chance that a sensor reports at a step; the steps of every sample differ."""
    noise_fraction: float = Limits(default=0.05, ge=0)
    """Deviation of a sensor's noise over the RMS of its field."""
    background_error: float = Limits(default=0.4, ge=0)
    """Deviation of the error of the first history over the RMS of its field. It is smooth, and the
    same in all its frames."""
    background_length: float = Limits(default=0.1, gt=0, le=1)
    """Correlation length of that error, as a part of the domain."""
    head_size: int = Limits(default=32, ge=1)
    """Width of the correction's layers."""
    num_lengths: int = Limits(default=4, ge=1)
    """Lengths over which a correction spreads."""


class AssimilationTask(Task):
    r"""Predict and correct: ``f = M(a_{n-H..n-1})``, ``a_n = f + K(f, m_n) m_n (y_n - f)``.

    M is the model, which starts from a history with a smooth error; ``y_n = u_n + noise`` is seen
    at the sensors ``m_n`` that report at step n, and K is a gain that is linear in what they say
    (:class:`~pdefm.models.gain_head.GainHead`). After the last report the model forecasts freely.

    Loss: mean over samples, steps and fields of ``||a_n - u_n|| / ||u_n||``, norms over the points
    inside the mask, through the whole sequence.

    Source: predict and correct with a learned forecast: Semilinear Neural Operators (arXiv
    2402.15656), section 3.
    """

    name = "assimilation"
    options_class = AssimilationOptions
    definitions = Task.definitions | {
        "final_relative_l2": "relative_l2 of the last frame, the forecast; mean over fields."
    }

    @property
    def _own(self) -> AssimilationOptions:
        return cast(AssimilationOptions, self.options)

    @property
    def num_target_frames(self) -> int:
        """A frame a step."""
        return self._own.num_steps

    def head(self, config: DPOTConfig) -> nn.Module:
        """The gain."""
        known = cast(list[str], config.field_names)
        return GainHead(len(known), self._own.head_size, self._own.num_lengths)

    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """A wrong history, observations and sensors, and the true frames.

        Without a generator errors, sensors and reports are the same every time.
        """
        options = self._own
        if generator is None:
            generator = torch.Generator().manual_seed(EVALUATION_SEED)
        steps = batch.target.shape[1]
        clean = torch.cat([batch.history, batch.target], 1)
        if batch.mask is not None:
            clean = clean.masked_fill(~batch.mask[:, None, None], 0.0)
        rms = sample_mean(clean.square(), batch.mask).sqrt()
        error = self._background_error(batch, generator)
        history = batch.history + options.background_error * rms * error[:, None]
        noise = torch.randn(batch.target.shape, generator=generator).to(clean.device)
        observations = batch.target + options.noise_fraction * rms * noise
        scale = self.processor.field_scale(batch.names, history)
        inputs: dict[str, Any] = {
            "history": scale.normalize(history),
            "field_names": batch.names,
            "mask": batch.mask,
            **self.processor.conditions_of(
                dt=batch.dt, boundary=batch.boundary, parameters=batch.parameters
            ),
        }
        extras = {
            "observations": scale.normalize(observations),
            "sensors": self._sensors(batch, steps, generator),
            "periodic": periodic_axes(batch.boundary),
            "names": batch.names,
        }
        return Prepared(inputs, batch.target, scale, batch.mask, steps, extras)

    def _background_error(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Smooth fields of variance 1, ``[batch, channel, *space]``."""
        shape = (batch.history.shape[0], *batch.history.shape[2:])
        white = torch.randn(shape, generator=generator)
        length = torch.tensor(self._own.background_length)
        error = smooth(white, length, periodic_axes(batch.boundary))
        spread = error.square().mean(tuple(range(2, error.ndim)), keepdim=True).sqrt()
        return (error / spread).to(batch.history)

    def _sensors(self, batch: Batch, steps: int, generator: torch.Generator) -> Tensor:
        """Which points report at which step, ``[batch, step, *space]``."""
        B, space = batch.history.shape[0], batch.history.shape[3:]
        places = torch.rand(B, 1, *space, generator=generator) < self._own.sensor_fraction
        reports = torch.rand(B, steps, *space, generator=generator) < self._own.report_probability
        reports[:, max(steps - self._own.num_free_steps, 0) :] = False
        sensors = (places & reports).to(batch.history.device)
        return sensors if batch.mask is None else sensors & batch.mask[:, None]

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """The analyses ``[batch, step, channel, *space]``."""
        head = head_of(model)
        ids = field_ids(model, prepared.extras["names"])

        def correct(forecast: Tensor, innovation: Tensor, sensors: Tensor) -> Tensor:
            return head(forecast, innovation, sensors, ids, prepared.extras["periodic"])

        return self._sequence(model, prepared, correct)

    def _sequence(self, model: nn.Module, prepared: Prepared, correct: Any) -> Tensor:
        """Predict and correct; ``correct`` of ``None`` is a free forecast."""
        inputs, extras = dict(prepared.inputs), prepared.extras
        frames: list[Tensor] = []
        for step in range(prepared.num_steps):
            frame = model(**inputs).prediction[:, 0]  # [B, C, *space]
            sensors = extras["sensors"][:, step]
            if correct is not None and bool(sensors.any()):
                innovation = extras["observations"][:, step] - frame
                frame = frame + correct(frame, innovation, sensors)
            frames.append(frame[:, None])
            history = inputs["history"]
            inputs["history"] = torch.cat([history, frames[-1]], 1)[:, -history.shape[1] :]
        return prepared.scale.denormalize(torch.cat(frames, 1))

    def model_baselines(self, model: nn.Module, prepared: Prepared) -> dict[str, Tensor]:
        """The free forecast, and nudging: innovations spread by one Gaussian of fixed length."""
        length = torch.tensor(NUDGING_LENGTH)

        def nudge(forecast: Tensor, innovation: Tensor, sensors: Tensor) -> Tensor:
            inside = sensors[:, None]
            seen = torch.cat([innovation.masked_fill(~inside, 0.0), inside.to(forecast)], 1)
            parts = smooth(seen, length, prepared.extras["periodic"])
            return parts[:, :-1] / (parts[:, -1:].clamp(min=0.0) + 0.01)

        return {
            "no_correction": self._sequence(model, prepared, None),
            "nudging": self._sequence(model, prepared, nudge),
        }

    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Mean relative L2 error."""
        return relative_l2(prediction, prepared.target, mask=prepared.mask).mean()

    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """Errors of every sample: over all steps, and of the last one, the forecast."""
        errors = relative_l2(prediction, prepared.target, mask=prepared.mask).mean(2)  # [B, T]
        return {"relative_l2": errors.mean(1), "final_relative_l2": errors[:, -1]}


def field_ids(model: nn.Module, names: tuple[str, ...]) -> list[int]:
    """Slices of the named fields in an adapted model, which may be wrapped."""
    inner: Any = getattr(model, "module", model)
    known = cast(list[str], inner.config.field_names)
    return [known.index(name) for name in names]
