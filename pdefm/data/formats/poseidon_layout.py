"""What the files of PDEgym mean: told by variable, number of axes, channels and frames."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from pdefm.data.formats.hdf5_file import HdfNode, LazyHdf5, as_text, named_errors
from pdefm.domain import BoundaryCondition
from pdefm.errors import DataError

VARIABLES = ("velocity", "data", "solution")
COEFFICIENTS = {"c": "wave_speed", "source": "source"}
"""Fields that do not change in time, and what they are called here."""
DIMENSIONS = ("sample", "time", "channel", "x", "y")
VELOCITY = ("velocity_x", "velocity_y")
GAS = ("density", *VELOCITY, "pressure")
CHANNELS = {
    ("velocity", 2): VELOCITY,  # NS-*
    ("velocity", 3): (*VELOCITY, "concentration"),
    ("data", 4): GAS,  # CE-*
    ("data", 5): (*GAS, "energy"),
    ("solution", 2): VELOCITY,  # FNS-KF
    ("solution", 4): GAS,  # CE-RM
    ("solution", 5): (*GAS, "channel_4"),
    ("solution", 6): (*GAS, "channel_4", "gravitational_potential"),  # GCE-RT
}
NO_CHANNEL_AXIS = {20: "phase", 21: "pressure"}
"""By number of frames: ACE has 20, a shard of Wave-* without its coefficient 21."""
SHARD = re.compile(rf"({'|'.join((*VARIABLES, *COEFFICIENTS))})_(\d+)\.nc")
SAMPLE = re.compile(r"Sample_(\d+)")
FILE_SUFFIXES = (".nc", ".h5", ".hdf5")
MAX_ENTRIES = 16
"""Entries at the root; a file with more is another format, and is not looked through."""


@dataclass(frozen=True)
class PoseidonLayout:
    """How one variable is to be read.

    Args:
        variable: Its key.
        axes: Words of ``DIMENSIONS``, one an axis.
        names: One per channel.
        boundary: As published, where the content tells which data these are.
        coefficient: Key of the constant field, or ``None``.
        airfoil: Whether the first of two channels is the shape of an obstacle.
    """

    variable: str
    axes: tuple[str, ...]
    names: tuple[str, ...]
    boundary: BoundaryCondition
    coefficient: str | None = None
    airfoil: bool = False


def variables_of(file: HdfNode) -> dict[str, HdfNode]:
    """Datasets at the root that are more than a NetCDF dimension."""
    if len(file) > MAX_ENTRIES:
        return {}
    return {
        key: node
        for key, node in file.items()
        if hasattr(node, "shape") and as_text(node.attrs.get("CLASS", "")) != "DIMENSION_SCALE"
    }


def dimension_names(data: HdfNode) -> tuple[str, ...]:
    """NetCDF's word for each axis; empty text where the file has none."""
    return tuple(
        ((axis[0].name or "") if len(axis) else axis.label).rpartition("/")[2].lower()
        for axis in data.dims
    )


def find_layout(file: HdfNode, coefficients: Sequence[str] = ()) -> PoseidonLayout | None:
    """The layout of an open file; ``None`` if no variable of PDEgym is in it.

    Args:
        file: Open file, a single one or the first shard.
        coefficients: Those that shards of their own hold.
    """
    found = variables_of(file)
    variable = next((key for key in VARIABLES if key in found), None)
    if variable is None or not 3 <= found[variable].ndim <= 5:
        return None
    data = found[variable]
    axes = _axes(data)
    coefficient = next((k for k in COEFFICIENTS if k in found or k in coefficients), None)
    channels = data.shape[axes.index("channel")] if "channel" in axes else 1
    frames = data.shape[axes.index("time")] if "time" in axes else 1
    names = tuple(f"channel_{i}" for i in range(channels))
    boundary = BoundaryCondition.OPEN
    if "channel" not in axes:
        if coefficient is not None:
            names = ("pressure",) if "time" in axes else ("potential",)
        elif "time" in axes:
            names = (NO_CHANNEL_AXIS.get(frames, "channel_0"),)
        if "time" not in axes:
            boundary = BoundaryCondition.WALL  # a steady field that is zero at the sides
    elif "time" in axes:
        names = CHANNELS.get((variable, channels), names)
        if (variable, channels) in CHANNELS and "gravitational_potential" not in names:
            boundary = BoundaryCondition.PERIODIC
    airfoil = "time" not in axes and channels == 2
    if airfoil:
        names = ("density",)
    return PoseidonLayout(variable, axes, names, boundary, coefficient, airfoil)


def _axes(data: HdfNode) -> tuple[str, ...]:
    found = dimension_names(data)
    if set(found) <= set(DIMENSIONS) and len(set(found)) == data.ndim:
        return found
    middle = {3: (), 4: ("channel",) if data.shape[1] == 2 else ("time",), 5: ("time", "channel")}
    return ("sample", *middle[data.ndim], "x", "y")


