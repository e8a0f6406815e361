"""The table of what is measured on forecasts: every number's definition beside its function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor

from pdefm.errors import RecipeError
from pdefm.metrics import (
    BANDS,
    max_error,
    nrmse,
    relative_l2,
    sobolev_error,
    spectral_band_error,
    vrmse,
)
from pdefm.registry import nearest_name_hint
from pdefm.rollout_metrics import (
    blow_up,
    conservation_drift,
    correlation_time,
    crps,
    dpot_128_l2re,
    rollout_relative_l2,
    spectrum_distance,
    spread_skill,
)

ALWAYS = "relative_l2"
"""Measured whatever is chosen: cards, reports and comparisons start from it."""
Errors = dict[str, Tensor]  # metric to [batch, time, channel], of whole rollouts [batch, channel]


@dataclass(frozen=True)
class Comparison:
    """Rollouts of one batch beside the truth, in physical units.

    Args:
        members: Rollouts ``[member, batch, time, channel, *space]``; one of a single forecast.
        target: The truth ``[batch, time, channel, *space]``.
        start: Last known frame ``[batch, 1, channel, *space]``.
        mask: True inside the domain ``[batch, *space]``; ``None`` means everywhere.
        native: Points of the data along each axis, before any interpolation.
    """

    members: Tensor
    target: Tensor
    start: Tensor
    mask: Tensor | None = None
    native: tuple[int, ...] | None = None

    @cached_property
    def prediction(self) -> Tensor:
        """Mean of the members."""
        return self.members[0] if len(self.members) == 1 else self.members.mean(0)

    @cached_property
    def bands(self) -> Errors:
        """Errors of the three spectral bands, from one transform."""
        return spectral_band_error(self.prediction, self.target, mask=self.mask)

    @property
    def native_plane(self) -> tuple[int, int]:
        """Points of the data along both axes."""
        nx, ny = self.native or self.target.shape[3:]
        return nx, ny


@dataclass(frozen=True)
class Measure:
    """One metric: what it is called in words, how it is computed, and where it makes sense.

    Args:
        definition: For ``results.json``; one sentence.
        values: Errors ``[batch, time, channel]``, of whole rollouts ``[batch, channel]``.
        unless: Why it cannot be measured there, or ``None``.
        better: Which values are better; ``neither`` if a single value does not tell.
        optional: Only measured when it is asked for.
    """

    definition: str
    values: Callable[[Comparison], Tensor]
    unless: Callable[[Comparison], str | None] = lambda _: None
    better: Literal["lower", "higher", "neither"] = "lower"
    optional: bool = False


def _of_plane(c: Comparison) -> str | None:
    """Why not: DPOT's grid and shells of wave numbers are those of whole planes."""
    if c.target.ndim != 5:
        return f"it is of two space axes, the data have {c.target.ndim - 3}"
    return None if c.mask is None else "it is of data without a mask"


def _of_ensemble(c: Comparison) -> str | None:
    return None if len(c.members) > 1 else "it is of ensembles"


def _plain(metric: Callable[..., Tensor]) -> Callable[[Comparison], Tensor]:
    return lambda c: metric(c.prediction, c.target, mask=c.mask)


def _band(name: str) -> Callable[[Comparison], Tensor]:
    return lambda c: c.bands[name]


