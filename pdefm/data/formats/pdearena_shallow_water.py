"""PDEArena's weather on the sphere, one NetCDF-4 file a run."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from pdefm.data.formats.axis_points import axis_from_points
from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.hdf5_file import HdfNode, as_text, holds_numbers
from pdefm.data.trajectory import Source, Trajectory
from pdefm.domain import BoundaryCondition, Grid
from pdefm.errors import DataError

FIELDS = {
    "u": "velocity_x",
    "v": "velocity_y",
    "vor": "vorticity",
    "div": "divergence",
    "pres": "pressure",
}
OPEN, PERIODIC = BoundaryCondition.OPEN, BoundaryCondition.PERIODIC


class ShallowWaterRun(Hdf5Collection):
    """One run: ``u, v, vor, div [time, lev, lat, lon]`` and ``pres [time, lat, lon]``.

    Read as ``[lon, lat]`` with the axes ``x`` (to the east, periodic) and ``y`` (to the north,
    whichever way the file counts), in degrees, because ``velocity_x`` blows to the east. The poles
    are ``open`` sides. ``pres`` is the displacement of the water surface under its published name.
    Times are those of the file, in its unit. All frames are there, also the first four that
    PDEArena's own reader leaves out.
    """

    format = "pdearena"
    suffixes = (".nc",)
    licence = "MIT"

    @classmethod
    def recognise_file(cls, file: HdfNode) -> str | None:
        """Time, one level, latitude and longitude with vorticity and surface pressure."""
        if not holds_numbers(file, "time", "lev", "lat", "lon", "vor", "pres"):
            return None
        if file["vor"].ndim != 4 or file["pres"].ndim != 3 or len(file["lev"]) != 1:
            return None
        return "NetCDF-4 with vor (time, lev, lat, lon) and pres, as PDEArena's shallow water"

    def __len__(self) -> int:
        return 1  # without opening one of thousands of files

    def frame_counts(self, file: HdfNode) -> Sequence[int]:
        """Number of frames of the run."""
        return [file["pres"].shape[0]]

    def data_keys(self, file: HdfNode) -> Sequence[str]:
        """Variables that are there."""
        return [key for key in FIELDS if key in file]

    @cached_property
    def _keys(self) -> list[str]:
        """Variables, after a look at their shapes."""
        file = self._hdf5.file
        time, lat, lon = (len(file[name]) for name in ("time", "lat", "lon"))
        keys = [key for key in FIELDS if key in file]
        for key in keys:
            shape = tuple(file[key].shape)
            if shape not in ((time, 1, lat, lon), (time, lat, lon)):
                raise DataError(
                    f"{self.path}: {key} must be (time, lev, lat, lon) = {[time, 1, lat, lon]}",
                    got=list(shape),
                    do="Only runs of one level are shallow water; check the file",
                )
        return keys

    @cached_property
    def _south_first(self) -> bool:
        lat = self._hdf5.file["lat"]
        return bool(lat[0] < lat[-1])

    @cached_property
    def _grid(self) -> Grid:
        file, where = self._hdf5.file, str(self.path)
        lon, lat = np.asarray(file["lon"][()]), np.asarray(file["lat"][()])
        north = lat if self._south_first else lat[::-1]
        return Grid(
            (axis_from_points("x", lon, True, where), axis_from_points("y", north, False, where))
        )

    def read_frames(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of the run; other frames are not read."""
        keys, grid = self._keys, self._grid
        shape = (stop - start, *grid.shape[::-1])
        fields = np.empty((stop - start, len(keys), *grid.shape), np.float32)
        for channel, key in enumerate(keys):
            values = file[key][start:stop].reshape(shape)  # [T, lat, lon]
            values = values if self._south_first else values[:, ::-1]
            fields[:, channel] = values.transpose(0, 2, 1)  # [T, lon, lat]
        return Trajectory(
            fields=torch.from_numpy(fields),
            names=tuple(FIELDS[key] for key in keys),
            units=tuple(as_text(file[key].attrs.get("units", "unknown")) for key in keys),
            grid=grid,
            times=torch.from_numpy(np.asarray(file["time"][start:stop], np.float64)),
            boundary=((PERIODIC, PERIODIC), (OPEN, OPEN)),
            source=Source(str(self.path), index),
        )
