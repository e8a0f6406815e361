"""Values that cannot be, and frames that say nothing."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from pdefm.data.checks.base import BROKEN, Check, Code, Piece


class ValuesCheck(Check):
    """NaN and infinity, frames of zeros, frames that repeat the one before, constant fields."""

    codes: ClassVar[Mapping[str, Code]] = {
        "nonfinite": Code(
            "error",
            "NaN or infinite values",
            "Repair the file, or train with nonfinite: drop or mask",
        ),
        "all_zero": Code(
            "error",
            "frames of zeros in every field, as a crashed or unfinished run leaves them",
            "Leave the trajectory out or cut it before these frames",
            hidden_by=("unreadable",),
        ),
        "starts_at_zero": Code(
            "warning",
            "the first frames are zero in every field",
            "Cut them off: relative errors of them mean nothing",
            hidden_by=BROKEN,
        ),
        "frozen_frames": Code(
            "warning",
            "frames equal the frame before them",
            "Cut off what does not move, or check how the frames were written",
            hidden_by=BROKEN,
        ),
        "constant_field": Code(
            "warning",
            "a field has one value everywhere and at all times",
            "Leave the field out, or check that the right array was read",
            hidden_by=BROKEN,
        ),
    }
    _zero_frames: list[bool]
    _frozen_frames: list[int]
    _low: torch.Tensor
    _high: torch.Tensor

    def see(self, piece: Piece) -> None:
        """Count per trajectory; the ranges of all fields are kept over its frames."""
        if piece.start == 0:
            self._zero_frames, self._frozen_frames, self._num_nonfinite = [], [], 0
            self._low = torch.full((len(piece.frames.names),), torch.inf)
            self._high = -self._low
        if not piece.points.shape[-1]:
            return
        self._see_nonfinite(piece)
        values = piece.points
        self._zero_frames += (values == 0).flatten(1).all(1).tolist()
        same = (piece.with_before.diff(dim=0) == 0).flatten(1).all(1)
        first = piece.start + (1 if piece.before is None else 0)
        self._frozen_frames += [first + int(i) for i in same.nonzero()[:, 0]]
        low, high = values.amin((0, 2)), values.amax((0, 2))  # NaN stays NaN
        self._low, self._high = torch.minimum(self._low, low), torch.maximum(self._high, high)
        if piece.last:
            self._end(piece)

    def _see_nonfinite(self, piece: Piece) -> None:
        if piece.is_finite:
            return
        bad = ~torch.isfinite(piece.points)
        for channel in bad.any(2).any(0).nonzero()[:, 0].tolist():
            frame = int(bad[:, channel].any(1).nonzero()[0])
            count = int(bad[frame, channel].sum())
            got = f"{count} of {bad.shape[2]} points"
            self.found("nonfinite", piece.place(piece.start + frame, channel), got)

    def _end(self, piece: Piece) -> None:
        zero, total = self._zero_frames, piece.start + piece.frames.num_frames
        count = sum(zero)
        leading = zero.index(False) if False in zero else total
        got = f"{count} of {total} frames"
        if count > leading or leading == total:
            frame = leading + zero[leading:].index(True) if count > leading else 0
            self.found("all_zero", piece.place(frame), got)
        elif leading:
            self.found("starts_at_zero", piece.place(0), got)
        frozen = [frame for frame in self._frozen_frames if not zero[frame]]
        if frozen:
            got = f"{len(frozen)} of {total} frames"
            self.found("frozen_frames", piece.place(frozen[0]), got)
        for channel in (self._low == self._high).nonzero()[:, 0].tolist():
            value = float(self._low[channel])
            self.found("constant_field", piece.place(channel=channel), f"{value:.6g}")
