"""PDEArena's files: smoke in HDF5, weather in folders of NetCDF-4 runs."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from pdefm.data.collection import Concatenation
from pdefm.data.description import Description
from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.pdearena_navier_stokes import NavierStokesFile
from pdefm.data.formats.pdearena_shallow_water import ShallowWaterRun
from pdefm.data.open import natural_order
from pdefm.errors import DataError

KINDS: tuple[type[Hdf5Collection], ...] = (NavierStokesFile, ShallowWaterRun)
RUNS = ("seed=*/run*/output.nc", "run*/output.nc")


class PDEArena(Concatenation):
    """A file of PDEArena's Navier-Stokes, or its shallow water as one run or a folder of runs.

    A folder holds ``seed=*/run*/output.nc`` as published, in the natural order of the numbers of
    seeds and runs; it is listed once. Its runs are taken to be alike.

    Source: Gupta & Brandstetter (2022), arXiv:2209.15616.

    Args:
        path: A file, or a folder of runs.
        description: May override names, units, dt, extent and boundary.

    Raises:
        DataError: Neither of both.
    """

    format = "pdearena"
    folders = True
    suffixes = (".h5", ".nc")

    def __init__(self, path: Path, description: Description | None = None) -> None:
        kind = ShallowWaterRun
        files = sorted(_runs(path), key=_order) if path.is_dir() else [path]
        if not path.is_dir():
            kind = next((kind for kind in KINDS if kind.recognise(path)), None)
        if not files or kind is None:
            raise DataError(
                f"{path}: is nothing that PDEArena publishes",
                got="a folder without runs" if path.is_dir() else "other contents",
                do=f"Give a file of Navier-Stokes, an output.nc or a folder with {RUNS[0]}",
            )
        super().__init__([kind(file, description) for file in files], path)
        self.name = path.stem

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """By the contents of the file, or of the first run in the folder."""
        if not path.is_dir():
            return next((reason for kind in KINDS if (reason := kind.recognise(path))), None)
        run = next(_runs(path), None)
        reason = run and ShallowWaterRun.recognise(run)
        return f"folder of runs; {reason}" if reason else None

    def groups(self) -> list[Sequence[int]]:
        """All trajectories together: a look into each of thousands of files takes long."""
        return [range(len(self))]


def _runs(folder: Path) -> Iterator[Path]:
    return chain.from_iterable(folder.glob(pattern) for pattern in RUNS)


def _order(run: Path) -> tuple[object, ...]:
    return natural_order(run.parent.parent), natural_order(run.parent)
