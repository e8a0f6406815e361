"""PDEgym, the data of Poseidon: NetCDF-4 files, whole or in numbered shards."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pdefm.data.description import Description
from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.hdf5_file import HdfNode, LazyHdf5
from pdefm.data.formats.poseidon_layout import (
    COEFFICIENTS,
    VARIABLES,
    PoseidonLayout,
    StackedArray,
    find_layout,
    find_shards,
    first_shard,
    helmholtz_samples,
    looks_published,
)
from pdefm.data.trajectory import Source, Trajectory, uniform_boundary
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError


class PoseidonData(Hdf5Collection):
    """One assembled ``<ID>.nc``, a folder of shards ``velocity_0.nc``, ..., or ``Helmholtz.h5``.

    Shards go on from each other in the order of their numbers (the order of their names is not that
    of the published splits, which are the last samples). Fields are named by what the variable and
    its number of channels tell, others are ``channel_i``. Wave-* has no channel axis and a constant
    ``wave_speed``; Poisson-Gauss a constant ``source``; SE-AF a constant ``shape`` (1 inside the
    airfoil), which is the mask, too; Helmholtz a constant ``medium`` and a ``boundary_value``.

    The unit square. Time runs from 0 to 1 at the last frame, so 21 frames are 1/20 apart. The
    boundary is periodic for NS-*, FNS-KF and CE-*, a wall for the steady fields that are given at
    the sides, else open; say ``boundary`` where you know better. NS-SL is used transposed by its
    publishers; fields are read here as they are stored. The licence is non-commercial.

    Args:
        path: File, or folder of shards.
        description: May override names, units, dt, extent and boundary.

    Raises:
        DataError: A shard is missing, or other data lie beside the shards.
        RecipeError: The description gives axes or variables, which the file itself says.
    """

    format = "poseidon"
    suffixes = (".nc", ".h5")
    folders = True
    licence = "CC BY-NC 4.0 (non-commercial)"

    def __init__(self, path: Path, description: Description | None = None) -> None:
        super().__init__(path, description)
        self._shards = find_shards(path) if path.is_dir() else {}
        if self._shards:
            self._hdf5 = LazyHdf5(_main_shards(self._shards)[0])

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """Why the content of this file, or of the folder's first shard, is this format."""
        if not path.is_dir():
            return super().recognise(path)
        first = first_shard(path)
        reason = super().recognise(first) if first is not None else None
        return f"folder of numbered shards, {reason}" if reason else None

    @classmethod
    def recognise_file(cls, file: HdfNode) -> str | None:
        """The variables of PDEgym and nothing else, or the groups of Helmholtz."""
        samples = helmholtz_samples(file)
        if samples and set(file[samples[0]]) == {"a", "u", "bc"}:
            return "HDF5 with groups Sample_0, Sample_1, ... of a, u and bc"
        if not looks_published(file):
            return None
        layout = find_layout(file)
        assert layout is not None
        return f"NetCDF-4 with {layout.variable} over {', '.join(layout.axes)}"

    def frame_counts(self, file: HdfNode) -> Sequence[int]:
        """The same number for all; steady data have one."""
        if self._samples:
            return [1] * len(self._samples)
        frames = self._array.shape[0] if "time" in self._layout.axes else 1
        return [frames] * len(self._array)

    def data_keys(self, file: HdfNode) -> Sequence[str]:
        """The variable, or the first sample's field of Helmholtz."""
        return [f"{self._samples[0]}/u"] if self._samples else [self._layout.variable]

    def read_frames(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory."""
        if self._samples:
            return self._read_helmholtz(file, index)
        layout = self._layout
        steady = "time" not in layout.axes
        values = self._array.take(index, slice(None) if steady else slice(start, stop))
        if steady:
            values = values[None]
        if "channel" not in layout.axes:
            values = values[:, None]  # [T, 1, x, y]
        shape = values[0, 0] if layout.airfoil else None
        constants, names = None, ()
        if self._coefficient is not None and layout.coefficient is not None:
            constants = self._coefficient.take(index)[None]  # [1, x, y]
            names = (COEFFICIENTS[layout.coefficient],)
        if shape is not None:
            values, constants, names = values[:, 1:], shape[None], ("shape",)
        return self._trajectory(
            values, index, layout.names, layout.boundary, (start, stop), constants, names, shape
        )

    def _read_helmholtz(self, file: HdfNode, index: int) -> Trajectory:
        group = file[self._samples[index]]
        field, medium = (np.asarray(group[key][()], np.float32) for key in ("u", "a"))
        side = BoundaryCondition.WALL
        return self._trajectory(
            field[None, None],
            index,
            ("pressure",),
            side,
            (0, 1),
            medium[None],
            ("medium",),
            parameters={"boundary_value": float(np.ravel(group["bc"][()])[0])},
        )

    def _trajectory(
        self,
        values: np.ndarray,
        index: int,
        names: tuple[str, ...],
        side: BoundaryCondition,
        frames: tuple[int, int],
        constants: np.ndarray | None,
        constant_names: tuple[str, ...],
        shape: np.ndarray | None = None,
        parameters: dict[str, float] | None = None,
    ) -> Trajectory:
        last = max(1, self.num_frames(index) - 1)
        periodic = side is BoundaryCondition.PERIODIC
        return Trajectory(
            fields=torch.from_numpy(np.ascontiguousarray(values)),
            names=names,
            units=("dimensionless",) * len(names),
            grid=Grid.regular(values.shape[2:], periodic=periodic),
            times=torch.arange(*frames, dtype=torch.float64) / last,
            boundary=uniform_boundary(side, 2),
            parameters=parameters or {},
            mask=None if shape is None else torch.from_numpy(shape < 0.5),
            constants=None if constants is None else torch.from_numpy(constants.copy()),
            constant_names=constant_names,
            source=Source(str(self.path), index),
        )

    @cached_property
    def _samples(self) -> tuple[str, ...]:
        return helmholtz_samples(self._hdf5.file)

    @cached_property
    def _layout(self) -> PoseidonLayout:
        layout = find_layout(self._hdf5.file, list(self._shards))
        if layout is None:
            raise DataError(
                f"{self._hdf5.path} holds no variable of PDEgym",
                got=", ".join(list(self._hdf5.file)[:8]) or "no data",
                do=f"Check the file, or leave out --format; known are {', '.join(VARIABLES)}",
            )
        return layout

    def _stacked(self, key: str) -> StackedArray:
        paths = self._shards.get(key) or _main_shards(self._shards) or [self.path]
        return StackedArray([LazyHdf5(path) for path in paths], key)

    @cached_property
    def _array(self) -> StackedArray:
        return self._stacked(self._layout.variable)

    @cached_property
    def _coefficient(self) -> StackedArray | None:
        key = self._layout.coefficient
        if key is None:
            return None
        found = self._stacked(key)
        if len(found) < len(self._array) or (not self._shards and len(found) > len(self._array)):
            raise DataError(
                f"{self.path}: '{key}' is not there for every sample",
                got=f"{len(found)} for {len(self._array)}",
                do="Download the missing files",
            )
        return found


def _main_shards(shards: dict[str, list[Path]]) -> list[Path]:
    return next((shards[variable] for variable in VARIABLES if variable in shards), [])
