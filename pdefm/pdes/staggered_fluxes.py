"""Fluxes through faces between the neighbours in a flat row: transport and diffusion together."""

from jaxtyping import Float
from torch import Tensor


def momentum_flux(
    values: Float[Tensor, "channel batch points"],
    twice_velocity: Float[Tensor, "channel batch faces"],
    start: int,
    stride: int,
    conductance: Float[Tensor, "batch 1"],
) -> Float[Tensor, "channel batch faces"]:
    """``w q - conductance (q_0 - q_-1)``, ``q`` at the face from two points upwind and one behind.

    Exact for parabolas of cell averages: ``(-q_uu + 5 q_u + 2 q_d) / 6``.

    Args:
        values: What is carried.
        twice_velocity: ``2 w`` through the faces.
        start: Face 0 lies between points ``start - stride`` and ``start``.
        stride: Distance of neighbours in the row.
        conductance: Diffusivity over distance.

    Source: Leonard (1979), Comput. Meth. Appl. Mech. Eng. 19, 59-98.
    """
    num_faces = twice_velocity.shape[-1]
    q_mm, q_m, q_p, q_pp = (
        values.narrow(-1, start + shift * stride, num_faces) for shift in (-2, -1, 0, 1)
    )
    jump = q_p - q_m
    bend = (q_pp - q_mm).sub_(jump, alpha=3)
    middle = (q_m + q_p).mul_(7).sub_(q_mm).sub_(q_pp)
    flux = (middle * twice_velocity).addcmul(bend, twice_velocity.abs())
    return flux.mul_(1 / 24).sub_(jump * conductance)


def tracer_flux(
    values: Float[Tensor, "channel batch points"],
    velocity: Float[Tensor, "batch faces"],
    start: int,
    stride: int,
    conductance: Float[Tensor, "batch 1"],
) -> Float[Tensor, "channel batch faces"]:
    """``w q - conductance (q_0 - q_-1)``, ``q`` at the face upwind, linear without overshoot.

    Within a cell with differences ``a``, ``b`` to its neighbours the tracer changes by
    ``2 max(a b, 0) / (a + b)``. Arguments as for ``momentum_flux``, but for ``w`` itself.

    Source: van Leer (1974), J. Comput. Phys. 14, 361-370.
    """
    num_faces = velocity.shape[-1]
    first = start - 2 * stride
    stretch = values.narrow(-1, first, num_faces + 3 * stride)
    difference = stretch[..., stride:] - stretch[..., :-stride]
    below, above = difference[..., :-stride], difference[..., stride:]
    half_slope = (below * above).relu_() / (below + above).add_(1e-30)
    jump = difference.narrow(-1, stride, num_faces)
    low, high = half_slope[..., :num_faces], half_slope.narrow(-1, stride, num_faces)
    # Values on both sides of the face: q_-1 + low and q_0 - high.
    middle = stretch.narrow(-1, stride, num_faces) + (jump + low - high) / 2
    step = jump - low - high
    flux = middle * velocity - step * (velocity.abs() / 2)
    return flux.sub_(jump * conductance)
