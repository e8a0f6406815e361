"""Solve an equation into files of The Well's specification, once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from pdefm.data.cache import cache_folder, content_key
from pdefm.data.collection import TrajectorySequence
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.files import write_json_atomic
from pdefm.pdes import PDES
from pdefm.pdes.sample import SAMPLING_VERSION, solve_samples
from pdefm.provenance import package_versions
from pdefm.registry import nearest_name_hint

if TYPE_CHECKING:
    from pdefm.pdes.base import PDE
    from pdefm.pdes.sample import Rejection, Solution

FIRST_INDEX = {"train": 0, "valid": 1_000_000, "test": 2_000_000}
"""Where each split starts to count samples, so that no sample is in two splits."""
CHUNK = 64
"""Trajectories that are in memory at a time; a multiple of the solver's micro-batch."""
RECORD = "generation.json"


def generate(
    family: str,
    *,
    num_trajectories: int,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    out: str | Path,
    split: str = "train",
    device: str = "cpu",
    overwrite: bool = False,
    settings: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Solve one family into ``OUT/data/SPLIT/FAMILY.hdf5`` and record how in ``generation.json``.

    Args:
        family: Name in the table of equations.
        num_trajectories: How many.
        resolution: Points per axis; one number stands for all axes.
        num_frames: Frames a trajectory, the initial state included.
        seed: Sample ``i`` of a split depends on the seed and ``i`` only.
        out: Folder; other splits and families in it stay.
        split: ``train``, ``valid`` or ``test``; each holds different samples.
        device: Where the solver runs.
        overwrite: Replace an existing file.
        settings: Arguments of the equation's class, such as ``dt``.
        progress: Told how many samples have just been finished.

    Returns:
        ``out``, which ``open_trajectories`` opens.

    Raises:
        RecipeError: Unknown family, split or setting, or a number out of range.
        EnvironmentFault: The file exists, or cannot be written.
        NumericalError: The solver found no usable sample.
    """
    from pdefm.data.formats.well_writer import write_well

    pde = _make_pde(family, settings)
    plan = _plan(pde, num_trajectories, resolution, num_frames, seed, split)
    out = Path(out)
    path = out / "data" / split / f"{family}.hdf5"
    if path.exists() and not overwrite:
        raise EnvironmentFault(
            f"{path} already exists", do="Pass --overwrite to replace it, or choose another --out"
        )
    solved = _SolvedTrajectories(pde, plan, device, progress)
    write_well(path, solved, dataset_name=family)
    found = {
        "rejections": [vars(rejection) for rejection in solved.rejections],
        "versions": package_versions(),
    }
    _record(out, f"data/{split}/{family}.hdf5", plan | found)
    return out


def generate_cached(
    family: str,
    *,
    num_trajectories: int,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    split: str = "train",
    device: str = "cpu",
    settings: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """As ``generate``, into the cache folder; work that is already there is not done again.

    The folder's name covers everything that decides the numbers, the solver's version included.

    Returns:
        ``CACHE/FAMILY-<16 hexadecimal digits>``.
    """
    plan = _plan(_make_pde(family, settings), num_trajectories, resolution, num_frames, seed, split)
    out = cache_folder() / f"{family}-{content_key(plan)}"
    if (out / "data" / split / f"{family}.hdf5").exists() and (out / RECORD).exists():
        return out
    return generate(
        family,
        num_trajectories=num_trajectories,
        resolution=resolution,
        num_frames=num_frames,
        seed=seed,
        out=out,
        split=split,
        device=device,
        overwrite=True,
        settings=settings,
        progress=progress,
    )


def _make_pde(family: str, settings: dict[str, Any] | None) -> "PDE":
    try:
        return PDES[family](**(settings or {}))
    except TypeError as error:
        raise RecipeError(
            f"settings of '{family}' do not fit", got=error, do="See `pdefm list pdes`"
        ) from error


def _plan(
    pde: "PDE",
    num_trajectories: int,
    resolution: int | tuple[int, ...],
    num_frames: int,
    seed: int,
    split: str,
) -> dict[str, Any]:
    """Everything that decides the numbers, as plain JSON values."""
    if split not in FIRST_INDEX:
        raise RecipeError(
            "unknown split", got=f"'{split}'", do=nearest_name_hint(split, list(FIRST_INDEX))
        )
    most = FIRST_INDEX["valid"]
    if not 1 <= num_trajectories <= most:
        raise RecipeError(
            f"num_trajectories must be 1 to {most}", got=num_trajectories, do="Change the number"
        )
    return {
        "configuration": pde.configuration(),
        "sampling_version": SAMPLING_VERSION,
        "num_trajectories": num_trajectories,
        "resolution": list(pde.grid(resolution).shape),
        "num_frames": num_frames,
        "seed": seed,
        "split": split,
        "first_index": FIRST_INDEX[split],
    }


def _record(out: Path, file: str, entry: dict[str, Any]) -> None:
    """Add one file's entry to the folder's record."""
    path = out / RECORD
    try:
        known = json.loads(path.read_text()) if path.exists() else {}
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is damaged", got=error, do="Delete it and generate the data again"
        ) from error
    write_json_atomic(path, known | {file: entry})


class _SolvedTrajectories(TrajectorySequence):
    """Trajectories that are solved in chunks when they are asked for, in order."""

    def __init__(
        self,
        pde: "PDE",
        plan: dict[str, Any],
        device: str,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.pde, self.plan, self.device, self.progress = pde, plan, device, progress
        self.rejections: list[Rejection] = []
        self._chunk = -1
        self._solution: Solution | None = None

    def __len__(self) -> int:
        return self.plan["num_trajectories"]

    @overload
    def __getitem__(self, index: int) -> Trajectory: ...

    @overload
    def __getitem__(self, index: slice) -> list[Trajectory]: ...

    def __getitem__(self, index: int | slice) -> Trajectory | list[Trajectory]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not 0 <= index < len(self):
            raise IndexError(index)
        solution, place = self._solve(index // CHUNK), index % CHUNK
        return Trajectory(
            fields=solution.fields[place],
            names=solution.names,
            units=solution.units,
            grid=solution.grid,
            times=solution.times,
            boundary=uniform_boundary(solution.boundary, solution.grid.num_dims),
            parameters={name: float(v[place]) for name, v in solution.parameters.items()},
            source=Source(self.pde.name, self.plan["first_index"] + index),
        )

    def _solve(self, chunk: int) -> "Solution":
        if self._solution is None or chunk != self._chunk:
            self._solution = solve_samples(
                self.pde,
                min(CHUNK, len(self) - chunk * CHUNK),
                resolution=tuple(self.plan["resolution"]),
                num_frames=self.plan["num_frames"],
                seed=self.plan["seed"],
                device=self.device,
                first_index=self.plan["first_index"] + chunk * CHUNK,
                progress=self.progress,
            )
            self._chunk = chunk
            self.rejections.extend(self._solution.rejections)
        return self._solution
