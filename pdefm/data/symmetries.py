"""Rotations, reflections and uniform motion, which mix the components of vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import prod

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pdefm.data.shift import roll
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from pdefm.errors import RecipeError

PSEUDO = ("vorticity",)
"""Fields that change their sign when the orientation of space does."""


@dataclass(frozen=True)
class SignedPermutation:
    """``x'_j = signs[j] * x_{axes[j]}``: the symmetries of a box of square cells.

    Args:
        axes: Which old axis each new one is.
        signs: 1, or -1 where the new axis runs the other way.
    """

    axes: tuple[int, ...]
    signs: tuple[int, ...]

    @property
    def determinant(self) -> int:
        """1 for a rotation, -1 if a reflection is in it."""
        order = list(self.axes)
        swaps = sum(a > b for i, a in enumerate(order) for b in order[i + 1 :])
        return prod(self.signs) * (-1) ** swaps


def signed_permutations(
    num_dims: int, *, rotations: bool, reflections: bool
) -> list[SignedPermutation]:
    """All that are allowed, the identity among them.

    Args:
        num_dims: Number of axes.
        rotations: By quarter turns about any axis.
        reflections: Of any axes; with rotations the whole group.
    """
    orders = list(permutations(range(num_dims))) if rotations else [tuple(range(num_dims))]
    every = [
        SignedPermutation(axes, signs)
        for axes, signs in product(orders, product((1, -1), repeat=num_dims))
    ]
    if reflections:
        return every
    return [found for found in every if found.determinant == 1]


def turn_trajectory(trajectory: Trajectory, symmetry: SignedPermutation) -> Trajectory:
    """Fields, mask, constants, grid and boundary as seen from turned axes.

    A vector ``velocity_x, velocity_y`` turns as ``v'_j = signs[j] v_{axes[j]}``, a tensor
    ``stress_xx, stress_xy, ...`` in both indices; ``vorticity`` is a pseudo-scalar in the plane and
    a pseudo-vector in space. Any other field is a scalar.

    Raises:
        RecipeError: A vector or tensor some of whose components are missing.
    """
    letters = trajectory.grid.names
    grid = Grid(
        tuple(
            replace(trajectory.grid.axes[old], name=name)
            for name, old in zip(letters, symmetry.axes, strict=True)
        )
    )
    boundary = tuple(
        trajectory.boundary[old][::sign]
        for old, sign in zip(symmetry.axes, symmetry.signs, strict=True)
    )
    turned = _turn_space(trajectory.fields, symmetry)
    constants, mask = trajectory.constants, trajectory.mask
    return replace(
        trajectory,
        fields=_mix_components(turned, trajectory.names, letters, symmetry, dim=1),
        grid=grid,
        boundary=boundary,
        mask=None if mask is None else _turn_space(mask, symmetry),
        constants=None
        if constants is None
        else _mix_components(
            _turn_space(constants, symmetry), trajectory.constant_names, letters, symmetry, dim=0
        ),
    )


def boost_trajectory(trajectory: Trajectory, points: Sequence[int]) -> Trajectory:
    """The same flow seen by an observer who moves so many grid points a frame (Galilei).

    ``u'(x, t) = u(x - c t, t) + c`` with ``c = points * spacing / dt``; scalars move only.

    Args:
        trajectory: With all components of ``velocity`` and equal time steps.
        points: Per axis; 0 where the axis is not periodic.
    """
    if not any(points):
        return trajectory
    count = range(trajectory.num_frames)
    fields = torch.stack(
        [roll(trajectory.fields[n], tuple(n * p for p in points)) for n in count]
    )  # [T, C, *space]
    for axis, moved in zip(trajectory.grid.axes, points, strict=True):
        channel = trajectory.names.index(f"velocity_{axis.name}")
        fields[:, channel] += moved * axis.spacing / trajectory.dt
    return replace(trajectory, fields=fields)


def tensor_components(
    names: Sequence[str], letters: tuple[str, ...]
) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Channels that are components: number of the channel to base name and axes.

    ``velocity_x`` is the component ``("velocity", (0,))``, ``stress_xy`` is ``("stress", (0, 1))``.

    Raises:
        RecipeError: Some but not all components of one base are there.
    """
    found: dict[int, tuple[str, tuple[int, ...]]] = {}
    for channel, name in enumerate(names):
        base, _, suffix = name.rpartition("_")
        parts = (suffix,) if suffix in letters else tuple(suffix)
        if base and parts and len(parts) <= 2 and set(parts) <= set(letters):
            found[channel] = (base, tuple(letters.index(part) for part in parts))
    bases = {(base, len(axes)) for base, axes in found.values()}
    for base, order in bases:
        have = {axes for other, axes in found.values() if other == base and len(axes) == order}
        if len(have) != len(letters) ** order:
            raise RecipeError(
                f"'{base}' lacks components, so it cannot be turned",
                got=", ".join(name for name in names if name.startswith(f"{base}_")),
                do="Leave out random_rotation and random_reflection, or name the field otherwise",
            )
    return found


def _turn_space(values: Shaped[Tensor, "..."], symmetry: SignedPermutation) -> Tensor:
    """Permute and flip the last axes."""
    num_dims = len(symmetry.axes)
    first = values.ndim - num_dims
    turned = values.permute(*range(first), *(first + axis for axis in symmetry.axes))
    return turned.flip([first + j for j, sign in enumerate(symmetry.signs) if sign < 0])


def _mix_components(
    values: Float[Tensor, "..."],
    names: Sequence[str],
    letters: tuple[str, ...],
    symmetry: SignedPermutation,
    dim: int,
) -> Float[Tensor, "..."]:
    """Take every component from the one that now points its way, with its sign."""
    components = tensor_components(names, letters)
    channel_of = {component: channel for channel, component in components.items()}
    order, signs = [], []
    for channel, name in enumerate(names):
        sign = symmetry.determinant if name.startswith(PSEUDO) else 1
        if channel in components:
            base, axes = components[channel]
            channel = channel_of[base, tuple(symmetry.axes[axis] for axis in axes)]
            sign *= prod(symmetry.signs[axis] for axis in axes)
        order.append(channel)
        signs.append(sign)
    factors = torch.tensor(signs, dtype=values.dtype)
    shape = [-1 if i == dim else 1 for i in range(values.ndim)]
    return values.index_select(dim, torch.tensor(order)) * factors.view(shape)