def looks_published(file: HdfNode) -> bool:
    """Whether the variables, and what NetCDF says of their axes, are those of PDEgym."""
    found = variables_of(file)
    main = [key for key in VARIABLES if key in found]
    if len(main) != 1 or not set(found) <= {*main, *COEFFICIENTS}:
        return False
    data = found[main[0]]
    if data.dtype.kind != "f" or not 3 <= data.ndim <= 5:
        return False
    dimensions = dimension_names(data)
    if all(dimensions):
        inner = [name for name in DIMENSIONS if name in dimensions]
        return list(dimensions) == inner and {"sample", "x", "y"} <= set(inner)
    # Without words for the axes, only the published shape with channels in the middle will do.
    square = data.shape[-1] == data.shape[-2]
    return data.ndim == 5 and square and (main[0], data.shape[2]) in CHANNELS


def helmholtz_samples(file: HdfNode) -> tuple[str, ...]:
    """Groups ``Sample_{i}`` in the order of their numbers, which is not that of their names."""
    if not SAMPLE.fullmatch(str(next(iter(file), ""))):
        return ()
    numbers = [found for key in file if (found := SAMPLE.fullmatch(str(key)))]
    return tuple(found[0] for found in sorted(numbers, key=lambda found: int(found[1])))


def list_shards(folder: Path) -> tuple[dict[str, list[tuple[int, Path]]], list[str]]:
    """Per variable its numbered shards, by number, and the names of other data files."""
    numbered: dict[str, list[tuple[int, Path]]] = {}
    others = []
    for path in sorted(folder.iterdir()):
        if (found := SHARD.fullmatch(path.name)) and path.is_file():
            numbered.setdefault(found[1], []).append((int(found[2]), path))
        elif path.suffix.lower() in FILE_SUFFIXES and not path.name.startswith("."):
            others.append(path.name)
    return {name: sorted(shards) for name, shards in numbered.items()}, others


def first_shard(folder: Path) -> Path | None:
    """The shard with the lowest number of the variable that the folder's shards hold."""
    numbered, _ = list_shards(folder)
    return next((numbered[name][0][1] for name in VARIABLES if name in numbered), None)


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Per variable its shards in the order of their numbers.

    Raises:
        DataError: No shards, a shard is missing, or other data lie beside the shards.
    """
    numbered, others = list_shards(folder)
    if not any(variable in numbered for variable in VARIABLES):
        raise DataError(
            f"{folder} holds no shards of PDEgym",
            got=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "an empty folder",
            do="Give a folder with velocity_0.nc, data_0.nc or solution_0.nc, or one file",
        )
    if others:
        raise DataError(
            f"{folder}: shards lie beside other data, perhaps the same once more",
            got=", ".join(others[:4]),
            do=f"Open {others[0]} itself, or keep the shards in a folder of their own",
        )
    for variable, shards in numbered.items():
        numbers = [number for number, _ in shards]
        if numbers != list(range(len(numbers))):
            missing = sorted(set(range(numbers[-1] + 1)) - set(numbers))
            raise DataError(
                f"{folder}: the shards of '{variable}' do not count 0, 1, 2, ...",
                got=f"no {variable}_{missing[0]}.nc" if missing else "a number twice",
                do="Download the missing shards, or open the files one by one",
            )
    return {name: [path for _, path in shards] for name, shards in numbered.items()}


class StackedArray:
    """One variable whose samples count on from file to file.

    Args:
        files: In order.
        key: Of the variable in each of them.

    Raises:
        DataError: A file without the variable, or of another shape.
    """

    def __init__(self, files: Sequence[LazyHdf5], key: str) -> None:
        self.files, self.key = files, key
        shapes = []
        for file in files:
            with named_errors(file.path):
                if key not in file.file:
                    raise DataError(
                        f"{file.path} holds no '{key}'",
                        got=", ".join(list(file.file)[:8]) or "no data",
                        do="Check that the file is a shard of this dataset",
                    )
                shapes.append(tuple(file.file[key].shape))
            if shapes[-1][1:] != shapes[0][1:]:
                raise DataError(
                    f"{file.path}: '{key}' has another shape than in {files[0].path.name}",
                    got=f"{list(shapes[-1])} after {list(shapes[0])}",
                    do="Check that the file is a shard of this dataset",
                )
        self.shape = shapes[0][1:]
        self._ends = list(accumulate(shape[0] for shape in shapes))

    def __len__(self) -> int:
        return self._ends[-1]

    def take(self, index: int, frames: slice = slice(None)) -> np.ndarray:
        """Part of one sample as float32; nothing else is read."""
        number = bisect_right(self._ends, index)
        file = self.files[number]
        local = index - (self._ends[number - 1] if number else 0)
        with named_errors(file.path):
            return np.asarray(file.file[self.key][local, frames], np.float32)
