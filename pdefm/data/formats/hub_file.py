"""One file, or folder, of a dataset on the Hub: fetched when it is first needed."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pdefm.data.collection import StorageLayout, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.hub_place import HubRepository
from pdefm.data.formats.hub_stream import open_streamed
from pdefm.data.formats.hub_units import Unit
from pdefm.data.open import open_trajectories
from pdefm.data.trajectory import Source, Trajectory
from pdefm.errors import DataError


class HubFile(TrajectoryCollection):
    """What one unit of a repository holds, by the format that recognises it.

    Args:
        repository: Which commit of which dataset.
        unit: What is fetched together.
        description: As for the format of the file.
        format: That of the file, or ``auto``.
        trust: Open it without looking into it first.
    """

    format = "hub"

    def __init__(
        self,
        repository: HubRepository,
        unit: Unit,
        description: Description,
        format: str = "auto",
        trust: bool = False,
    ) -> None:
        self.repository, self.unit, self.trust = repository, unit, trust
        self.description, self.file_format = description, format
        self.uri = repository.place.uri_of(unit.path)
        self.path, self.name = Path(self.uri), unit.path.rpartition("/")[2]
        self._known = None if unit.is_folder else repository.num_trajectories(unit.path)

    @cached_property
    def inner(self) -> TrajectoryCollection:
        """The file's own collection.

        Raises:
            DataError: Dangerous, damaged, changed or unknown.
            EnvironmentFault: It cannot be downloaded.
        """
        if self.repository.place.stream:
            found = open_streamed(self.repository, self.unit, self.description, self.file_format)
        else:
            places = {name: self.repository.download(name) for name in self.unit.names}
            found = open_trajectories(
                self._local(places),
                self.file_format,
                split=self.unit.split,
                trust=self.trust,
                **options_of(self.description),
            )
        self.licence, self.staggered = found.licence, found.staggered
        if self._known is not None and len(found) != self._known:
            raise DataError(
                f"{self.uri} holds another number of trajectories than its record says",
                got=f"{len(found)}, expected {self._known}",
                do="Ask its publisher, or publish the folder again",
            )
        return found

    def _local(self, places: dict[str, Path]) -> Path:
        if not self.unit.is_folder:
            return places[self.unit.path]
        name, path = next(iter(places.items()))
        below = name.removeprefix(self.unit.path).strip("/")
        return path.parents[below.count("/")]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "inner"}

    def __len__(self) -> int:
        return len(self.inner) if self._known is None else self._known

    def num_frames(self, index: int) -> int:
        """Number of frames, which the file says."""
        return self.inner.num_frames(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Trajectory:
        """Frames of one trajectory, whose source is named by the place on the Hub."""
        found = self.inner.read(index, start, stop)
        return replace(found, source=Source(self.uri, found.source.index))

    def origin(self, index: int) -> tuple[TrajectoryCollection, int]:
        """The file's own collection."""
        return self.inner.origin(index)

    def storage(self) -> dict[str, StorageLayout]:
        """How the arrays lie in the file."""
        return self.inner.storage()

    def dataset_name(self) -> str:
        """As the file says."""
        return self.inner.dataset_name()

    def groups(self) -> list[Sequence[int]]:
        """As the file says."""
        return self.inner.groups()


def options_of(description: Description) -> dict[str, Any]:
    """A description as the options that it was made from."""
    said = {f.name: value for f in fields(description) if (value := getattr(description, f.name))}
    return said | ({"variables": dict(said["variables"])} if "variables" in said else {})
