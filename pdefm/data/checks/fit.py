"""Whether shape, length and number of the trajectories suit a model and its training."""

from collections.abc import Mapping
from typing import ClassVar

from pdefm.data.checks.base import Check, Code, Piece, Place

USUAL_PATCH, USUAL_HISTORY = 8, 10


class FitCheck(Check):
    """Grids and patches, frames and windows, names and numbers."""

    codes: ClassVar[Mapping[str, Code]] = {
        "patch_size": Code(
            "error",
            "the grid is not divisible by the patch",
            "Choose a patch size that divides it, or crop or resample the fields",
        ),
        "too_few_frames": Code(
            "error",
            "trajectories are shorter than history and horizon together",
            "Lower the history, or leave these trajectories out",
        ),
        "one_trajectory": Code(
            "note",
            "training needs at least two trajectories, one of them to validate with",
            "Add trajectories, or cut the long one into several files",
        ),
        "mixed_shapes": Code(
            "note",
            "trajectories differ in grid, fields or boundary",
            "Nothing need be done: each micro-batch takes its samples from one kind",
        ),
        "unnamed_fields": Code(
            "note",
            "the fields have no names of their own",
            "Name them with --names: a pretrained model knows fields by their names",
        ),
    }

    def prepare(self) -> None:
        """Nothing counted yet."""
        self._shapes: set[tuple[str, tuple[int, ...]]] = set()
        self._short: list[tuple[int, Place]] = []
        self._num_seen = 0

    def see(self, piece: Piece) -> None:
        """Note each new shape and each short trajectory."""
        if piece.start == 0:
            self._see_shape(piece)
        if piece.last:
            num_frames = piece.start + piece.frames.num_frames
            self._num_seen += 1
            wanted = self.expectations.history or USUAL_HISTORY
            if num_frames < wanted + self.expectations.horizon and num_frames > 1:
                self._short.append((num_frames, piece.place()))

    def _see_shape(self, piece: Piece) -> None:
        shape = piece.frames.grid.shape
        if (piece.split, shape) in self._shapes:
            return
        self._shapes.add((piece.split, shape))
        patch = self.expectations.patch_size or USUAL_PATCH
        if any(points % patch for points in shape):
            grid = " x ".join(map(str, shape))
            got = f"{grid} points and a patch of {patch}"
            usual = self.expectations.patch_size is None
            self.found("patch_size", piece.place(), got, instead="note" if usual else None)

    def finish(self) -> None:
        """Judge lengths and numbers."""
        wanted = (self.expectations.history or USUAL_HISTORY) + self.expectations.horizon
        usual = self.expectations.history is None
        for num_frames, place in self._short:
            some = len(self._short) < self._num_seen
            instead = "note" if usual else ("warning" if some else None)
            got = f"{num_frames} frames, {wanted} needed"
            self.found("too_few_frames", place, got, instead=instead)
        for split, collection in self.collections.items():
            if len(collection) == 1 and split in ("", "train"):
                self.found("one_trajectory", Place(split=split), "one")
            kinds = collection.groups()
            if len(kinds) > 1:
                sizes = ", ".join(str(len(kind)) for kind in kinds[:8])
                got = f"{len(kinds)} kinds, of {sizes} trajectories"
                self.found("mixed_shapes", Place(split=split), got)
            names = collection.read(0, 0, 1).names
            if any(name.startswith("channel_") for name in names):
                self.found("unnamed_fields", Place(split=split), ", ".join(names[:8]))
