"""Parts of a file on the Hub, read over the network without downloading it as a whole."""

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pdefm.data.collection import TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats import FORMATS
from pdefm.data.formats.hdf5_collection import Hdf5Collection
from pdefm.data.formats.hdf5_file import FileObjects
from pdefm.data.formats.hub_place import HubRepository
from pdefm.data.formats.hub_units import ALONE, Unit
from pdefm.data.formats.well import WellFile
from pdefm.errors import DataError, EnvironmentFault
from pdefm.repositories import endpoint, hub_errors, is_offline

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

BLOCK = 8 * 2**20
"""Bytes that are fetched and kept at a time; published files have pages of this size."""


def file_system(repository: HubRepository) -> "HfFileSystem":
    """The Hub as a file system, at the address that is set now.

    Raises:
        EnvironmentFault: No connection is allowed.
    """
    from huggingface_hub import HfFileSystem

    if is_offline():
        raise EnvironmentFault(
            f"'{repository.place.repository}' cannot be streamed without a network",
            got="HF_HUB_OFFLINE",
            do="Leave out stream=true to read from the cache",
        )
    return HfFileSystem(endpoint=endpoint(), skip_instance_cache=True)


def remote_path(repository: HubRepository, name: str) -> str:
    """Name of a file of this commit in that file system."""
    return f"datasets/{repository.place.repository}@{repository.commit}/{name}"


def open_streamed(
    repository: HubRepository, unit: Unit, description: Description, format: str
) -> TrajectoryCollection:
    """The collection of one HDF5 file that stays where it is.

    Raises:
        DataError: Not HDF5, or of no format that reads it through a file object.
    """

    def opener() -> BinaryIO:
        with hub_errors(repository.place.repository, "dataset", repository.commit):
            return file_system(repository).open(
                remote_path(repository, unit.path), block_size=BLOCK, cache_type="blockcache"
            )  # pyright: ignore[reportReturnType]  # fsspec has a type of its own

    path = Path(repository.place.uri_of(unit.path))
    kinds = [
        name
        for name in (FORMATS if format == "auto" else [format])
        if issubclass(FORMATS[name], (WellFile, Hdf5Collection)) and not FORMATS[name].folders
    ]
    if not unit.is_folder and unit.path.endswith(ALONE):
        FileObjects.register(path, opener)
        for name in kinds:
            if FORMATS[name].recognise(path):
                return FORMATS[name](path, description)
    raise DataError(
        f"{path} cannot be streamed",
        got="no HDF5 file of a layout that is known to pdefm" if kinds else f"format {format}",
        do="Leave out stream=true to download it",
    )
