"""One sample of each equation on one page."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pdefm.data.orders import Preset, num_frames_of
from pdefm.data.picture import draw_gallery
from pdefm.data.shards import solve_trajectories
from pdefm.pdes import PDES

SIZE = Preset(1, 21, {1: 128, 2: 64, 3: 32})


def gallery(
    path: str | Path,
    *,
    families: Sequence[str] = (),
    num_frames: int = SIZE.num_frames,
    resolution: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Solve one sample of each family and draw its first field at the last time.

    Args:
        path: The picture; an existing one is replaced.
        families: Names; none means all.
        num_frames: Frames that are solved; steady families have one.
        resolution: Points per axis; by the number of axes unless given.
        seed: Decides the samples.
        progress: Told when a family is finished.

    Returns:
        ``path``.

    Raises:
        RecipeError: Unknown family or a number out of range.
        NumericalError: The solver found no usable sample.
        EnvironmentFault: The picture cannot be written.
    """
    samples = []
    for name in families or sorted(PDES):
        pde = PDES[name]()
        solved, _ = solve_trajectories(
            pde,
            range(1),
            resolution=resolution or SIZE.points[pde.num_dims],
            num_frames=num_frames_of(name, num_frames),
            seed=seed,
            first_index=0,
            progress=progress,
        )
        samples += solved
    return draw_gallery(samples, path)
