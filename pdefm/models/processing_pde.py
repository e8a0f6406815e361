"""What must never be separated from the weights: field names, units, statistics, frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers.processing_utils import ProcessorMixin

from pdefm.data.trajectory import Boundary, Trajectory
from pdefm.errors import DataError, ModelError
from pdefm.models.auto import register_auto_classes
from pdefm.registry import nearest_name_hint

NORMALIZATIONS = ("field", "instance")
STD_FLOOR = 1e-6  # below this part of its mean a field counts as constant and is only shifted


def sample_mean(
    values: Float[Tensor, "batch time channel *space"],
    mask: Bool[Tensor, "batch *space"] | None = None,
) -> Float[Tensor, "batch 1 channel *ones"]:
    """Mean of each sample and channel over time and the points inside the mask.

    Args:
        values: In any unit.
        mask: True inside the domain; what lies outside may be anything, NaN too.

    Returns:
        With axes of length 1, broadcastable to ``values``.
    """
    over = (1, *range(3, values.ndim))
    if mask is None:
        return values.mean(over, keepdim=True)
    inside = mask[:, None, None]  # [B, 1, 1, *space]
    total = values.masked_fill(~inside, 0.0).sum(over, keepdim=True)
    return total / (inside.sum(over, keepdim=True) * values.shape[1])


def _usable(std: Tensor, mean: Tensor) -> Tensor:
    """Deviations to divide by: 1 where a field is constant up to rounding, in whatever unit."""
    return torch.where(std > STD_FLOOR * mean.abs(), std, torch.ones_like(std))


@dataclass(frozen=True)
class Scale:
    """Affine map between physical and normalised values, broadcastable to both."""

    mean: Float[Tensor, "#batch 1 channel *ones"]
    std: Float[Tensor, "#batch 1 channel *ones"]

    def normalize(
        self, fields: Float[Tensor, "batch time channel *space"]
    ) -> Float[Tensor, "batch time channel *space"]:
        """``(physical - mean) / std``."""
        return (fields - self.mean) / self.std

    def denormalize(
        self, fields: Float[Tensor, "batch time channel *space"]
    ) -> Float[Tensor, "batch time channel *space"]:
        """``normalised * std + mean``."""
        return fields * self.std + self.mean


def _normalized(name: str, value: Tensor, entry: Mapping[str, Any]) -> Tensor:
    """A scalar of the equation as ``conditions`` or ``targets`` say."""
    if entry["log"]:
        if not bool((value > 0).all()):
            raise DataError(f"{name} must be positive", got=float(value.min()))
        value = value.log()
    return (value - entry["mean"]) / entry["std"]


class PDEProcessor(ProcessorMixin):
    """Physical units to normalised values and back, saved beside the weights.

    Args:
        fields: Per name: ``unit``, ``mean`` and ``std`` in that unit.
        history: Frames that the model sees.
        horizon: Frames that it returns.
        normalization: ``field`` uses the statistics above; ``instance`` those of each sample's
            history, which suits data whose scale changes from run to run.
        padding_value: What the published models' unused channels were filled with; recorded for
            those models only.
        boundaries: Boundary conditions seen in training.
        dt: Smallest and largest time between frames seen in training, in the data's unit.
        resolutions: Grids seen in training.
        conditions: What the model is told besides the fields: ``boundary: {}``, and per scalar
            (``dt`` or a parameter of the equation) ``log``, ``mean`` and ``std`` over the training
            data; the model sees ``(log v - mean) / std``, or without the logarithm.
        min_history: Fewest frames seen in training; ``None`` is ``history``.
        shift_invariant: True if training moved every sample at random along the periodic axes; a
            rollout then moves the grid from step to step, so that errors at the seams of patches do
            not add up.
        targets: Parameters of the equation that a task's head estimates, scaled like the
            conditions.

    Raises:
        ModelError: Unknown normalisation, or a field without statistics.
    """

    @no_type_check  # transformers reads the argument names from the code object
    def __init__(
        self,
        fields: dict[str, dict[str, Any]],
        history: int,
        horizon: int = 1,
        normalization: str = "field",
        padding_value: float | None = None,
        boundaries: list[str] | None = None,
        dt: list[float] | None = None,
        resolutions: list[list[int]] | None = None,
        shift_invariant: bool = False,
        conditions: dict[str, dict[str, Any]] | None = None,
        min_history: int | None = None,
        targets: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        if normalization not in NORMALIZATIONS:
            raise ModelError(
                "unknown normalization",
                got=f"'{normalization}'",
                do=nearest_name_hint(normalization, list(NORMALIZATIONS)),
            )
        for name, entry in fields.items():
            if missing := {"unit", "mean", "std"} - entry.keys():
                raise ModelError(f"field '{name}' has no {', '.join(sorted(missing))}")
        self.fields = fields
        self.history = history
        self.horizon = horizon
        self.normalization = normalization
        self.padding_value = padding_value
        self.boundaries = boundaries
        self.dt = dt
        self.resolutions = resolutions
        self.shift_invariant = shift_invariant
        self.targets = {} if targets is None else targets
        self.conditions = {} if conditions is None else conditions
        self.min_history = history if min_history is None else min_history

    def scale(
        self,
        history: Float[Tensor, "batch time channel *space"],
        names: Sequence[str],
        mask: Bool[Tensor, "batch *space"] | None = None,
    ) -> Scale:
        """Mean and std for these samples.

        Args:
            history: Physical frames; only ``instance`` reads their values.
            names: One field name a channel.
            mask: True inside the domain; only ``instance`` reads it.

        Raises:
            ModelError: A field that the processor has no statistics for.
        """
        if unknown := [name for name in names if name not in self.fields]:
            raise ModelError(
                "unknown field name",
                got=f"'{unknown[0]}'",
                do=nearest_name_hint(unknown[0], list(self.fields)),
            )
        if self.normalization == "instance":
            mean = sample_mean(history, mask)
            std = sample_mean((history - mean).square(), mask).sqrt()
            return Scale(mean, _usable(std, mean))
        return self.field_scale(names, history)

    def field_scale(
        self, names: Sequence[str], like: Float[Tensor, "batch time channel *space"]
    ) -> Scale:
        """Statistics of the fields, whatever the normalisation.

        Args:
            names: Known fields.
            like: Gives number of axes, dtype and device.
        """
        shape = (1, 1, len(names)) + (1,) * (like.ndim - 3)
        mean, std = (
            torch.tensor(
                [self.fields[n][key] for n in names], dtype=like.dtype, device=like.device
            ).view(shape)
            for key in ("mean", "std")
        )
        return Scale(mean, _usable(std, mean))

    def conditions_of(
        self,
        *,
        dt: Float[Tensor, " batch"] | None = None,
        boundary: Boundary | None = None,
        parameters: Mapping[str, Float[Tensor, " batch"]] | None = None,
    ) -> dict[str, Any]:
        """Keyword inputs of the model: what it is conditioned on and what is known, normalised.

        Args:
            dt: Time between frames, in the data's unit.
            boundary: Conditions at both sides of every axis.
            parameters: Scalars of the equation by name.

        Raises:
            DataError: A value that cannot be, such as a time step of zero.
        """
        inputs: dict[str, Any] = {}
        if "boundary" in self.conditions and boundary is not None:
            inputs["boundary"] = boundary
        if "dt" in self.conditions and dt is not None:
            inputs["dt"] = _normalized("dt", dt, self.conditions["dt"])
        known = {name: v for name, v in (parameters or {}).items() if name in self.conditions}
        if known:
            inputs["parameters"] = {
                name: _normalized(name, v, self.conditions[name]) for name, v in known.items()
            }
        return inputs

    def normalize_targets(
        self, parameters: Mapping[str, Float[Tensor, " batch"]]
    ) -> Float[Tensor, "batch target"]:
        """The parameters that are estimated, in the order of ``targets``, normalised.

        Raises:
            DataError: One that is missing, or cannot be.
        """
        if missing := [name for name in self.targets if name not in parameters]:
            raise DataError(
                f"the data have no parameter '{missing[0]}' to estimate",
                got=", ".join(parameters) or "no parameters",
                do=nearest_name_hint(missing[0], list(parameters)),
            )
        return torch.stack(
            [_normalized(name, parameters[name], entry) for name, entry in self.targets.items()], 1
        )

    def denormalize_targets(
        self, values: Float[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target"]:
        """Undo :meth:`normalize_targets`."""
        columns = []
        for column, entry in zip(values.unbind(1), self.targets.values(), strict=True):
            value = column * entry["std"] + entry["mean"]
            columns.append(value.exp() if entry["log"] else value)
        return torch.stack(columns, 1)

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs takes text
        self, trajectory: Trajectory
    ) -> dict[str, Any]:
        """Model inputs from the last ``history`` frames of a trajectory.

        Returns:
            ``history`` ``[1, T, C, *space]`` normalised, ``field_names``, ``mask`` if the
            trajectory has one, and the conditions that the model knows.

        Raises:
            DataError: Fewer frames than in training, or non-finite values inside the domain.
        """
        frames = trajectory.fields[-self.history :][None]
        if frames.shape[1] < self.min_history:
            raise DataError(
                f"{trajectory.source}: the model needs {self.min_history} frames of history",
                got=frames.shape[1],
                do="Give a longer trajectory",
            )
        mask = None if trajectory.mask is None else trajectory.mask[None]
        inside = frames if mask is None else frames.masked_fill(~mask[:, None, None], 0.0)
        if not bool(torch.isfinite(inside).all()):
            raise DataError(
                f"{trajectory.source}: non-finite values in the history",
                do="Repair or drop this trajectory",
            )
        inputs = {
            "history": self.scale(frames, trajectory.names, mask).normalize(frames),
            "field_names": trajectory.names,
        }
        parameters = {name: torch.tensor([v]) for name, v in trajectory.parameters.items()}
        inputs |= self.conditions_of(
            dt=torch.tensor([trajectory.dt]) if trajectory.dt else None,
            boundary=trajectory.boundary,
            parameters=parameters,
        )
        return inputs if mask is None else inputs | {"mask": mask}


register_auto_classes(finished=__name__)
