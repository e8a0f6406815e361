"""Quantities that must stay, and do not."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from pdefm.data.checks.base import BROKEN, TINY, Check, Code, Piece
from pdefm.data.checks.family import known_family
from pdefm.data.trajectory import Trajectory
from pdefm.errors import PdefmError, RecipeError
from pdefm.pdes.base import PDE

DRIFT = 1e-3
"""Part of the field's root mean square: single precision and good solvers stay below 1e-5."""
BOUND = 10.0


class ConservationCheck(Check):
    """Means of the fields that the user says are conserved, and invariants of known equations."""

    codes: ClassVar[Mapping[str, Code]] = {
        "not_conserved": Code(
            "warning",
            "the mean of a field that is said to be conserved drifts",
            "Check the field, the mask and the boundary; or do not say --conserved",
            hidden_by=(*BROKEN, "starts_at_zero"),
        ),
        "invariant": Code(
            "warning",
            "an invariant of the equation that the file names does not behave",
            "Check dt, extent and parameters of the file, or whether its fields were changed",
            hidden_by=(*BROKEN, "starts_at_zero"),
        ),
    }

    def prepare(self) -> None:
        """Which equations are known?"""
        self._families: dict[str, PDE | None] = {}
        for split, collection in self.collections.items():
            family = known_family(collection)
            self._families[split] = None if family is None else family()

    def see(self, piece: Piece) -> None:
        """Keep a few numbers a frame.

        Raises:
            RecipeError: A field that is said to be conserved is not there.
        """
        names = piece.frames.names
        for name in self.expectations.conserved:
            if name not in names:
                raise RecipeError(
                    "--conserved names no field of the data",
                    got=f"'{name}'",
                    do=f"Choose among {', '.join(names)}",
                )
        if piece.start == 0:
            self._means: list[Tensor] = []
            self._squares: list[Tensor] = []
            self._invariants: list[dict[str, Tensor]] = []
        if not piece.points.shape[-1]:
            return
        points = piece.points.double()
        self._means.append(points.mean(2))
        self._squares.append(points.square().mean(2))
        family = self._families[piece.split]
        if family is not None and piece.is_finite:
            self._invariants.append(_invariants_of(family, piece.frames))
        if piece.last:
            self._end_means(piece)
            if family is not None and all(self._invariants):
                self._end_invariants(piece, family)

    def _end_means(self, piece: Piece) -> None:
        means, squares = torch.cat(self._means), torch.cat(self._squares)
        for name in self.expectations.conserved:
            channel = piece.frames.names.index(name)
            drift = (means[:, channel] - means[0, channel]).abs()
            relative = drift / (squares[:, channel].amax().sqrt() + TINY)
            frame = int(relative.argmax())
            if relative[frame] > DRIFT:
                got = f"a drift of {float(relative[frame]):.2g} of its root mean square"
                self.found("not_conserved", piece.place(frame, channel), got)

    def _end_invariants(self, piece: Piece, family: PDE) -> None:
        size = float(torch.cat(self._squares).sqrt().mean())
        for name, kind in family.invariant_kinds.items():
            values = torch.cat([found[name] for found in self._invariants if name in found])
            if len(values) < 2:
                continue
            scale = float(values.abs().max()) + size
            if kind == "bounded":
                excess = (values.abs() - BOUND * values[0].abs()) / scale
            else:
                change = values - values[0] if kind == "conserved" else values.diff()
                sign = {"conserved": change.sign(), "decays": 1.0, "grows": -1.0}[kind]
                excess = change * sign / scale
            frame = int(excess.argmax())
            if excess[frame] > DRIFT:
                said = {"conserved": "stay", "decays": "fall", "grows": "grow"}
                got = (
                    f"{name} off by {float(excess[frame]):.2g} of its size, should "
                    f"{said.get(kind, 'stay bounded')}"
                )
                step = 0 if kind in ("conserved", "bounded") else 1
                self.found("invariant", piece.place(frame + step), got)


def _invariants_of(family: PDE, frames: Trajectory) -> dict[str, Tensor]:
    """Per invariant ``[time]``, or nothing if the file lacks a parameter."""
    parameters = {
        name: torch.tensor([value], dtype=torch.float64)
        for name, value in frames.parameters.items()
    }
    if frames.constants is not None:
        for name, constant in zip(frames.constant_names, frames.constants, strict=True):
            parameters[name] = constant[None].double()
    if frames.mask is not None:
        parameters["mask"] = frames.mask[None]
    try:
        found = family.invariants(frames.fields[None].double(), parameters, frames.grid)
    except (KeyError, RuntimeError, PdefmError):  # a file that only bears the name
        return {}
    return {name: values[0] for name, values in found.items()}
