"""What of a repository belongs together: files that stand alone, and folders that do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pdefm.data.formats.hub_place import RECORDS, HubRepository
from pdefm.data.formats.probe import DATA_SUFFIXES
from pdefm.data.formats.probe_child import SIDECARS
from pdefm.data.open import SPLITS, natural_order, split_in_name
from pdefm.errors import DataError
from pdefm.files import MANIFEST

ALONE = (".hdf5", ".h5", ".he5")
"""Files of which each is complete; others may be parts of a case or shards of a set."""
ROWS = (".parquet",)
NOT_DATA = (MANIFEST, *RECORDS, "stats.yaml", "dataset_infos.json")
STORE = ".zarr"


@dataclass(frozen=True)
class Unit:
    """A file or folder that is opened as a whole.

    Args:
        path: In the repository.
        names: Files that it needs.
        split: Words in the names of its files that choose some; mostly ``None``.
    """

    path: str
    names: tuple[str, ...]
    split: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is more than one file."""
        return self.names != (self.path,)


def splits_of(repository: HubRepository) -> list[str]:
    """Splits by folder, or by words in the names of all data files."""
    root, names = _root(repository)
    by_folder = [s for s in SPLITS if any(n.startswith(f"{root}{s}/") for n in names)]
    if by_folder:
        return by_folder
    said = [_split_word(name) for name in names]
    return [split for split in SPLITS if split in said] if names and all(said) else []


def units_of(repository: HubRepository, split: str | None) -> list[Unit]:
    """Everything of a split, in the order of the splits and of the numbers in the names.

    Raises:
        DataError: No such split.
    """
    root, names = _root(repository)
    present = splits_of(repository)
    if split is not None and split not in present:
        raise DataError(
            f"'{repository.place.repository}' has no split '{split}'",
            got=f"splits {', '.join(present) or 'none'}",
            do="Open another split, or the dataset without a split",
        )
    folders = [f"{root}{s}/" for s in SPLITS if any(n.startswith(f"{root}{s}/") for n in names)]
    if not folders:
        chosen = [n for n in names if split is None or _split_word(n) == split]
        return _units(root, chosen, split)
    wanted = [f"{root}{split}/"] if split else folders
    return [
        unit
        for folder in wanted
        for unit in _units(folder, [n for n in names if n.startswith(folder)], None)
    ]


def _units(root: str, names: Sequence[str], split: str | None) -> list[Unit]:
    """Files and folders right below ``root``, which ends with a slash or is empty."""
    if any(name.endswith(ROWS) for name in names):
        rows = sorted((n for n in names if n.endswith(ROWS)), key=_order)
        return [Unit(name, (name,)) for name in rows]
    direct = [name for name in names if "/" not in name[len(root) :]]
    data = [name for name in direct if not name.endswith(SIDECARS)]
    if data and not all(name.endswith(ALONE) for name in data) and names != data[:1]:
        return [Unit(root.rstrip("/"), tuple(names), split)]
    units = [Unit(name, (name,)) for name in data]
    inner = {root + name[len(root) :].partition("/")[0] for name in names if name not in direct}
    for folder in inner:
        units.append(Unit(folder, tuple(n for n in names if n.startswith(f"{folder}/"))))
    return sorted(units, key=lambda unit: _order(unit.path))


def _root(repository: HubRepository) -> tuple[str, list[str]]:
    """Where the data lie, as a prefix, and their files; as for folders on disk."""
    below = repository.place.path
    names = [name for name in repository.below(below) if _is_data(name)]
    if names == [below]:
        return f"{below.rpartition('/')[0]}/".lstrip("/"), names
    prefix = f"{below}/" if below else ""
    in_data = [name for name in names if name.startswith(f"{prefix}data/")]
    return (f"{prefix}data/", in_data) if in_data else (prefix, names)


def _is_data(name: str) -> bool:
    if any(part.endswith(STORE) for part in name.split("/")[:-1]):
        return True  # chunks have no suffix
    path = PurePosixPath(name)
    is_text = path.suffix in SIDECARS and (path.name in NOT_DATA or "/" not in name)
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in DATA_SUFFIXES and not is_text and not hidden


def _split_word(name: str) -> str | None:
    return split_in_name(PurePosixPath(name))


def _order(name: str) -> tuple[list[tuple[int, str]], str]:
    return natural_order(PurePosixPath(name))
