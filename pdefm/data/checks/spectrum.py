"""Energy at the scale of the grid, where a solver has nothing right to say."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pdefm.data.checks.base import BROKEN, TINY, Check, Code, Piece, Place

UNDER_RESOLVED = 0.1
"""Share of the variance in the top third of the wavenumbers; white noise has a third, a shock at
32 points 2 %."""
NOISE = 0.28
LEAST_POINTS = 12


class SpectrumCheck(Check):
    """Share of the variance in the top third of the wavenumbers, along the worst axis.

    One-dimensional spectra along each axis, averaged over the others; axes that are not periodic
    are multiplied with a Hann window.
    """

    codes: ClassVar[Mapping[str, Code]] = {
        "under_resolved": Code(
            "warning",
            "energy piles up at the scale of the grid",
            "The grid is too coarse for what it shows: solve on a finer one, or filter the fields",
        ),
        "noisy_start": Code(
            "warning",
            "the first frame is noise, unlike those after it",
            "Cut it off: a step from it cannot be learnt",
            hidden_by=BROKEN,
        ),
    }

    def prepare(self) -> None:
        """No spectra yet."""
        self._shares: dict[tuple[str, str], list[tuple[float, Place]]] = {}

    def see(self, piece: Piece) -> None:
        """Spectra of the first frames and of one in a piece."""
        if not piece.is_finite or not piece.points.shape[-1]:
            return
        fields = piece.filled.double()
        mask = piece.frames.mask
        if mask is not None:  # no step at the edge of the domain
            means = piece.points.double().mean(2)
            shape = (*means.shape, *(1,) * mask.ndim)
            fields = torch.where(mask, fields, means.reshape(shape))
        chosen = [0, fields.shape[0] // 2, fields.shape[0] - 1]
        periodic = [axis.periodic for axis in piece.frames.grid.axes]
        shares = [top_share(fields[i], periodic) for i in chosen]  # each [channel]
        later = 0 if piece.start else 1
        for channel, name in enumerate(piece.frames.names):
            place = piece.place(piece.start + chosen[-1], channel)
            values = sorted(float(share[channel]) for share in shares[later:])
            known = self._shares.setdefault((piece.split, name), [])
            known.append((values[len(values) // 2], place))
            if piece.start == 0 and fields.shape[0] > 2:
                first, then = float(shares[0][channel]), float(shares[1][channel])
                if first > NOISE and then < first / 2:
                    got = f"{first:.0%} of the variance at the grid scale, then {then:.0%}"
                    self.found("noisy_start", piece.place(0, channel), got)

    def finish(self) -> None:
        """Judge each field by its median piece."""
        for (split, name), known in self._shares.items():
            known.sort(key=lambda pair: pair[0])
            share, place = known[len(known) // 2]
            if share > UNDER_RESOLVED:
                got = f"{share:.0%} of the variance in the top third of the wavenumbers"
                self.found("under_resolved", Place(place.file, field=name, split=split), got)


def top_share(
    frame: Float[Tensor, "channel *space"], periodic: list[bool]
) -> Float[Tensor, " channel"]:
    """Variance in the top third of the wavenumbers over all of it, along the worst axis.

    Args:
        frame: Finite values.
        periodic: Per axis; the others are windowed.

    Returns:
        0 to 1; 0 where nothing varies or all axes are too short.
    """
    worst = torch.zeros(len(frame), dtype=frame.dtype)
    for axis, wraps in enumerate(periodic):
        lines = frame.movedim(1 + axis, -1).flatten(1, -2) if len(periodic) > 1 else frame[:, None]
        num_points = lines.shape[-1]  # [channel, lines, n]
        if num_points < LEAST_POINTS:
            continue
        lines = lines - lines.mean(-1, keepdim=True)
        if not wraps:
            lines = lines * torch.hann_window(num_points, periodic=False, dtype=lines.dtype)
        energy = torch.fft.rfft(lines).abs().square().sum(1)  # [channel, wavenumber]
        total = energy[:, 1:].sum(1)
        top = energy[:, -(-2 * (energy.shape[1] - 1) // 3) :].sum(1)
        varies = total > 1e-12 * frame.flatten(1).square().sum(1) + TINY
        worst = torch.maximum(worst, torch.where(varies, top / (total + TINY), 0.0))
    return worst
