"""Datasets on the Hub as a place that data come from: ``hf://datasets/owner/name``."""

from collections.abc import Sequence
from pathlib import Path

from pdefm.data.collection import Concatenation, TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats.hub_file import HubFile
from pdefm.data.formats.hub_place import URI, HubPlace, HubRepository
from pdefm.data.formats.hub_rows import HubRows
from pdefm.data.formats.hub_units import Unit, splits_of, units_of
from pdefm.errors import DataError


class HubDataset(Concatenation):
    """A dataset on the Hub: files of any other format, or parquet files with a row a trajectory.

    ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER_OR_FILE][?split=train&stream=true]``. Opening
    lists the files of one commit, which stays the same however the branch moves. A file is
    downloaded into the Hub's cache when it is first needed, checked against the manifest, looked
    into by the probe and opened as any file of that format; from then on no connection is needed
    (``HF_HUB_OFFLINE=1``). With ``stream=true`` only the parts that are read come over the network:
    such files cannot be looked into first, so ``trust`` is needed, and no hash is checked.

    How many trajectories there are is known without a download only from the record that
    ``pdefm data publish`` uploads; otherwise ``len`` downloads every file.

    Args:
        path: The URI.
        description: As for the format of the files.
        format: That of the files, or ``auto``.
        split: ``train``, ``valid`` or ``test``; ``None`` means all that are there.
        trust: Open the files without looking into them first.

    Raises:
        RecipeError: Not such a URI, an option that has no meaning, or ``stream`` without ``trust``.
        DataError: No such dataset, revision or split, or no data in it.
        EnvironmentFault: No access; no network and no copy in the cache.
    """

    format = "hub"
    suffixes = ()
    scheme = "hf"
    holds_files = True

    def __init__(
        self,
        path: str | Path,
        description: Description | None = None,
        format: str = "auto",
        split: str | None = None,
        trust: bool = False,
    ) -> None:
        self.place = HubPlace.from_uri(str(path))
        self.place.check(split, trust)
        split = self.place.split or split
        repository = HubRepository(self.place)
        units = units_of(repository, split)
        parts = _parts(repository, units, description or Description(), format, trust)
        super().__init__(parts, Path(path))
        self.repository, self.name = repository, self.place.repository.rpartition("/")[2]
        self.licence = repository.licence

    @classmethod
    def recognise(cls, path: str | Path) -> str | None:
        """A URI of this kind; never anything on disk."""
        found = URI.fullmatch(str(path))
        return f"the dataset {found['owner']}/{found['name']} on the Hub" if found else None

    @classmethod
    def present_splits(cls, path: str | Path) -> list[str]:
        """Splits that the dataset has; none if the URI asks for one already.

        Raises:
            PdefmError: As for the class.
        """
        place = HubPlace.from_uri(str(path))
        return [] if place.split else splits_of(HubRepository(place))

    def _locate(self, index: int) -> tuple[TrajectoryCollection, int]:
        # From the front, so that the first trajectories do not need the last files.
        place = index
        for part in self.parts if index >= 0 else ():
            if place < len(part):
                self.staggered = self.staggered or part.staggered
                self.licence = self.licence or part.licence
                return part, place
            place -= len(part)
        return super()._locate(index)


def _parts(
    repository: HubRepository,
    units: Sequence[Unit],
    description: Description,
    format: str,
    trust: bool,
) -> list[TrajectoryCollection]:
    if not units:
        raise DataError(
            f"'{repository.place.repository}' holds no data files"
            + (f" below {repository.place.path}" if repository.place.path else ""),
            got=", ".join(repository.files[:8]) or "an empty repository",
            do="Give the folder with the data, as in hf://datasets/owner/name/folder",
        )
    rows = [name for unit in units for name in unit.names if name.endswith(".parquet")]
    if rows:
        return [HubRows(repository, rows, description, trust)]
    return [HubFile(repository, unit, description, format, trust) for unit in units]
