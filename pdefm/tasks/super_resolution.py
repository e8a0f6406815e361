"""Super-resolution: coarse frames to the newest one on a fine grid, at any factor."""

from dataclasses import asdict
from typing import Any, cast

import torch
from pydantic import Field as Limits
from pydantic import field_validator
from torch import Tensor, nn

from pdefm.config import Section
from pdefm.data.batch import Batch
from pdefm.data.trajectory import Trajectory, periodic_axes
from pdefm.errors import DataError, RecipeError
from pdefm.metrics import relative_l2, vrmse
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.galerkin import GalerkinDecoder, GalerkinSizes
from pdefm.models.resampling import (
    along_axes,
    cell_averages,
    centres,
    deconvolution_matrix,
    lost_part,
    resample,
    spectral_matrix,
    with_averages,
)
from pdefm.tasks.base import Prepared, Task, head_of

MIN_COARSE = 4


class SuperResolutionOptions(Section):
    """Options of the super-resolution task."""

    factors: list[float] = Limits(default=[4.0], min_length=1)
    """Fine points over coarse ones along each axis, not necessarily whole; each training batch
    draws one of them, and validation uses the first."""
    conserve: bool = False
    """Move every prediction to the nearest field that has the averages which were given, so that
    nothing is made or lost; it then starts from the nearest field to the interpolation."""
    width: int = Limits(default=48, ge=8, multiple_of=8)
    """Features of a coarse cell and of a query."""
    num_encoder_blocks: int = Limits(default=2, ge=0)
    """Convolutional blocks on the coarse grid."""
    num_attention_layers: int = Limits(default=2, ge=0)
    """Galerkin attention layers among the queries."""
    num_heads: int = Limits(default=4, ge=1)
    """Heads of each; they divide the width."""

    @field_validator("factors")
    @classmethod
    def _above_one(cls, factors: list[float]) -> list[float]:
        for factor in factors:
            if not 1.0 < factor < float("inf"):
                raise ValueError("every factor must be greater than 1")
        return factors


