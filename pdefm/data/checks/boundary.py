"""Whether what is said about the sides of the box fits what happens there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pdefm.data.checks.base import EVERY, TINY, Check, Code, Piece, Place
from pdefm.data.trajectory import periodic_axes

CONTRADICTED = 1.5
"""Root mean square difference across the edge, over the largest one between neighbours inside."""
CONTRADICTED_USUAL = 2.5
"""And over the median one."""
ALIKE = (0.5, 1.3)
"""The same over the median, where the edge is like any other place."""
FEWEST_FRAMES = 20
"""Frames that a note about walls needs."""


@dataclass
class _Differences:
    """Mean squares between neighbours along one axis, the last of them across the edge."""

    place: Place
    claimed: str
    first: Tensor
    second: Tensor
    num_frames: int = 0


class BoundaryCheck(Check):
    """Differences across the edge, compared with those between neighbours inside.

    If an axis is periodic, its edge is a place like any other: first and second differences over it
    are as large as elsewhere. Each trajectory counts by its variance; what lies at or across points
    outside the domain does not count.
    """

    codes: ClassVar[Mapping[str, Code]] = {
        "not_periodic": Code(
            "warning",
            "an axis is said to be periodic but its two ends do not fit together",
            "Say --boundary wall or open; with random_shift the model would learn the seam",
        ),
        "looks_periodic": Code(
            "note",
            "an axis is said to have walls or to be open but its two ends fit together",
            "If it is periodic, say --boundary periodic: the model can use it",
        ),
    }

    def prepare(self) -> None:
        """Nothing seen yet."""
        self._seen: dict[tuple[object, ...], _Differences] = {}

    def see(self, piece: Piece) -> None:
        """Add squares of differences."""
        if not piece.is_finite or not piece.points.shape[-1]:
            return
        values, grid = piece.filled[::EVERY].double(), piece.frames.grid
        scale = piece.points.double().var((0, 2), correction=0)  # [channel]
        mask, boundary = piece.frames.mask, piece.frames.boundary
        for axis, periodic in enumerate(periodic_axes(boundary)):
            if grid.shape[axis] < 8:
                continue
            weights = torch.ones(grid.shape) if mask is None else mask
            first = _step(values, axis - grid.num_dims)
            along = weights * weights.roll(-1, axis)
            second = _step(first, axis - grid.num_dims)
            twice = along * along.roll(-1, axis)
            key = (piece.split, piece.frames.names, grid.shape, axis, periodic)
            if key not in self._seen:
                claimed = ", ".join(dict.fromkeys(map(str, boundary[axis])))
                zeros = torch.zeros(len(scale), grid.shape[axis], dtype=torch.float64)
                place = Place(split=piece.split, file=piece.frames.source.name)
                self._seen[key] = _Differences(place, claimed, zeros, zeros.clone())
            found = self._seen[key]
            found.num_frames += piece.frames.num_frames
            used = scale > 0
            for sums, differences, weight in (
                (found.first, first, along),
                (found.second, second, twice),
            ):
                means = _mean_squares(differences, weight, axis)
                sums[used] += means[used] / scale[used, None]

    def finish(self) -> None:
        """Judge every axis."""
        for (_, names, shape, axis, periodic), found in self._seen.items():
            assert isinstance(names, tuple)
            assert isinstance(shape, tuple)
            assert isinstance(axis, int)
            # Second differences over the edge are the last two of them.
            edges = (found.first[:, -1:], found.second[:, -2:])
            inside = (found.first[:, :-1], found.second[:, :-2])
            if not bool((found.first[:, -1] > 0).any()) and not periodic:
                continue
            to_largest, to_usual = (
                torch.stack(
                    [
                        ((e.amax(1) + TINY) / (f(i) + TINY)).sqrt()
                        for e, i in zip(edges, inside, strict=True)
                    ]
                )
                for f in (_largest, _median)
            )  # each [order of the difference, channel]
            axis_name = "xyz"[axis] if axis < 3 else str(axis)
            if periodic:
                apart = (to_largest > CONTRADICTED) & (to_usual > CONTRADICTED_USUAL)
                if bool(apart.any()):
                    channel = int(torch.where(apart, to_largest, 0.0).amax(0).argmax())
                    ratio = float(to_largest[:, channel].max())
                    got = f"{ratio:.2g} times the largest difference inside, along {axis_name}"
                    place = Place(found.place.file, None, None, names[channel], found.place.split)
                    self.found("not_periodic", place, got)
                continue
            alike = (to_usual > ALIKE[0]) & (to_usual < ALIKE[1]) & (to_largest < 1)
            if found.num_frames >= FEWEST_FRAMES and bool(alike.all()):
                self.found("looks_periodic", found.place, f"{found.claimed} along {axis_name}")


def _step(values: Tensor, axis: int) -> Tensor:
    return values.roll(-1, axis) - values


def _mean_squares(differences: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Per channel and place along the axis, ``[channel, n]``."""
    others = [i for i in range(weights.ndim) if i != axis]
    weights = weights.double()
    squares = (differences.square() * weights).mean(0)  # [channel, *space]
    total = squares.sum([i + 1 for i in others]) if others else squares
    count = weights.sum(others) if others else weights
    return total / count.clamp_min(1)


def _largest(values: Tensor) -> Tensor:
    return values.amax(1)


def _median(values: Tensor) -> Tensor:
    return values.median(1).values
