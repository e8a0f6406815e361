"""What the published HDF5 layouts share: late opening, named errors, the user's own words."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.described import describe
from pdefm.data.formats.hdf5_file import HdfNode, LazyHdf5, is_hdf5, named_errors, storage_of
from pdefm.data.trajectory import Trajectory


class Hdf5Collection(TrajectoryCollection):
    """One HDF5 file (NetCDF-4 is one too) of a layout that says its own axes.

    A format writes :meth:`recognise_file`, :meth:`frame_counts`, :meth:`read_frames` and
    :meth:`data_keys`; all four get the open file.

    Args:
        path: The file.
        description: May override names, units, dt, extent and boundary.

    Raises:
        RecipeError: The description gives axes or variables, which the file itself says.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".hdf5", ".h5")

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.stem
        self.description = description or Description()
        self.description.refuse(
            "axes", "variables", where=str(path), why="the file says its own axes"
        )
        self._hdf5 = LazyHdf5(path)

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """Why the content of this file is this format; ``None`` if it is not."""
        if not is_hdf5(path):
            return None
        hdf5 = LazyHdf5(path)
        try:
            with named_errors(path):
                return cls.recognise_file(hdf5.file)
        finally:
            hdf5.close()

    @classmethod
    @abstractmethod
    def recognise_file(cls, file: HdfNode) -> str | None:
        """Why this open file is this format; ``None`` if it is not."""

    @abstractmethod
    def frame_counts(self, file: HdfNode) -> Sequence[int]:
        """Number of frames of each trajectory; asked once per process."""

    @abstractmethod
    def read_frames(self, file: HdfNode, index: int, start: int, stop: int) -> Trajectory:
        """Frames of one trajectory as the file describes them."""

    @abstractmethod
    def data_keys(self, file: HdfNode) -> Sequence[str]:
        """Datasets that hold the fields."""

    @cached_property
    def _frame_counts(self) -> tuple[int, ...]:
        with named_errors(self.path):
            return tuple(self.frame_counts(self._hdf5.file))

    def __getstate__(self) -> dict[str, Any]:
        cached = {
            name
            for kind in type(self).__mro__
            for name, value in vars(kind).items()
            if isinstance(value, cached_property)
        }
        return {key: value for key, value in self.__dict__.items() if key not in cached}

    def __len__(self) -> int:
        return len(self._frame_counts)

    def num_frames(self, index: int) -> int:
        """Number of frames of one trajectory."""
        return self._frame_counts[self.check_index(index)]

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, described as the file and then the user say."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        with named_errors(self.path):
            trajectory = self.read_frames(self._hdf5.file, index, start, stop)
        return describe(trajectory, self.description, start)

    def storage(self) -> dict[str, StorageLayout]:
        """How the datasets of the fields are stored."""
        with named_errors(self.path):
            file = self._hdf5.file
            return {key: storage_of(file[key]) for key in self.data_keys(file)}
