"""Where the frames of a rollout go while it runs: into a file of data, or a few into a picture."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from pdefm.data.trajectory import Trajectory
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.evaluation.animation import MAX_FRAMES, write_gif, write_mp4
from pdefm.evaluation.contact_sheet import sheet_steps, write_contact_sheet
from pdefm.evaluation.video import check_video

FILMS = (".gif", ".mp4")
SUFFIXES = (".hdf5", ".h5", ".nc", *FILMS, ".png")
AddFrame = Callable[[int, Tensor, Tensor | None], None]
"""Takes number, values ``[member, channel, *space]`` and truth ``[channel, *space]`` of a step."""


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse what could not be written after all the work.

    Raises:
        RecipeError: An unknown suffix.
        EnvironmentFault: The file exists, or its encoder is not installed.
    """
    if out.suffix not in SUFFIXES:
        raise RecipeError(
            "--out has an unknown suffix", got=out.name, do=f"Use one of {', '.join(SUFFIXES)}"
        )
    if out.suffix == ".mp4":
        check_video()
    if out.exists() and not overwrite:
        raise EnvironmentFault(f"{out} exists", do="Choose another --out or pass --overwrite")


@contextmanager
def rollout_output(
    out: Path, like: Trajectory, num_members: int, num_known: int, fields: Sequence[str]
) -> Iterator[AddFrame]:
    """Open what a suffix says; the file appears when the block succeeds.

    Args:
        out: The file.
        like: Times and description of the rollout; its values may be an expanded view.
        num_members: Of the ensemble; pictures show its mean.
        num_known: Steps whose truth is known, the first ones.
        fields: That a picture shows; an animation shows the first.

    Raises:
        DataError: An animation without a truth, or no such field.
        EnvironmentFault: The file cannot be written.
    """
    if out.suffix in (".hdf5", ".h5"):
        from pdefm.data.formats.well_writer import stream_well

        with stream_well(out, like, num_members, "rollout") as write:
            yield lambda step, frames, truth: write(step, frames)
    elif out.suffix == ".nc":
        from pdefm.data.formats.netcdf_writer import stream_netcdf

        with stream_netcdf(out, like, num_members) as write:
            yield lambda step, frames, truth: write(step, frames)
    else:
        kept = _KeptFrames(like, _wanted_steps(out, like.num_frames, num_known))
        yield kept.add
        if out.suffix == ".png":
            write_contact_sheet(out, kept.prediction(), kept.truth(), fields)
        else:
            truth = kept.truth()
            assert truth is not None
            write = write_gif if out.suffix == ".gif" else write_mp4
            write(out, truth, {"prediction": kept.prediction()}, fields[0])


def _wanted_steps(out: Path, num_steps: int, num_known: int) -> list[int]:
    if out.suffix not in FILMS:
        return sheet_steps(num_steps, num_known)
    if not num_known:
        raise DataError(
            "an animation shows the prediction beside the truth, and the data end where it starts",
            got="no later frames",
            do="Use an earlier --start-frame, or write .png or .hdf5",
        )
    return list(range(0, num_known, -(-num_known // MAX_FRAMES)))


@dataclass
class _KeptFrames:
    """The few steps that a picture shows."""

    like: Trajectory
    steps: list[int]
    predicted: list[Tensor] = field(default_factory=list)
    known: list[Tensor] = field(default_factory=list)

    def add(self, step: int, frames: Tensor, truth: Tensor | None) -> None:
        if step in self.steps:
            self.predicted.append(frames.mean(0))
            if truth is not None:
                self.known.append(truth)

    def prediction(self) -> Trajectory:
        return self._trajectory(self.predicted)

    def truth(self) -> Trajectory | None:
        return self._trajectory(self.known) if self.known else None

    def _trajectory(self, frames: list[Tensor]) -> Trajectory:
        times = self.like.times[self.steps[: len(frames)]]
        return replace(self.like, fields=torch.stack(frames), times=times)
