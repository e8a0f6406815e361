"""Inverse problems: from observed trajectories to parameters or a coefficient of the equation."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from pydantic import Field as Limits
from pydantic import model_validator
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.data.batch import Batch
from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, RecipeError
from pdefm.metrics import relative_l2
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.processing_pde import Scale, sample_mean
from pdefm.models.quantile_head import NORMAL_HALF_WIDTH, QuantileHead
from pdefm.registry import nearest_name_hint
from pdefm.tasks.base import FieldPlan, Prepared, Task, head_of, problem_field_plan

OBSERVED = "observed"
"""The field that says where there is an observation: 1 there, 0 elsewhere."""
LEVELS = (0.5, 0.05, 0.95)
EVALUATION_SEED = 0


class InverseOptions(Section):
    """Options of the inverse task: give ``parameters`` or ``coefficient``."""

    parameters: list[str] = Limits(default_factory=list)
    """Scalars of the equation to estimate, each with a 90 % interval."""
    coefficient: str | None = None
    """Coefficient field of the equation to estimate."""
    logarithm: bool = False
    """The coefficient is positive and spans orders of magnitude: estimate its logarithm."""
    num_frames: int | None = Limits(default=None, ge=1)
    """Observed frames; by default the base's history."""
    noise_fraction: float = Limits(default=0.05, ge=0)
    """Deviation of the noise over the RMS of each field. Every training sample has a level of its
    own up to this one, and what is evaluated has this one."""
    observed_fraction: float = Limits(default=1.0, gt=0, le=1)
    """Share of the grid points that are observed, drawn anew for every sample."""
    known_parameters: list[str] = Limits(default_factory=list)
    """Scalars of the equation that the model may be told, if it is conditioned on them; the others
    may depend on what is sought."""
    head_size: int = Limits(default=128, ge=1)
    """Width of the head that estimates parameters."""

    @model_validator(mode="after")
    def _one_unknown(self) -> "InverseOptions":
        if self.parameters and self.coefficient is not None:
            raise ValueError("give parameters or coefficient, not both")
        if len(set(self.parameters)) != len(self.parameters):
            raise ValueError("name every parameter once")
        if both := set(self.parameters) & set(self.known_parameters):
            raise ValueError(f"'{min(both)}' is both sought and known")
        return self


