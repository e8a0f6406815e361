"""Data that say which of our equations they solve."""

from pdefm.data.collection import TrajectoryCollection
from pdefm.pdes import PDES
from pdefm.pdes.base import PDE


def known_family(collection: TrajectoryCollection) -> type[PDE] | None:
    """The equation that the data name themselves after, if its fields are those of the data."""
    name = collection.dataset_name()
    if name not in PDES or not len(collection):
        return None
    family = PDES[name]
    head = collection.read(0, 0, 1)
    return family if head.names == family().channel_names else None
