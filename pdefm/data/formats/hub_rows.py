"""Parquet files of a dataset on the Hub: a row a trajectory, its numbers as bytes with a shape."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.described import describe
from pdefm.data.formats.hub_place import HubRepository
from pdefm.data.formats.hub_stream import file_system, remote_path
from pdefm.data.formats.probe import probe
from pdefm.data.trajectory import Source, Trajectory
from pdefm.domain import AXIS_NAMES, Axis, BoundaryCondition, Grid
from pdefm.errors import DataError
from pdefm.repositories import endpoint, hub_errors

if TYPE_CHECKING:
    import datasets

COLUMNS = ("fields", "shape")
"""Without these a table is something else."""
CONSTANTS = ("dtype", "names", "units", "dt", "extent", "boundary")
"""Columns that may also stand once in the card, below ``pdefm:`` in its YAML."""
DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}


class HubRows(TrajectoryCollection):
    """Rows with ``fields`` (bytes, little-endian, C order) and ``shape`` (``[T, C, *space]``).

    ``dtype``, ``names``, ``units``, ``dt``, ``extent`` and ``boundary`` are columns too, or are
    said once for all in the dataset's card below ``pdefm:``; ``times`` may replace ``dt``, and
    ``parameters`` is a column of numbers by name. What is read is what ``datasets`` keeps in its
    cache as Arrow files that are mapped into memory; of a streamed dataset, rows come one after the
    other, and going back starts again.

    Args:
        repository: Which commit of which dataset.
        names: The parquet files.
        description: May override names, units, dt, extent and boundary.
        trust: Open the files without looking into them first.

    Raises:
        RecipeError: The description gives axes or variables, which the rows themselves say.
    """

    format = "hub"

    def __init__(
        self, repository: HubRepository, names: Sequence[str], description: Description, trust: bool
    ) -> None:
        self.repository, self.names, self.trust = repository, list(names), trust
        place = repository.place
        self.uri = place.uri_of(place.path).rstrip("/")
        self.path, self.name = Path(self.uri), place.repository.rpartition("/")[2]
        self.description = description
        description.refuse("axes", "variables", where=self.uri, why="each row says its shape")
        said = repository.metadata.get("pdefm")
        self.constants = said if isinstance(said, dict) else {}

    def __getstate__(self) -> dict[str, Any]:
        read_again = ("_table", "_stream", "_facts")
        return {key: value for key, value in self.__dict__.items() if key not in read_again}

    @cached_property
    def _table(self) -> "datasets.Dataset":
        """All rows, mapped into memory."""
        from datasets import load_dataset

        paths = [self.repository.download(name) for name in self.names]
        if not self.trust:
            probe(paths)
        home = os.environ.get("HF_DATASETS_CACHE") or os.environ.get("HF_HOME")
        folder = f"{home}/datasets" if home and "HF_DATASETS_CACHE" not in os.environ else home
        try:
            found = load_dataset(
                "parquet",
                data_files=[str(path) for path in paths],
                split="train",
                cache_dir=folder,
            )
        except Exception as error:  # the builder wraps whatever the file does to it
            raise DataError(
                f"{self.uri}: the rows cannot be read",
                got=type(error.__cause__ or error).__name__,
                do="Ask its publisher for another file",
            ) from error
        return self._checked(found)

    def _checked(self, table: Any) -> Any:
        missing = [name for name in COLUMNS if name not in (table.column_names or ())]
        if missing:
            raise DataError(
                f"{self.uri}: rows of trajectories need the columns {' and '.join(COLUMNS)}",
                got=", ".join(table.column_names or ()),
                do="Convert the dataset to files, or add the columns",
            )
        return table.with_format("arrow")

    @cached_property
    def _stream(self) -> "_Stream":
        return _Stream(self)

    @cached_property
    def _facts(self) -> dict[int, tuple[int, ...]]:
        """Shapes of rows that were asked for."""
        return {}

    def __len__(self) -> int:
        return self._stream.num_rows if self.repository.place.stream else self._table.num_rows

    def _row(self, index: int) -> Any:
        """One row as an Arrow table, so that its bytes are not copied."""
        return self._stream.row(index) if self.repository.place.stream else self._table[index]

    def _shape(self, index: int, row: Any = None) -> tuple[int, ...]:
        if index not in self._facts:
            if row is None and not self.repository.place.stream:
                row = self._table.select_columns(["shape"])[index]
            found = (self._row(index) if row is None else row)["shape"][0].as_py() or ()
            shape = tuple(found)
            if not 3 <= len(shape) <= 5 or min(shape) < 1:
                raise DataError(
                    f"{self.uri}[{index}]: shape must be time, channel and one to three of space",
                    got=list(shape),
                    do="Correct the column shape",
                )
            self._facts[index] = shape
        return self._facts[index]

    def num_frames(self, index: int) -> int:
        """Number of frames, from the column ``shape``."""
        return self._shape(self.check_index(index))[0]

    def groups(self) -> list[Sequence[int]]:
        """Indices of rows of the same channels and grid."""
        found: dict[object, list[int]] = {}
        for index in range(len(self)):
            head = self._shape(index)[1:]
            found.setdefault(head, []).append(index)
        return list(found.values())

    def storage(self) -> dict[str, StorageLayout]:
        """The bytes of the first row, which stands for all."""
        return {"fields": StorageLayout(self._shape(0), self._said(self._row(0), "dtype") or "")}

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one row; of its bytes only theirs are copied."""
        index = self.check_index(index)
        start, stop = self.check_frames(index, start, stop)
        row = self._row(index)
        shape = self._shape(index, row)
        fields = self._values(row, index, shape, start, stop)
        parameters = self._said(row, "parameters") or {}
        try:
            names = self.description.names or tuple(self._said(row, "names") or ())
            found = Trajectory(
                fields=torch.from_numpy(fields),
                names=names or tuple(f"field_{i}" for i in range(shape[1])),
                units=tuple(self._said(row, "units") or ()),
                grid=self._grid(row, shape[2:]),
                times=self._times(row, shape[0])[start:stop],
                boundary=self._boundary(row, len(shape) - 2),
                parameters={str(k): float(v) for k, v in parameters.items() if v is not None},
                source=Source(self.uri, index),
            )
        except (TypeError, AttributeError) as error:
            raise DataError(
                f"{self.uri}[{index}] says something of a wrong type", got=error, do="Correct it"
            ) from error
        return describe(found, self.description, start)

    def _said(self, row: Any, name: str) -> Any:
        """What a row says, or else the card."""
        if name in row.column_names and (value := row[name][0].as_py()) is not None:
            return value
        return self.constants.get(name)

    def _values(
        self, row: Any, index: int, shape: tuple[int, ...], start: int, stop: int
    ) -> np.ndarray:
        stored = str(self._said(row, "dtype") or "float32")
        if stored not in DTYPES:
            raise DataError(
                f"{self.uri}[{index}]: unknown dtype", got=stored, do=f"Use {', '.join(DTYPES)}"
            )
        dtype = np.dtype(DTYPES[stored])
        cell = row["fields"][0]
        buffer = (cell.as_buffer() if hasattr(cell, "as_buffer") else None) or b""
        size = memoryview(buffer).nbytes
        if size != prod(shape) * dtype.itemsize:
            raise DataError(
                f"{self.uri}[{index}]: the bytes do not fit the shape {list(shape)} of {stored}",
                got=f"{size} bytes",
                do="Correct the columns fields, shape and dtype",
            )
        frame = prod(shape[1:])
        values = np.frombuffer(
            buffer, dtype, (stop - start) * frame, start * frame * dtype.itemsize
        )
        return values.reshape(stop - start, *shape[1:]).astype(np.float32)  # [T, C, *space]

    def _times(self, row: Any, num_frames: int) -> torch.Tensor:
        if (times := self._said(row, "times")) is not None:
            return torch.tensor(times, dtype=torch.float64)
        dt = self._said(row, "dt")
        if dt is None and self.description.dt is None and num_frames > 1:
            raise DataError(
                f"{self.uri} does not say the time between frames", do="Give it, as in --dt 0.1"
            )
        return torch.arange(num_frames, dtype=torch.float64) * float(dt or 1.0)

    def _boundary(
        self, row: Any, num_dims: int
    ) -> tuple[tuple[BoundaryCondition, BoundaryCondition], ...]:
        said = self._said(row, "boundary") or BoundaryCondition.OPEN
        words = [said] * num_dims if isinstance(said, str) else list(said)
        try:
            kinds = [BoundaryCondition(str(word).lower()) for word in words]
        except ValueError as error:
            raise DataError(
                f"{self.uri}: unknown boundary", got=words, do="Use periodic, wall or open"
            ) from error
        return tuple((kind, kind) for kind in kinds)

    def _grid(self, row: Any, shape: tuple[int, ...]) -> Grid:
        extent = tuple(float(length) for length in self._said(row, "extent") or (1.0,) * len(shape))
        boundary = self._boundary(row, len(shape))
        Grid.regular(shape, extent)  # says so if the number of extents is wrong
        axes = zip(AXIS_NAMES, shape, extent, boundary, strict=False)
        return Grid(
            tuple(
                Axis(name, points, length, sides[0] is BoundaryCondition.PERIODIC)
                for name, points, length, sides in axes
            )
        )