class InverseTask(Task):
    r"""Estimate ``theta`` or ``a(x)`` in ``u_t = F(u; theta, a)`` from noisy frames of ``u``.

    The observations are ``u + eps * rms(u) * N(0, 1)`` at random grid points. Scalars come from a
    head on the latent grid as three quantiles (median, 5 %, 95 %); a coefficient is a field of the
    model that is empty in the input.

    Loss: for scalars ``mean_q max(q (theta - theta_q), (q - 1) (theta - theta_q))`` in normalised
    units, the pinball loss, which makes the answers quantiles of what is possible given the
    observations; for a coefficient ``||a_hat - a|| / ||a||`` over the points inside the mask.

    Source: operators from observations to coefficients: Neural Inverse Operators (arXiv
    2301.11167), section 2; quantiles: Koenker and Bassett (1978), Econometrica 46, 33-50.
    """

    name = "inverse"
    options_class = InverseOptions
    definitions: ClassVar[dict[str, str]] = {
        "relative_l2": "|median - theta| / |theta|, mean over the parameters; of a coefficient"
        " field ||prediction - target|| / (||target|| + 1e-8), L2 norms over space.",
        "coverage": "Share of the parameters inside the 90 % interval; 0.9 is right.",
    }

    @property
    def _own(self) -> InverseOptions:
        return cast(InverseOptions, self.options)

    @property
    def num_history_frames(self) -> int:
        """The observed frames."""
        return self.processor.history if self._own.num_frames is None else self._own.num_frames

    @property
    def num_target_frames(self) -> int:
        """None: the target does not depend on time."""
        return 0

    @property
    def target_parameters(self) -> tuple[str, ...]:
        """The scalars that are sought."""
        return tuple(self._own.parameters)

    @property
    def uses_decoder(self) -> bool:
        """Only for a coefficient."""
        return self._own.coefficient is not None

    def check(self, example: Trajectory) -> None:
        """Refuse data that do not know the answer.

        Args:
            example: The first frames of a trajectory.

        Raises:
            RecipeError: Nothing is sought, or more frames than the base takes.
            DataError: The data lack what is sought.
        """
        options = self._own
        if not options.parameters and options.coefficient is None:
            found = [*example.parameters, *example.constant_names]
            raise RecipeError(
                "inverse needs task_options.parameters or task_options.coefficient",
                do=f"The data have {', '.join(found) or 'neither parameters nor constants'}",
            )
        if self.num_history_frames > self.processor.history:
            raise RecipeError(
                f"task_options.num_frames: the base takes up to {self.processor.history} frames",
                got=self.num_history_frames,
            )
        sought = options.parameters or [options.coefficient or ""]
        found = [*(example.parameters if options.parameters else example.constant_names)]
        for name in sought:
            if name not in found:
                kind = "parameter" if options.parameters else "coefficient field"
                raise DataError(
                    f"{example.source}: the data have no {kind} '{name}' to estimate",
                    got=", ".join(found) or f"no {kind}",
                    do=nearest_name_hint(name, found) if found else "Use other data",
                )

    def extra_fields(self, batch: Batch) -> dict[str, Tensor]:
        """The coefficient, and where there are observations, each ``[batch, *space]``."""
        fields = {}
        if self._own.coefficient is not None:
            fields[self._own.coefficient] = self._coefficient(batch)
        if self._own.observed_fraction < 1:
            frames = torch.cat([batch.history, batch.target], 1)
            fields[OBSERVED] = torch.ones_like(frames[:, 0, 0])
        return fields

    def field_plan(
        self, known: Sequence[str], found: Sequence[str], given: dict[str, str | None]
    ) -> FieldPlan:
        """All fields of the problem come, the base's other fields go.

        Args:
            known: The base's fields.
            found: Fields of the data and of the task.
            given: Where named new fields start from; the others start from the base's first field.

        Raises:
            ModelError: A field to add that the data do not have.
        """
        return problem_field_plan(known, found, given)

    def head(self, config: DPOTConfig) -> nn.Module | None:
        """What estimates scalars; a coefficient comes from the decoder."""
        count = len(self._own.parameters)
        return QuantileHead(config.hidden_size, count, self._own.head_size) if count else None

    def _coefficient(self, batch: Batch) -> Tensor:
        """``[batch, *space]``, or its logarithm."""
        name = cast(str, self._own.coefficient)
        if batch.constants is None or name not in batch.constant_names:
            raise DataError(f"{batch.source or 'a sample'} has no coefficient field '{name}'")
        values = batch.constants[:, batch.constant_names.index(name)]
        if not self._own.logarithm:
            return values
        if not bool((values > 0).all()):
            raise RecipeError(
                f"task_options.logarithm: '{name}' must be positive everywhere",
                got=float(values.min()),
                do="Set logarithm: false",
            )
        return values.log()

    def observe(
        self, batch: Batch, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Noisy frames, and the points ``[batch, 1, 1, *space]`` that are observed.

        Args:
            batch: Of clean frames.
            generator: Randomness of training; without one, the noise is the same every time.
        """
        options, clean = self._own, batch.history
        training = generator is not None
        if generator is None:
            generator = torch.Generator().manual_seed(EVALUATION_SEED)
        draw = torch.randn(clean.shape, generator=generator).to(clean.device)
        level = torch.ones(clean.shape[0], *(1,) * (clean.ndim - 1))
        if training:
            level = torch.rand(level.shape, generator=generator)
        rms = sample_mean(clean.square(), batch.mask).sqrt()
        noisy = clean + options.noise_fraction * level.to(clean.device) * rms * draw
        if options.observed_fraction == 1:
            return noisy, None
        points = torch.rand(clean.shape[0], 1, 1, *clean.shape[3:], generator=generator)
        return noisy, (points < options.observed_fraction).to(clean.device)

    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """Normalised observations, and what is sought; the scalars that are sought stay hidden.

        Outside of training, a batch that does not know the answer is taken as real observations:
        no noise is added, every point inside the mask is observed, and the target is NaN.
        """
        if generator is None and not self._is_known(batch):
            points = torch.ones_like(batch.history[:, :1, :1], dtype=torch.bool)
            noisy = batch.history
            observed = None if self._own.observed_fraction == 1 else points
        else:
            noisy, observed = self.observe(batch, generator)
        history = self.processor.field_scale(batch.names, noisy).normalize(noisy)
        names, channels = list(batch.names), [history]
        frames = history[:, :, :1]
        if self._own.coefficient is not None:
            names.append(self._own.coefficient)
            channels.append(torch.zeros_like(frames))
        if observed is not None:
            names.append(OBSERVED)
            channels[0] = history.masked_fill(~observed, 0.0)
            channels.append(observed.to(history.dtype).expand_as(frames))
        told = self._own.known_parameters
        parameters = {k: v for k, v in (batch.parameters or {}).items() if k in told}
        inputs: dict[str, Any] = {
            "history": torch.cat(channels, 2),
            "field_names": tuple(names),
            "mask": batch.mask,
            **self.processor.conditions_of(
                dt=batch.dt, boundary=batch.boundary, parameters=parameters
            ),
        }
        if generator is not None and self._own.coefficient is None:
            self.processor.normalize_targets(batch.parameters or {})  # says what is missing
        target, scale = self._sought(batch, frames)
        return Prepared(inputs, target.to(history.dtype), scale, batch.mask)

    def _is_known(self, batch: Batch) -> bool:
        """Whether a batch says what is sought."""
        if self._own.coefficient is not None:
            return self._own.coefficient in batch.constant_names
        return set(self._own.parameters) <= set(batch.parameters or {})

    def _sought(self, batch: Batch, frames: Tensor) -> tuple[Tensor, Scale]:
        """The answer, NaN where it is not known, and the scale of a coefficient."""
        name, count = self._own.coefficient, len(self._own.parameters)
        unknown = not self._is_known(batch)
        if name is not None:
            empty = torch.full_like(frames[:, :1], torch.nan)
            field = empty if unknown else self._coefficient(batch)[:, None, None]
            target = field.exp() if self._own.logarithm else field  # [B, 1, 1, *space]
            return target, self.processor.field_scale((name,), field)
        scale = self.processor.field_scale(batch.names, frames)
        if unknown:
            return frames.new_full((len(frames), count), torch.nan), scale
        found = cast(dict[str, Tensor], batch.parameters)
        return torch.stack([found[name] for name in self._own.parameters], 1), scale  # [B, P]

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """Quantiles ``[batch, parameter, 3]``, or the coefficient ``[batch, 1, 1, *space]``."""
        output = model(**prepared.inputs)
        if self._own.coefficient is None:
            return self._physical(head_of(model)(output.last_hidden_state))
        at = prepared.inputs["field_names"].index(self._own.coefficient)
        return self._field(output.prediction[:, :1, at : at + 1], prepared)

    def _physical(self, quantiles: Tensor) -> Tensor:
        """Normalised ``[batch, parameter, 3]`` to the parameters' units."""
        columns = [self.processor.denormalize_targets(column) for column in quantiles.unbind(2)]
        return torch.stack(columns, 2)

    def _field(self, values: Tensor, prepared: Prepared) -> Tensor:
        field = prepared.scale.denormalize(values)
        return field.exp() if self._own.logarithm else field

    def _normalized(self, values: Tensor) -> Tensor:
        names = self._own.parameters
        return self.processor.normalize_targets(dict(zip(names, values.unbind(1), strict=True)))

    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Mean pinball loss of the quantiles, or relative L2 error of the coefficient."""
        if self._own.coefficient is not None:
            return relative_l2(prediction, prepared.target, mask=prepared.mask).mean()
        target = self._normalized(prepared.target)
        losses = []
        for level, column in zip(LEVELS, prediction.unbind(2), strict=True):
            miss = target - self._normalized(column)
            losses.append(torch.maximum(level * miss, (level - 1) * miss))
        return torch.stack(losses).mean()

    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """Errors of every sample.

        Of scalars: ``relative_l2`` is ``|median - theta| / |theta|``, averaged over the parameters,
        and ``coverage`` the share of them inside the 90 % interval.
        """
        target = prepared.target
        if self._own.coefficient is not None:
            return {"relative_l2": relative_l2(prediction, target, mask=prepared.mask).mean((1, 2))}
        median, low, high = prediction.unbind(2)
        inside = (low <= target) & (target <= high)
        return {
            "relative_l2": ((median - target) / target).abs().mean(1),
            "coverage": inside.to(target.dtype).mean(1),
        }

    def baselines(self, prepared: Prepared) -> dict[str, Tensor]:
        """The distribution of the training data: it does not look at the observations."""
        if self._own.coefficient is not None:
            zero = torch.zeros_like(prepared.target)
            return {"mean": self._field(zero, prepared)}
        ends = prepared.target.new_tensor([0.0, -NORMAL_HALF_WIDTH, NORMAL_HALF_WIDTH])
        return {"mean": self._physical(ends.expand(*prepared.target.shape, 3))}
