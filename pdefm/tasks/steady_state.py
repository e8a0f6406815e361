"""Steady states: coefficients, sources and boundary data to the solution; no history."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from pydantic import Field as Limits
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.data.batch import Batch
from pdefm.data.trajectory import Boundary, Trajectory, periodic_axes
from pdefm.errors import DataError, RecipeError
from pdefm.metrics import relative_l2, vrmse
from pdefm.registry import nearest_name_hint
from pdefm.tasks.base import FieldPlan, Prepared, Task, problem_field_plan

AXES = "xyz"


class SteadyStateOptions(Section):
    """Options of the steady-state task."""

    inputs: list[str] | None = Limits(default=None, min_length=1)
    """Coefficient fields and scalar parameters that the solution depends on; by default all that
    the data have."""
    logarithms: list[str] = Limits(default_factory=list)
    """Inputs that are positive and span orders of magnitude: the model sees their logarithm."""
    coordinates: bool = True
    """Tell the model where the walls are, by the coordinates along the axes that do not wrap."""


class SteadyStateTask(Task):
    r"""Predict the solution ``u`` of ``A(a) u = f`` from ``a``, ``f`` and the boundary data.

    Coefficients (``constants`` of the data), scalars and coordinates become fields of the model
    beside the solution's, which are zero; the model's first frame is the solution. The base's own
    fields are forgotten. New fields start from the weights of a field that the base knows.

    Loss: mean over samples and fields of ``||u_hat - u|| / ||u||``, norms over the points inside
    the mask.

    Source: operators from coefficient to solution: Fourier Neural Operator (arXiv 2010.08895),
    section 5.2; transfer of time-dependent pretraining to steady problems: Poseidon (arXiv
    2405.19101), section 4.
    """

    name = "steady_state"
    options_class = SteadyStateOptions

    @property
    def num_history_frames(self) -> int:
        """None: a steady problem has no past."""
        return 0

    @property
    def num_target_frames(self) -> int:
        """The solution."""
        return 1

    def check(self, example: Trajectory) -> None:
        """Refuse data without coefficients.

        Args:
            example: The first frames of a trajectory.

        Raises:
            DataError: No coefficient field, or no such input.
        """
        if example.constants is None:
            raise DataError(
                f"{example.source}: steady_state needs coefficient fields to solve for",
                got=f"fields {', '.join(example.names)} and no constants",
                do="Give fields that do not change in time as constants, or use forecasting",
            )
        found = [*example.constant_names, *example.parameters]
        options = cast(SteadyStateOptions, self.options)
        for name in [*(options.inputs or []), *options.logarithms]:
            if name not in found:
                raise DataError(
                    f"{example.source}: the data have no input '{name}'",
                    got=", ".join(found),
                    do=nearest_name_hint(name, found),
                )
        if taken := [name for name in self._chosen(found) if name in example.names]:
            raise DataError(
                f"{example.source}: '{taken[0]}' is both the solution and an input",
                do="Leave it out of inputs",
            )

    def _chosen(self, found: Sequence[str]) -> list[str]:
        inputs = cast(SteadyStateOptions, self.options).inputs
        return list(found) if inputs is None else inputs

    def extra_fields(self, batch: Batch) -> dict[str, Tensor]:
        """Coefficients, scalars and coordinates ``[batch, *space]``."""
        given = dict(zip(batch.constant_names, _channels(batch), strict=True))
        space = batch.target.shape[3:]
        for name, values in (batch.parameters or {}).items():
            level = values.to(batch.target.dtype).view(-1, *(1,) * len(space))
            given[name] = level.expand(-1, *space)
        options = cast(SteadyStateOptions, self.options)
        chosen = self._chosen([*given])
        if absent := [name for name in chosen if name not in given]:
            raise DataError(
                f"{batch.source or 'a sample'} has no input '{absent[0]}'",
                got=", ".join(given),
                do=nearest_name_hint(absent[0], list(given)),
            )
        fields = {
            name: _logarithm(name, given[name]) if name in options.logarithms else given[name]
            for name in chosen
        }
        if options.coordinates:
            fields |= coordinates(batch.target, batch.boundary)
        return fields

    def field_plan(
        self, known: Sequence[str], found: Sequence[str], given: dict[str, str | None]
    ) -> FieldPlan:
        """All fields of the problem come, the base's other fields go.

        Args:
            known: The base's fields.
            found: Solution and inputs.
            given: Where named new fields start from; the others start from the base's first field.

        Raises:
            ModelError: A field to add that the data do not have.
        """
        return problem_field_plan(known, found, given)

    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """One frame of normalised inputs beside empty solution fields; nothing is random."""
        extra = self.extra_fields(batch)
        target = batch.target[:, -1:]
        inputs = torch.stack(list(extra.values()), 1)[:, None]  # [B, 1, inputs, *space]
        known = self.processor.field_scale(tuple(extra), inputs).normalize(inputs)
        conditions = self.processor.conditions_of(
            boundary=batch.boundary, parameters=batch.parameters
        )
        values: dict[str, Any] = {
            "history": torch.cat([torch.zeros_like(target), known], 2),
            "field_names": (*batch.names, *extra),
            "mask": batch.mask,
            **conditions,
        }
        scale = self.processor.field_scale(batch.names, target)
        return Prepared(values, target, scale, batch.mask)

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """The solution ``[batch, 1, channel, *space]``."""
        count = prepared.target.shape[2]
        solution = model(**prepared.inputs).prediction[:, :1, :count]
        return prepared.scale.denormalize(solution)

    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Mean relative L2 error inside the domain."""
        return relative_l2(prediction, prepared.target, mask=prepared.mask).mean()

    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """Errors of every sample inside the domain, averaged over the fields."""
        return {
            name: metric(prediction, prepared.target, mask=prepared.mask).mean((1, 2))
            for name, metric in (("relative_l2", relative_l2), ("vrmse", vrmse))
        }

    def baselines(self, prepared: Prepared) -> dict[str, Tensor]:
        """The mean of the training data."""
        return {"mean": prepared.scale.denormalize(torch.zeros_like(prepared.target))}


def _channels(batch: Batch) -> list[Tensor]:
    return [] if batch.constants is None else list(batch.constants.unbind(1))


def _logarithm(name: str, values: Tensor) -> Tensor:
    if not bool((values > 0).all()):
        raise RecipeError(
            f"task_options.logarithms: '{name}' must be positive everywhere",
            got=float(values.min()),
            do="Take it out of logarithms",
        )
    return values.log()


def coordinates(like: Tensor, boundary: Boundary) -> dict[str, Tensor]:
    """Cell centres in 0..1 along the axes that do not wrap, each ``[batch, *space]``.

    Args:
        like: ``[batch, time, channel, *space]``.
        boundary: Conditions at both sides of every axis.
    """
    space = like.shape[3:]
    fields = {}
    for axis, (size, wraps) in enumerate(zip(space, periodic_axes(boundary), strict=True)):
        if not wraps:
            centres = (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size
            line = centres.view(-1, *(1,) * (len(space) - 1 - axis))
            fields[f"coordinate_{AXES[axis]}"] = line.expand(like.shape[0], *space)
    return fields
