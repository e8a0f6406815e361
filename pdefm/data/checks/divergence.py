"""Velocities that do not fit their axes."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from pdefm.data.checks.base import EVERY, TINY, Check, Code, Piece, Place
from pdefm.data.checks.family import known_family
from pdefm.errors import RecipeError

DIVERGENT = 0.25
"""Of solvers of second order at coarse resolution 0.03 to 0.13; of random vectors 0.7."""
TRANSPOSED = (0.5, 0.15)
"""At least so much divergence as stored, and at most so much with the axes exchanged."""
SCHEMES = ("central", "forward", "backward")
"""Differences to try: velocities kept on the faces of cells (staggered) are free of divergence in
one-sided ones."""


@dataclass
class _Sums:
    """Squares over all points and frames, by scheme."""

    place: Place
    divergence: Tensor
    exchanged: Tensor
    gradient: Tensor


class DivergenceCheck(Check):
    """``|div u| / |grad u|`` (root mean squares) away from the sides, by finite differences."""

    codes: ClassVar[Mapping[str, Code]] = {
        "divergence": Code(
            "warning",
            "the velocity is said to be incompressible but has divergence",
            "Check the order of the axes, names and signs of the components, and the extent",
        ),
        "transposed_axes": Code(
            "warning",
            "the velocity has divergence as it is and none with x and y exchanged",
            'Exchange them, as in --axes "N T C Y X", or exchange the names of the components',
        ),
    }

    def prepare(self) -> None:
        """Whose velocity is said to have no divergence?"""
        self._sums: dict[str, _Sums] = {}
        self._claimed: dict[str, bool] = {}
        for split, collection in self.collections.items():
            family = known_family(collection)
            known = family is not None and "divergence" in family.invariant_kinds
            self._claimed[split] = known or self.expectations.incompressible

    def see(self, piece: Piece) -> None:
        """Add squares of derivatives.

        Raises:
            RecipeError: The user says incompressible, but there are no velocities.
        """
        frames = piece.frames
        wanted = [f"velocity_{axis}" for axis in "xyz"[: frames.grid.num_dims]]
        there = set(wanted) <= set(frames.names)
        if self.expectations.incompressible and (not there or len(wanted) < 2):
            raise RecipeError(
                f"--incompressible needs fields {', '.join(wanted)}",
                got=", ".join(frames.names),
                do="Name the channels with --names, or leave it out",
            )
        if not there or len(wanted) < 2 or not piece.is_finite or min(frames.grid.shape) < 8:
            return
        velocity = [piece.filled[::EVERY, frames.names.index(name)].double() for name in wanted]
        spacings = [axis.spacing for axis in frames.grid.axes]
        periodic = [axis.periodic for axis in frames.grid.axes]
        used = _away_from_sides(frames.mask, frames.grid.shape, periodic)
        found = self._sums.setdefault(
            piece.split,
            _Sums(piece.place(), *torch.zeros(3, len(SCHEMES), dtype=torch.float64)),
        )
        for i, scheme in enumerate(SCHEMES):
            slopes = {
                (a, b): _derivative(velocity[a], b, spacings[b], scheme)[:, used]
                for a, b in product(range(len(velocity)), repeat=2)
            }
            found.gradient[i] += sum(slope.square().sum() for slope in slopes.values())
            total = torch.stack([slopes[a, a] for a in range(len(velocity))]).sum(0)
            found.divergence[i] += total.square().sum()
            total = slopes[0, 1] + slopes[1, 0]
            if len(velocity) == 3:
                total = total + slopes[2, 2]
            found.exchanged[i] += total.square().sum()

    def finish(self) -> None:
        """Judge the best scheme."""
        for split, sums in self._sums.items():
            divergence, exchanged = (
                float((part / (sums.gradient + TINY)).sqrt().min())
                for part in (sums.divergence, sums.exchanged)
            )
            got = f"a divergence of {divergence:.2g} of the gradient"
            place = Place(file=sums.place.file, split=split)
            if divergence > TRANSPOSED[0] and exchanged < TRANSPOSED[1]:
                self.found("transposed_axes", place, f"{got}, {exchanged:.2g} exchanged")
            elif self._claimed[split] and divergence > DIVERGENT:
                self.found("divergence", place, got)


def _derivative(values: Tensor, axis: int, spacing: float, scheme: str) -> Tensor:
    dim = 1 + axis
    upper = values if scheme == "backward" else values.roll(-1, dim)
    lower = values if scheme == "forward" else values.roll(1, dim)
    return (upper - lower) / (spacing * (2 if scheme == "central" else 1))


def _away_from_sides(mask: Tensor | None, shape: tuple[int, ...], periodic: list[bool]) -> Tensor:
    """True where all neighbours are inside the domain, ``[*space]``."""
    inside = torch.ones(shape, dtype=torch.bool) if mask is None else mask
    used = inside.clone()
    for axis, wraps in enumerate(periodic):
        used &= inside.roll(1, axis) & inside.roll(-1, axis)
        if not wraps:
            used.index_fill_(axis, torch.tensor([0, shape[axis] - 1]), False)
    return used
