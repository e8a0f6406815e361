"""Approximate Riemann solvers: the flux through a face from the states on its two sides."""

import torch
from jaxtyping import Float
from torch import Tensor


def hllc_fluxes(
    below: Float[Tensor, "channel batch faces"],
    above: Float[Tensor, "channel batch faces"],
    gamma: Float[Tensor, "batch 1"],
    axis: int,
) -> list[Float[Tensor, "batch faces"]]:
    """Fluxes of density, energy and momentum of an ideal gas along an axis.

    With the upwind side's density ``r``, pressure ``p``, normal velocity ``u``, wave speed ``s``
    (0 if it points the other way: ``t``), speed ``c`` of the contact and
    ``q = t (c - u) / (s - c)``, all fluxes of HLLC are: mass ``m = r (u + q)``; normal momentum
    ``m u + p + q r (s - u)``; other momenta ``m v``; energy
    ``(u + q) p gamma / (gamma - 1) + m |U|^2 / 2 + q r (s - u) c``.

    Sources: Toro, Spruce & Speares (1994), Shock Waves 4, 25-34; wave speeds of Davis (1988), SIAM
    J. Sci. Stat. Comput. 9, 445-473.

    Args:
        below: Density, pressure, velocity on the side of smaller coordinates.
        above: On the other side.
        gamma: Ratio of specific heats.
        axis: Normal of the face.

    Returns:
        In the order density, energy, momentum.
    """
    normal = 2 + axis
    density_1, pressure_1, velocity_1 = below[0], below[1], below[normal]
    density_2, pressure_2, velocity_2 = above[0], above[1], above[normal]
    sound_1 = (pressure_1 / density_1).mul_(gamma).sqrt()
    sound_2 = (pressure_2 / density_2).mul_(gamma).sqrt()
    slow = torch.minimum(velocity_1 - sound_1, velocity_2 - sound_2)
    fast = torch.maximum(velocity_1 + sound_1, velocity_2 + sound_2)
    inflow_1 = density_1 * (slow - velocity_1)
    inflow_2 = density_2 * (fast - velocity_2)
    push = (pressure_2 - pressure_1).addcmul(inflow_1, velocity_1)
    contact = push.addcmul(inflow_2, velocity_2, value=-1) / (inflow_1 - inflow_2)

    to_right = contact > 0
    state = torch.where(to_right, below, above)
    inflow = torch.where(to_right, inflow_1, inflow_2)
    speed = torch.where(to_right, slow, fast)
    opposing = torch.where(to_right, slow.clamp(max=0), fast.clamp(min=0))
    density, pressure, velocity = state[0], state[1], state[normal]
    extra = opposing * (contact - velocity) / (speed - contact)
    transport = velocity + extra
    mass = density * transport
    drag = extra * inflow
    kinetic = state[2].square()
    for other in state[3:]:
        kinetic = kinetic.addcmul(other, other)
    energy = (transport * pressure) * (gamma / (gamma - 1))
    energy = energy.addcmul(mass, kinetic, value=0.5).addcmul(drag, contact)
    fluxes = [mass, energy, *(mass * component for component in state[2:])]
    fluxes[normal] = fluxes[normal] + pressure + drag
    return fluxes


def hll_water_fluxes(
    below: Float[Tensor, "channel batch faces"],
    above: Float[Tensor, "channel batch faces"],
    gravity: Float[Tensor, "batch 1"],
    axis: int,
) -> list[Float[Tensor, "batch faces"]]:
    """Fluxes of depth and momentum of shallow water along an axis.

    Depth and normal momentum by HLL; other momenta are carried by the flux of depth from where it
    comes (HLLC).

    Sources: Harten, Lax & van Leer (1983), SIAM Rev. 25, 35-61; Toro (2001), Shock-Capturing
    Methods for Free-Surface Shallow Flows, section 10.6.

    Args:
        below: Depth and velocity on the side of smaller coordinates.
        above: On the other side.
        gravity: Acceleration.
        axis: Normal of the face.

    Returns:
        In the order depth, momentum.
    """
    normal = 1 + axis
    depth_1, velocity_1, depth_2, velocity_2 = below[0], below[normal], above[0], above[normal]
    # The tiny number keeps the derivative of the root finite where a face is dry.
    sound_1 = (depth_1 * gravity).add_(1e-30).sqrt()
    sound_2 = (depth_2 * gravity).add_(1e-30).sqrt()
    slow = torch.minimum(velocity_1 - sound_1, velocity_2 - sound_2).clamp(max=0)
    fast = torch.maximum(velocity_1 + sound_1, velocity_2 + sound_2).clamp(min=0)
    weight_1, weight_2 = fast / (fast - slow), slow / (slow - fast)
    exchange = slow * weight_1
    flow_1, flow_2 = depth_1 * velocity_1, depth_2 * velocity_2
    push_1 = (depth_1.square() * (gravity / 2)).addcmul(flow_1, velocity_1)
    push_2 = (depth_2.square() * (gravity / 2)).addcmul(flow_2, velocity_2)
    mass = (weight_1 * flow_1).addcmul(weight_2, flow_2).addcmul(exchange, depth_2 - depth_1)
    push = (weight_1 * push_1).addcmul(weight_2, push_2).addcmul(exchange, flow_2 - flow_1)
    upwind = torch.where(mass > 0, below[1:], above[1:])
    fluxes = [mass, *(mass * component for component in upwind)]
    fluxes[normal] = push
    return fluxes