class _Stream:
    """Rows over the network, one after the other."""

    def __init__(self, rows: HubRows) -> None:
        self.rows = rows
        self.place = -1
        self.last: Any = None
        self.iterator: Iterator[Any] = iter(())

    @cached_property
    def num_rows(self) -> int:
        """From the ends of the files alone."""
        from pyarrow.parquet import ParquetFile

        repository = self.rows.repository
        total = 0
        with hub_errors(repository.place.repository, "dataset", repository.commit):
            system = file_system(repository)
            for name in self.rows.names:
                with system.open(remote_path(repository, name)) as file:
                    total += ParquetFile(file).metadata.num_rows
        return total

    def row(self, index: int) -> Any:
        """Row ``index``; those before it are passed over."""
        with hub_errors(self.rows.repository.place.repository, "dataset"):
            if index < self.place:
                self.place = -1
            if self.place < 0:
                self.iterator = iter(self._open())
            while self.place < index:
                self.last = next(self.iterator)
                self.place += 1
        return self.last

    def _open(self) -> Any:
        from datasets import DownloadConfig, load_dataset

        repository = self.rows.repository
        file_system(repository)  # says so if no connection is allowed
        address = {"hf": {"endpoint": endpoint()}} if endpoint() else {}
        found = load_dataset(
            "parquet",
            data_files=[f"hf://{remote_path(repository, name)}" for name in self.rows.names],
            split="train",
            streaming=True,
            download_config=DownloadConfig(storage_options=address),
        )
        return self.rows._checked(found).iter(batch_size=1)