_NORM = "L2 norms over space"
_WAVES = "k are periods per domain, e the error, u the target"
MEASURES: dict[str, Measure] = {
    "relative_l2": Measure(
        f"||prediction - target|| / (||target|| + 1e-8) of every frame, {_NORM}.",
        _plain(relative_l2),
    ),
    "nrmse": Measure(
        "sqrt(<(prediction - target)^2> / (<target^2> + 1e-7)) of every frame, means over space.",
        _plain(nrmse),
    ),
    "vrmse": Measure(
        "sqrt(<(prediction - target)^2> / (<(target - <target>)^2> + 1e-7)) of every frame, means"
        " over space; 1 is the error of the true spatial mean.",
        _plain(vrmse),
    ),
    "max_error": Measure(
        "Largest |prediction - target| of every frame, in the unit of the field.",
        _plain(max_error),
    ),
    "sobolev_1": Measure(
        f"||e|| / ||u|| of every frame in ||e||^2 = sum_k (1 + |k|^2) |e_k|^2; {_WAVES}.",
        _plain(partial(sobolev_error, order=1.0)),
    ),
    "sobolev_minus_1": Measure(
        f"||e|| / ||u|| of every frame in ||e||^2 = sum_k (1 + |k|^2)^-1 |e_k|^2; {_WAVES}.",
        _plain(partial(sobolev_error, order=-1.0)),
    ),
    **{
        f"{band}_band": Measure(
            f"Part of relative_l2 in the {band} third of the wave numbers; the squares of the three"
            " add up to its square.",
            _band(band),
        )
        for band in BANDS
    },
    "spectrum_distance": Measure(
        "Mean over the wave number shells of |log10 E(k) - log10 E_target(k)| of every frame.",
        lambda c: spectrum_distance(c.prediction, c.target),
        _of_plane,
    ),
    "rollout_relative_l2": Measure(
        "||prediction - target|| / (||target|| + 1e-8) of every rollout, L2 norms over space and"
        " all its steps together, on the grid of the data.",
        _plain(rollout_relative_l2),
    ),
    "dpot_128_l2re": Measure(
        "DPOT's L2RE: rollout_relative_l2 after bilinear interpolation of prediction and target to"
        " 128 x 128, at every (128 // n)-th point of an axis on which the data have n.",
        lambda c: dpot_128_l2re(c.prediction, c.target, native=c.native_plane),
        _of_plane,
        optional=True,
    ),
    "correlation_time": Measure(
        "Steps until the Pearson correlation over space first falls below 0.8; all of the rollout"
        " if it never does. Higher is better.",
        _plain(correlation_time),
        better="higher",
    ),
    "conservation_drift": Measure(
        "|<u_end> - <u_0>| / (rms(u_0) + 1e-8) of the last frame predicted and the last one known,"
        " means over space; an error only of fields whose mean is conserved.",
        lambda c: conservation_drift(c.prediction, c.start, mask=c.mask)[:, -1],
    ),
    "blow_up_rate": Measure(
        "Share of rollouts in which a field has a frame that is not finite, or whose RMS is more"
        " than 4 times the largest of the truth's frames.",
        _plain(blow_up),
    ),
    "crps": Measure(
        "1/K sum_i |x_i - y| - 1/(2 K (K - 1)) sum_ij |x_i - x_j| of K members at every point, mean"
        " over space, in the unit of the field; of a single forecast the mean absolute error.",
        lambda c: crps(c.members, c.target, mask=c.mask),
    ),
    "spread_skill": Measure(
        "sqrt((K + 1) / K <variance of K members>) / root mean square error of their mean, of every"
        " frame; 1 is reliable, below 1 too sure.",
        lambda c: spread_skill(c.members, c.target, mask=c.mask),
        _of_ensemble,
        better="neither",
    ),
}
"""Name of each metric to what it is, in the order of the results."""
DEFAULT_MEASURES = tuple(name for name, measure in MEASURES.items() if not measure.optional)


def chosen_measures(names: Sequence[str] | None) -> tuple[str, ...]:
    """Names in the order of the table, ``relative_l2`` among them; ``None`` is the usual set.

    Raises:
        RecipeError: An unknown name.
    """
    for name in names or ():
        if name not in MEASURES:
            raise RecipeError(
                "unknown metric", got=f"'{name}'", do=nearest_name_hint(name, list(MEASURES))
            )
    wanted = DEFAULT_MEASURES if names is None else (ALWAYS, *names)
    return tuple(name for name in MEASURES if name in wanted)


@torch.no_grad()
def measured(comparison: Comparison, names: Sequence[str]) -> tuple[Errors, dict[str, str]]:
    """Every named metric that makes sense there, and why the others do not.

    Args:
        comparison: Rollouts and truth.
        names: From :func:`chosen_measures`.
    """
    reasons = {name: why for name in names if (why := MEASURES[name].unless(comparison))}
    found = {name: MEASURES[name].values(comparison) for name in names if name not in reasons}
    return found, reasons


def definitions_of(names: Sequence[str]) -> dict[str, str]:
    """What each metric is, in the order of the table."""
    return {name: measure.definition for name, measure in MEASURES.items() if name in names}
