"""Reader of the HDF5 files that DPOT's own data scripts write."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.axis_spec import AxisSpec
from pdefm.data.formats.described import describe
from pdefm.data.formats.dpot_layout import as_steady_axes, data_axes, steady_axes
from pdefm.data.formats.hdf5_file import HdfNode, LazyHdf5, is_hdf5, named_errors, storage_of
from pdefm.data.trajectory import Source, Trajectory
from pdefm.domain import Grid
from pdefm.errors import DataError

NUMBERED = re.compile(r"data_(\d+)\.(?:hdf5|h5)")


def _numbered_files(folder: Path) -> list[Path]:
    """``data_0.hdf5``, ``data_1.hdf5``, ... by their numbers."""
    numbers = {
        entry: int(match[1])
        for entry in folder.iterdir()
        if (match := NUMBERED.fullmatch(entry.name))
    }
    return sorted(numbers, key=lambda entry: (numbers[entry], entry.name))


def _stored_arrays(file: HdfNode) -> dict[str, HdfNode]:
    """``data``, or else ``x`` and ``y``, as far as they are arrays of real numbers."""
    keys = ("data",) if "data" in file else ("x", "y")
    found = {key: file.get(key) for key in keys}
    arrays = {key: node for key, node in found.items() if isinstance(node, h5py.Dataset)}
    real = all(node.shape and node.dtype.kind in "fiub" for node in arrays.values())
    return arrays if real and len(arrays) == len(keys) else {}


@dataclass(frozen=True)
class _Layout:
    """Axes of the datasets, equal in all files of a folder."""

    specs: dict[str, AxisSpec]

    @property
    def fields(self) -> AxisSpec:
        return self.specs["data" if "data" in self.specs else "y"]


class DpotData(TrajectoryCollection):
    """DPOT's own files: a folder of numbered ones, or a single one.

    - A folder of ``data_0.hdf5``, ``data_1.hdf5``, ... holds one trajectory a file: ``data`` with
      axes ``X Y T``, ``X Y T C`` or ``X Y Z T C``.
    - A single file holds all of them: ``N X Y T``, ``N X Y T C`` or ``N X Y Z T C``.
    - Steady sets have ``x`` (input, read as constants ``input_0``, ...) and ``y`` (solution) with
      axes ``X Y`` or ``X Y C``, or those of many samples after ``N``.

    Which of them a file is follows from its shape; where a shape fits two, ``--axes`` decides. The
    files say nothing else: channels are ``channel_0``, ... until ``--names`` says better (a stored
    mask, as CFDBench's, stays a channel), ``dt`` is 1, the extent 1 an axis, the boundary periodic.
    Numbers are read as float32, only of the asked frames.

    Args:
        path: The file, or the folder that holds the numbered ones.
        description: All but ``variables`` may be given.

    Raises:
        RecipeError: The description gives variables.
    """

    format = "dpot"
    folders = True
    suffixes = (".hdf5", ".h5")

    def __init__(self, path: Path, description: Description | None = None) -> None:
        self.path, self.name = path, path.stem
        self.description = description or Description()
        why = "DPOT's files hold data, or x and y; for your own add --format arrays"
        self.description.refuse("variables", where=str(path), why=why)

    @classmethod
    def recognise(cls, path: Path) -> str | None:
        """A root with nothing but ``data``, or ``x`` and ``y``, of as many axes as published."""
        numbered = _numbered_files(path) if path.is_dir() else []
        first = numbered[0] if numbered else path
        if not first.is_file() or not is_hdf5(first):
            return None
        hdf5 = LazyHdf5(first)
        try:
            with named_errors(first):
                shapes = {key: node.shape for key, node in _stored_arrays(hdf5.file).items()}
                alone = set(hdf5.file) == set(shapes)
        finally:
            hdf5.close()
        ranks = range(3, 7) if "data" in shapes else range(2, 5)
        if not shapes or not alone or not all(len(shape) in ranks for shape in shapes.values()):
            return None
        kept = " and ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
        return f"{f'{len(numbered)} numbered ' if numbered else ''}HDF5 with only {kept}"

    @cached_property
    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        if numbered := _numbered_files(self.path):
            return numbered
        raise DataError(
            f"{self.path} holds no data_0.hdf5, data_1.hdf5, ...",
            got=", ".join(sorted(entry.name for entry in self.path.iterdir())[:8]) or "nothing",
            do="Give the folder of the numbered files, or one file",
        )

    @cached_property
    def _layout(self) -> _Layout:
        first, said = self._files[0], self.description.axes
        numbered, where = self.path.is_dir(), str(first)
        shapes = {key: tuple(node.shape) for key, node in self._arrays(first).items()}
        if "data" in shapes:
            shape = shapes["data"]
            known = AxisSpec.parse(said, shape, where) if said else None
            return _Layout({"data": known or data_axes(shape, numbered, where)})
        known = as_steady_axes(said, shapes, where) if said else None
        return _Layout(known or steady_axes(shapes, numbered, where))

    def _arrays(self, path: Path) -> dict[str, HdfNode]:
        with named_errors(path):
            file = LazyHdf5(path).file
            if arrays := _stored_arrays(file):
                return arrays
            raise DataError(
                f"{path}: needs a dataset 'data', or 'x' and 'y', of real numbers",
                got=", ".join(map(str, file)) or "an empty file",
                do="Open it with --format arrays, or leave it out",
            )

    def __getstate__(self) -> dict[str, Any]:
        read_again = ("_files", "_layout")
        return {key: value for key, value in self.__dict__.items() if key not in read_again}

    def __len__(self) -> int:
        return len(self._files) * self._layout.fields.size("N")

    def num_frames(self, index: int) -> int:
        """Number of frames, the same for all trajectories."""
        self.check_index(index)
        return self._layout.fields.size("T")

    def storage(self) -> dict[str, StorageLayout]:
        """How the datasets of the first file are stored, which stands for all."""
        with named_errors(self._files[0]):
            return {key: storage_of(node) for key, node in self._arrays(self._files[0]).items()}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, named and scaled as the user says."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        layout = self._layout
        number, local = divmod(index, layout.fields.size("N"))
        path = self._files[number]
        arrays = self._arrays(path)
        shapes = {key: tuple(node.shape) for key, node in arrays.items()}
        expected = {key: spec.shape for key, spec in layout.specs.items()}
        if shapes != expected:
            raise DataError(
                f"{path}: all numbered files need the shape of {self._files[0].name}, {expected}",
                got=shapes,
                do="Put files of another shape into another folder",
            )
        with named_errors(path):
            taken = {
                key: torch.from_numpy(
                    np.array(spec.take(arrays[key], local, start, stop), np.float32, order="C")
                )
                for key, spec in layout.specs.items()
            }
        constants = taken["x"][0] if "x" in taken else None
        fields = taken.get("data", taken.get("y"))
        assert fields is not None
        trajectory = Trajectory(
            fields=fields,
            names=tuple(f"channel_{i}" for i in range(fields.shape[1])),
            grid=Grid.regular(tuple(fields.shape[2:])),
            times=torch.arange(start, stop, dtype=torch.float64),
            constants=constants,
            constant_names=() if constants is None else _input_names(len(constants)),
            source=Source(str(path), local),
        )
        return describe(trajectory, self.description, start)


def _input_names(count: int) -> tuple[str, ...]:
    return tuple(f"input_{i}" for i in range(count))
