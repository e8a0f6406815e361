"""Errors of a prediction, as pure functions of tensors ``[batch, time, channel, *space]``.

Each returns one value a sample, step and channel; how they are averaged is said where they are
reported. Points outside a mask never count.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Fields = Float[Tensor, "batch time channel *space"]
Mask = Bool[Tensor, "batch *space"]
PerStep = Float[Tensor, "batch time channel"]


def _inside(values: Tensor, mask: Tensor | None) -> Tensor:
    """Values ``[B, T, C, points]``, zero outside the mask even where they are not finite."""
    flat = values.flatten(3)
    if mask is None:
        return flat
    return flat.masked_fill(~mask.flatten(1)[:, None, None], 0.0)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the points inside the mask, ``[B, T, C]``."""
    flat = _inside(values, mask)
    if mask is None:
        return flat.mean(-1)
    return flat.sum(-1) / mask.flatten(1).sum(-1)[:, None, None]


def relative_l2(
    prediction: Fields, target: Fields, *, mask: Mask | None = None, eps: float = 1e-8
) -> PerStep:
    """Relative L2 error: ``||prediction - target|| / (||target|| + eps)`` over space.

    Args:
        prediction: Model output in physical units.
        target: Reference on the same grid, same units.
        mask: True inside the domain.
        eps: Keeps a field that is zero everywhere from dividing by zero.

    Returns:
        Dimensionless, >= 0. 0 is exact, 1 is the error of predicting zero everywhere.

    Limits: with a large mean it flatters; use :func:`vrmse` there.
    Source: DPOT (arXiv 2403.03542), loss and L2RE metric.
    """
    norm = _inside(target, mask).square().sum(-1).sqrt()
    return _inside(prediction - target, mask).square().sum(-1).sqrt() / (norm + eps)


def nrmse(
    prediction: Fields, target: Fields, *, mask: Mask | None = None, eps: float = 1e-7
) -> PerStep:
    """Normalised root mean square error: ``sqrt(<(prediction - target)^2> / (<target^2> + eps))``.

    Equal to :func:`relative_l2` unless the field is close to zero, where ``eps`` bounds it.

    Returns:
        Dimensionless, >= 0. 1 is the error of predicting zero everywhere.

    Source: The Well (arXiv 2412.00568), NRMSE; eps as there.
    """
    error = _mean((prediction - target).square(), mask)
    return (error / (_mean(target.square(), mask) + eps)).sqrt()


def vrmse(
    prediction: Fields, target: Fields, *, mask: Mask | None = None, eps: float = 1e-7
) -> PerStep:
    """Variance-scaled error: ``sqrt(<(prediction - target)^2> / (<(target - <target>)^2> + eps))``.

    Returns:
        Dimensionless, >= 0. 1 is the error of predicting the true spatial mean.

    Source: The Well (arXiv 2412.00568), VRMSE; eps as there.
    """
    mean = _mean(target, mask)[(...,) + (None,) * (target.ndim - 3)]
    error = _mean((prediction - target).square(), mask)
    return (error / (_mean((target - mean).square(), mask) + eps)).sqrt()


def max_error(prediction: Fields, target: Fields, *, mask: Mask | None = None) -> PerStep:
    """Largest absolute difference inside the mask, in the unit of the field."""
    return _inside(prediction - target, mask).abs().amax(-1)


def radial_spectrum(
    fields: Float[Tensor, "batch time channel nx ny"],
) -> Float[Tensor, "batch time channel wavenumber"]:
    """Energy per integer wavenumber shell: ``E(k) = sum_{round(|k|) = k} |F(k)|^2``.

    ``F`` is the Fourier series coefficient (FFT divided by the number of points), so the sum over
    all shells is the mean square (Parseval), up to the corners beyond the largest shell.

    Returns:
        Shells 0 to ``min(nx, ny) // 2``, in the square of the field's unit.
    """
    nx, ny = fields.shape[-2:]
    energy = torch.fft.fft2(fields, norm="forward").abs().square()
    kx = torch.fft.fftfreq(nx, 1 / nx, device=fields.device)
    ky = torch.fft.fftfreq(ny, 1 / ny, device=fields.device)
    shell = torch.hypot(kx[:, None], ky[None, :]).round().long().flatten()
    num_shells = min(nx, ny) // 2 + 1
    inside = shell < num_shells
    spectrum = torch.zeros(*fields.shape[:3], num_shells, device=fields.device, dtype=energy.dtype)
    return spectrum.index_add_(-1, shell[inside], energy.flatten(-2)[..., inside])


def _energy(fields: Tensor) -> tuple[Tensor, Tensor]:
    """``|F(k)|^2`` of every frequency ``[batch, time, channel, points]``, and ``|k|^2``."""
    space = fields.shape[3:]
    axes = tuple(range(3, fields.ndim))
    # Whole transforms, whose energies need no weights; squares, for |z| has no gradient at zero.
    spectrum = torch.view_as_real(torch.fft.fftn(fields, dim=axes, norm="forward"))
    rows = [torch.fft.fftfreq(size, 1 / size, device=fields.device) for size in space]
    squares = torch.stack(torch.meshgrid(*rows, indexing="ij")).square().sum(0)
    return spectrum.square().sum(-1).flatten(3), squares.flatten()


def sobolev_error(
    prediction: Fields,
    target: Fields,
    *,
    order: float,
    mask: Mask | None = None,
    eps: float = 1e-8,
) -> PerStep:
    """Relative error in ``||e||_s^2 = sum_k (1 + |k|^2)^s |e_hat(k)|^2``.

    Args:
        prediction: Model output in physical units.
        target: Reference on the same grid, same units.
        order: s; 0 gives :func:`relative_l2`.
        mask: True inside the domain; outside the error counts as zero, and so does the target.
        eps: Keeps a field that is zero everywhere from dividing by zero.

    Returns:
        Dimensionless, >= 0. Wave numbers k are periods per domain, whatever its extent.

    Limits: a wall or a hole is a jump to the transform, and its frequencies count.
    """
    shape = target.shape
    fields = (_inside(values, mask).view(shape) for values in (prediction - target, target))
    sizes = []
    for values in fields:
        energy, squares = _energy(values.float())
        sizes.append((energy * (1 + squares) ** order).sum(-1))
    # The offset keeps the gradient of a root finite where the error is zero.
    return (sizes[0] + eps**2).sqrt() / (sizes[1].sqrt() + eps)


BANDS = ("low", "mid", "high")


def spectral_band_error(
    prediction: Fields, target: Fields, *, mask: Mask | None = None, eps: float = 1e-8
) -> dict[str, PerStep]:
    """Error of the low, middle and high third of the wave numbers, over the whole target's norm.

    ``sqrt(sum_{k in band} |e_hat(k)|^2) / (||u|| + eps)``; a band is a third of 0 to the largest
    wave number that every axis has, N = min(size) / 2: ``|k| < N / 3``, ``|k| < 2 N / 3``, and the
    rest, corners included. So the squares of the three add up to that of :func:`relative_l2`.

    Returns:
        Dimensionless, >= 0, by the name of the band.
    """
    shape = target.shape
    error, squares = _energy(_inside(prediction - target, mask).view(shape))
    norm = _inside(target, mask).square().mean(-1).sqrt() + eps
    third = min(shape[3:]) / 6
    band = torch.bucketize(squares.sqrt(), squares.new_tensor([third, 2 * third]), right=True)
    return {
        name: (error * (band == number)).sum(-1).sqrt() / norm for number, name in enumerate(BANDS)
    }


METRICS = {"relative_l2": relative_l2, "nrmse": nrmse, "vrmse": vrmse, "max_error": max_error}
