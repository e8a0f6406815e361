"""Errors of whole rollouts and of ensembles, as pure functions of tensors.

The errors of single frames are in :mod:`pdefm.metrics`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from pdefm.metrics import Fields, Mask, PerStep, radial_spectrum

PerField = Float[Tensor, "batch channel"]
Ensemble = Float[Tensor, "member batch time channel *space"]
CORRELATED = 0.8
BLOWN_UP = 4.0
DPOT_GRID = 128


def _inside(values: Tensor, mask: Tensor | None) -> Tensor:
    """``[B, T, C, points]``, zero outside the mask even where it is not finite."""
    flat = values.flatten(3)
    return flat if mask is None else flat.masked_fill(~mask.flatten(1)[:, None, None], 0.0)


def _count(values: Tensor, mask: Bool[Tensor, "batch *space"] | None) -> Tensor:
    """Points inside, broadcastable to ``[B, T, C]``."""
    if mask is None:
        return values.new_tensor(values.shape[-1])
    return mask.flatten(1).sum(1).to(values)[:, None, None]


def rollout_relative_l2(
    prediction: Fields, target: Fields, *, mask: Mask | None = None, eps: float = 1e-8
) -> PerField:
    """Relative L2 error of a rollout as one vector: norms over space and time together.

    ``||prediction - target|| / (||target|| + eps)``. Frames of large amplitude weigh more than in
    the mean of :func:`~pdefm.metrics.relative_l2` over the steps.

    Source: DPOT (arXiv 2403.03542), the tables' L2RE.
    """
    error, size = (_inside(v, mask).square().sum((1, 3)) for v in (prediction - target, target))
    return error.sqrt() / (size.sqrt() + eps)


def dpot_128_l2re(
    prediction: Float[Tensor, "batch time channel nx ny"],
    target: Float[Tensor, "batch time channel nx ny"],
    *,
    native: tuple[int, int] | None = None,
    eps: float = 1e-8,
) -> PerField:
    """DPOT's L2RE: of a whole rollout, at every ``128 // n``-th point of a 128 x 128 grid.

    ``||S R (prediction - target)|| / (||S R target|| + eps)`` with norms over x, y and t together.
    R is bilinear interpolation to 128 x 128 whose points are centres of cells
    (``align_corners=False``, without a filter in front of coarsening). S takes the points 0, k,
    2k, ... of an axis, ``k = max(1, 128 // n)`` for n points in the data. The mean over the data's
    own channels is the tables' number; DPOT's padded channels never count.

    Which grid: what is rolled out is measured, wherever it was rolled out, once it is brought to
    the 128 grid. DPOT rolls out on that grid, and so does a model whose data were interpolated
    beforehand; R changes nothing then, and ``native`` says what the data had. Rolled out on the
    data's own grid, the target is DPOT's, and the prediction is seen through R as well. For 64
    points S R is ``3/4`` of one point and ``1/4`` of its neighbour along each axis, not the point
    itself: the shortest waves of an error keep half their amplitude along each axis, so that the
    number can be below :func:`rollout_relative_l2`.

    Args:
        prediction: Frames of a rollout, in physical units.
        target: Reference on the same grid, same units.
        native: Points of the data before any interpolation; by default those of ``target``.
        eps: Keeps a field that is zero everywhere from dividing by zero.

    Limits: two space axes, no mask (DPOT has none but in a channel).
    Source: DPOT (arXiv 2403.03542), the tables' L2RE, as the published evaluation computes it.
    """
    strides = [max(1, DPOT_GRID // n) for n in native or target.shape[3:]]

    def seen(values: Tensor) -> Tensor:
        size = (DPOT_GRID, DPOT_GRID)
        flat = F.interpolate(values.flatten(0, 1), size, mode="bilinear", align_corners=False)
        return flat[..., :: strides[0], :: strides[1]].unflatten(0, values.shape[:2])

    return rollout_relative_l2(seen(prediction), seen(target), eps=eps)


def correlation(prediction: Fields, target: Fields, *, mask: Mask | None = None) -> PerStep:
    """Pearson correlation over the points of every frame; 0 where a frame is constant."""
    parts = []
    for values in (prediction, target):
        flat = _inside(values, mask)
        mean = flat.sum(-1) / _count(flat, mask)
        parts.append(_inside(values - mean[(...,) + (None,) * (values.ndim - 3)], mask))
    product = (parts[0] * parts[1]).sum(-1)
    sizes = parts[0].square().sum(-1) * parts[1].square().sum(-1)
    return torch.where(sizes > 0, product / sizes.clamp(min=1e-30).sqrt(), 0.0)


def correlation_time(
    prediction: Fields,
    target: Fields,
    *,
    mask: Mask | None = None,
    threshold: float = CORRELATED,
) -> PerField:
    """Steps until the correlation first falls below a threshold; all of them if it never does.

    Source: learned solvers of turbulence (Kochkov et al. 2021, PNAS 118, e2101784118), there 0.95;
    0.8 is PDE-Refiner's (arXiv 2308.05732), section 4.
    """
    low = ~(correlation(prediction, target, mask=mask) >= threshold)  # also what is not finite
    return torch.where(low.any(1), low.int().argmax(1), low.shape[1]).to(prediction.dtype)


def blow_up(
    prediction: Fields, target: Fields, *, mask: Mask | None = None, factor: float = BLOWN_UP
) -> PerField:
    """1 where any frame is not finite or has an RMS above ``factor`` times the truth's largest.

    The mean over trajectories is the share of rollouts that blew up.
    """
    sizes = [_inside(u, mask).square().sum(-1).sqrt() for u in (prediction, target)]
    limit = factor * sizes[1].amax(1, keepdim=True) + 1e-12
    return (~(sizes[0] <= limit)).any(1).to(prediction.dtype)


def conservation_drift(
    prediction: Fields,
    start: Float[Tensor, "batch one channel *space"],
    *,
    mask: Mask | None = None,
    eps: float = 1e-8,
) -> PerStep:
    """How far the mean of a field has moved: ``|<u_n> - <u_0>| / (rms(u_0) + eps)``.

    Args:
        prediction: Frames of a rollout.
        start: The last known frame ``[batch, 1, channel, *space]``.
        mask: True inside the domain.
        eps: Keeps a field that is zero from dividing by zero.

    Limits: only of fields whose mean the equation and its boundaries keep is it an error.
    """
    now, first = (_inside(values, mask) for values in (prediction, start))
    count = _count(now, mask)
    moved = (now.sum(-1) / count - first.sum(-1) / count).abs()
    return moved / ((first.square().sum(-1) / count).sqrt() + eps)


def spectrum_distance(
    prediction: Float[Tensor, "batch time channel nx ny"],
    target: Float[Tensor, "batch time channel nx ny"],
    *,
    eps: float = 1e-12,
) -> PerStep:
    """Mean over the wave numbers of ``|log10 E(k) - log10 E_target(k)|``.

    A shell whose energy is below ``eps`` of the target's total counts as that, so that rounding
    does not count. 1 is a factor of ten in every shell. Of fields without a mask.
    """
    found, wanted = (radial_spectrum(values)[..., 1:] for values in (prediction, target))
    floor = eps * wanted.sum(-1, keepdim=True) + torch.finfo(wanted.dtype).tiny
    return (found.clamp(min=floor).log10() - wanted.clamp(min=floor).log10()).abs().mean(-1)


def crps(ensemble: Ensemble, target: Fields, *, mask: Mask | None = None) -> PerStep:
    """Continuous ranked probability score, mean over the points, in the unit of the field.

    ``1/K sum_i |x_i - y| - 1 / (2 K (K - 1)) sum_ij |x_i - x_j|``, the fair estimator: it does not
    depend on the number of members in the mean. Of one member it is the mean absolute error.

    Source: Ferro (2014), Q. J. R. Meteorol. Soc. 140, 1917-1923.
    """
    K = len(ensemble)
    away = (ensemble - target).abs().mean(0)
    if K > 1:
        ordered = ensemble.sort(0).values
        weight = 2 * torch.arange(K, dtype=ensemble.dtype, device=ensemble.device) - K + 1
        pairs = torch.tensordot(weight, ordered, 1)  # sum over i < j of x_j - x_i
        away = away - pairs / (K * (K - 1))
    flat = _inside(away, mask)
    return flat.sum(-1) / _count(flat, mask)


def spread_skill(ensemble: Ensemble, target: Fields, *, mask: Mask | None = None) -> PerStep:
    """Ensemble spread over the error of its mean: ``sqrt((K + 1) / K <var>) / rmse``.

    1 for an ensemble whose members and the truth come from one distribution; below 1 it is too
    sure. The variance has ``K - 1`` in its denominator.

    Raises:
        ValueError: Fewer than two members.
    Source: Fortin et al. (2014), J. Hydrometeorol. 15, 1708-1713.
    """
    K = len(ensemble)
    if K < 2:
        raise ValueError(f"a spread needs at least two members, got {K}")
    variance = _inside(ensemble.var(0), mask)
    error = _inside((ensemble.mean(0) - target).square(), mask)
    ratio = (K + 1) / K * variance.sum(-1) / error.sum(-1).clamp(min=1e-30)
    return ratio.sqrt()