class SuperResolutionTask(Task):
    r"""Predict a fine frame ``u`` from cell averages ``A u`` of it and of those before it.

    ``u_hat = I A u + head(...)`` with cubic interpolation I. The base sees the interpolated
    history, so that it knows the dynamics; the head
    (:class:`~pdefm.models.galerkin.GalerkinDecoder`) reads the base's latent grid and the coarse
    frames at every point of the fine grid, and starts at zero. A coarse axis has ``round(n /
    factor)`` cells. Nothing that the averages do not see reaches the model.

    Loss: mean over samples and fields of ``||u_hat - u|| / ||u||``, norms over the points inside
    the mask.

    Source: Super-Resolution Neural Operator (arXiv 2303.02584).
    """

    name = "super_resolution"
    options_class = SuperResolutionOptions
    definitions = Task.definitions | {
        "lost_relative_l2": "relative_l2 of the part of the fields that the coarse grid does not"
        " see; mean over frames and fields."
    }

    @property
    def num_target_frames(self) -> int:
        """None: the target is the newest frame itself."""
        return 0

    def num_validation_frames(self, num_predictions: int = 1) -> int:
        """None, however many predictions come in a row elsewhere."""
        return 0

    def check(self, example: Trajectory) -> None:
        """Refuse grids that the factors leave too few points of.

        Args:
            example: The first frames of a trajectory.

        Raises:
            DataError: Names the factor and the grid.
        """
        for factor in cast(SuperResolutionOptions, self.options).factors:
            coarse_shape(example.grid.shape, factor)

    def prepare(self, batch: Batch, generator: torch.Generator | None = None) -> Prepared:
        """The interpolated history, and the newest fine frame as the target.

        Only the factor is random, and only if there are several.

        Raises:
            DataError: Too few coarse points, or a mask where averages are to be conserved.
        """
        options = cast(SuperResolutionOptions, self.options)
        if options.conserve and batch.mask is not None:
            raise DataError(
                f"task_options.conserve: {batch.source or 'a sample'} has a mask",
                do="Leave conserve out; averages over a part of a cell are not conserved",
            )
        factors = options.factors
        choice = 0
        if generator is not None and len(factors) > 1:
            choice = int(torch.randint(len(factors), (), generator=generator))
        space, periodic = batch.history.shape[3:], periodic_axes(batch.boundary)
        shape = coarse_shape(space, factors[choice])
        coarse = cell_averages(batch.history, shape, batch.mask)
        history = resample(coarse, space, periodic)
        scale = self.processor.scale(history, batch.names, batch.mask)
        inputs = {
            "history": scale.normalize(history),
            "field_names": batch.names,
            "mask": batch.mask,
            **self.processor.conditions_of(
                dt=batch.dt, boundary=batch.boundary, parameters=batch.parameters
            ),
        }
        extras: dict[str, Any] = {
            "coarse": scale.normalize(coarse),
            "interpolated": history[:, -1:],
            "periodic": periodic,
        }
        return Prepared(inputs, batch.history[:, -1:], scale, batch.mask, extras=extras)

    def head(self, config: DPOTConfig) -> nn.Module:
        """The decoder that answers queries.

        Raises:
            RecipeError: Heads that do not divide the width.
        """
        options = cast(SuperResolutionOptions, self.options)
        if options.width % options.num_heads:
            raise RecipeError(
                f"task_options.num_heads must divide the width {options.width}",
                got=options.num_heads,
            )
        chosen = {name: getattr(options, name) for name in asdict(GalerkinSizes())}
        return GalerkinDecoder(config, GalerkinSizes(**chosen))

    def predict(self, model: nn.Module, prepared: Prepared) -> Tensor:
        """The fine frame ``[batch, 1, channel, *space]``."""
        output = model(**prepared.inputs)
        space, extras = prepared.target.shape[3:], prepared.extras
        newest = prepared.inputs["history"][:, -1:]
        forecast = output.prediction[:, :1]
        guesses = [newest, self._deconvolved(prepared) - newest, forecast - newest]
        detail = head_of(model)(
            extras["coarse"],
            output.last_hidden_state,
            torch.cat(guesses, 1),
            [centres(size) for size in space],
            names=prepared.inputs["field_names"],
            periodic=extras["periodic"],
            mask=prepared.mask,
        )
        fine = extras["interpolated"] + prepared.scale.std * detail[:, None]
        if cast(SuperResolutionOptions, self.options).conserve:
            averages = prepared.scale.denormalize(extras["coarse"][:, -1:])
            fine = with_averages(fine, averages, len(space))
        return fine

    def loss(self, prediction: Tensor, prepared: Prepared) -> Tensor:
        """Mean relative L2 error of the fine frame."""
        return relative_l2(prediction, prepared.target, mask=prepared.mask).mean()

    def metrics(self, prediction: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        """Errors of every sample, averaged over the fields.

        ``lost_relative_l2`` is that of the part which the coarse grid does not see.
        """
        errors = {
            name: metric(prediction, prepared.target, mask=prepared.mask).mean((1, 2))
            for name, metric in (("relative_l2", relative_l2), ("vrmse", vrmse))
        }
        shape = prepared.extras["coarse"].shape[3:]
        lost = []
        for fields in (prediction, prepared.target):
            if prepared.mask is not None:
                fields = fields.masked_fill(~prepared.mask[:, None, None], 0.0)
            lost.append(lost_part(fields, shape))
        return errors | {"lost_relative_l2": relative_l2(lost[0], lost[1]).mean((1, 2))}

    def baselines(self, prepared: Prepared) -> dict[str, Tensor]:
        """Cubic and spectral interpolation, and the smoothest field with the same averages."""
        space, extras = prepared.target.shape[3:], prepared.extras
        newest = extras["coarse"][:, -1:]
        spectral = resample(newest, space, extras["periodic"], spectral_matrix)
        return {
            "bicubic": extras["interpolated"],
            "spectral": prepared.scale.denormalize(spectral),
            "deconvolution": prepared.scale.denormalize(self._deconvolved(prepared)),
        }

    def _deconvolved(self, prepared: Prepared) -> Tensor:
        """The smoothest field that has the newest averages, normalised."""
        coarse = prepared.extras["coarse"][:, -1:]
        axes = zip(
            prepared.target.shape[3:], coarse.shape[3:], prepared.extras["periodic"], strict=True
        )
        return along_axes(coarse, [deconvolution_matrix(*axis) for axis in axes])


def coarse_shape(shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """Coarse points per axis, ``round(n / factor)``.

    Args:
        shape: Fine points per axis.
        factor: Greater than 1.

    Raises:
        DataError: Fewer than four points, or as many as before.
    """
    coarse = tuple(round(size / factor) for size in shape)
    if any(m < MIN_COARSE or m >= n for m, n in zip(coarse, shape, strict=True)):
        raise DataError(
            f"task_options.factors: factor {factor:g} makes {' x '.join(map(str, coarse))} points"
            f" of {' x '.join(map(str, shape))}",
            do=f"Choose a factor that leaves at least {MIN_COARSE} along each axis, and fewer"
            " than there are",
        )
    return coarse
